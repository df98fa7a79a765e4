"""The intake of watch events: each is stored in the cache, and the resources that it concerns are enqueued."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Self

from litclaw.kube.cache import Cache, owner_of
from litclaw.kube.resources import AGENT, NAMESPACE, ROTATION, ROUTE, Resource
from litclaw.reconcile.core.queue import Request

_OWNERS = (ROUTE.kind, AGENT.kind)


class Intake:
    """Takes the events of all watches, kopf's and the informers'. It is the ``memo`` of kopf's handlers.

    Args:
        enqueue: reconciles a resource.
    """

    def __init__(self, cache: Cache, enqueue: Callable[[Request], None]) -> None:
        self._cache = cache
        self._enqueue = enqueue

    def __copy__(self) -> Self:
        """Itself: kopf copies the memo for each object, and all objects share this one."""
        return self

    def handle(self, event: str | None, body: Mapping[str, Any]) -> None:
        """Take one event.

        Args:
            event: ``ADDED``, ``MODIFIED``, ``DELETED``, or None for an object of kopf's first list.
            body: the object as it is now.
        """
        if self._cache.defer(body, partial(self.handle, event, body)):
            return
        concerned = set(requests_for(self._cache, body))
        own_write = self._cache.is_own_write(body) and event != "DELETED"
        if event == "DELETED":
            self._cache.remove(body)
        else:
            if before := self._cache.get(body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"]):
                concerned.update(requests_for(self._cache, before))  # a former owner, if somebody removed the reference
            self._cache.store(body)
        for request in concerned:
            # A pass knows what it has written. But a route's continues with what its pods make of it.
            if not own_write or (request[0] == ROUTE.kind and body["kind"] != ROUTE.kind):
                self._enqueue(request)

    def prune(self, kind: Resource, namespace: str, uids: set[str], version: int) -> None:
        """Take a complete list: cached objects that it lacks are gone.

        Args:
            namespace: where; empty: everywhere.
            version: the resource version of the list.
        """
        for body in self._cache.prune(kind.kind, uids, version, namespace):
            for request in requests_for(self._cache, body):
                self._enqueue(request)


def requests_for(cache: Cache, body: Mapping[str, Any]) -> Iterator[Request]:
    """The resources that an object concerns: itself, its owner, or the agents of a namespace."""
    kind, meta = body["kind"], body["metadata"]
    if kind in _OWNERS:
        yield (kind, meta["namespace"], meta["name"])
    elif kind == ROTATION.kind:
        yield (kind, "", meta["name"])
    elif kind == NAMESPACE.kind:
        for agent in cache.within(AGENT.kind, meta["name"]):
            yield (AGENT.kind, meta["name"], agent["metadata"]["name"])
    elif (owner := owner_of(meta)) and owner.kind in _OWNERS:
        yield (owner.kind, meta["namespace"], owner.name)
