"""Lists and watches one kind of the objects that the operator owns: a page at a time at first, then every change.

kopf would give each of them a stream and a task (docs/design/reconciling.md).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from litclaw.kube.client import Kube
from litclaw.kube.errors import READ_AGAIN, GoneError, KubeError, NotFoundError
from litclaw.kube.resources import Resource
from litclaw.net.backoff import Backoff, jittered

log = logging.getLogger(__name__)

_UNKNOWN_SECONDS = 10.0
_LIST_SECONDS = (0.8, 30.0)
"""First and longest delay before a kind is listed again, as client-go's reflector has them."""
_WATCH_SECONDS = (0.25, 15.0)
"""First and longest delay before a watch is opened again."""
_LONGEST_RETRY_AFTER_SECONDS = 60.0
_RESUMABLE = (0, 429, 503)
"""Statuses (0: no response) after which a watch is opened again where it was. After any other, the kind is listed again."""

Handle = Callable[[str, Mapping[str, Any]], None]
"""Handles an event: ``ADDED``, ``MODIFIED`` or ``DELETED``, and the object as it is now."""
Prune = Callable[[Resource, str, set[str], int], None]
"""Handles a complete list: the kind, its namespace (empty: all), the uids of all objects, and the resource version."""


class Informer:
    """Follows one kind, in one namespace or in all.

    Args:
        namespace: empty: the whole cluster.
        labels: a label selector; empty: all.
        handle: called for each object of a list, as ``ADDED``, and for each event.
        prune: called after each list, because no event reports what vanished before it.
        turn: held while the kind is listed. Lists of large objects take memory, so one kind is listed after the other.
    """

    def __init__(
        self,
        kube: Kube,
        resource: Resource,
        namespace: str,
        labels: str,
        *,
        handle: Handle,
        prune: Prune,
        turn: asyncio.Lock | None = None,
    ) -> None:
        self._kube = kube
        self._resource = resource
        self._namespace = namespace
        self._labels = labels
        self._handle = handle
        self._prune = prune
        self._turn = turn or contextlib.nullcontext()
        self._list_backoff = Backoff(*_LIST_SECONDS)
        self.listed = asyncio.Event()
        """Set after the first list, or when the cluster doesn't know the kind."""

    async def run(self) -> None:
        """List and watch until cancelled. No error of the API server ends it."""
        while True:
            try:
                async with self._turn:
                    version = await self._list()
                self.listed.set()
                await self._follow(version)
            except NotFoundError:
                self.listed.set()
                await asyncio.sleep(jittered(_UNKNOWN_SECONDS))
            except KubeError as error:
                seconds = _delay(self._list_backoff, error)
                level = logging.INFO if isinstance(error, GoneError) else logging.WARNING
                if not isinstance(error, READ_AGAIN):
                    level = logging.ERROR
                log.log(level, "%s: %s; listing them again in %.1f s", self._resource.plural, error, seconds)
                await asyncio.sleep(seconds)

    async def _list(self) -> int:
        """Handle every object; returns the list's resource version.

        Raises:
            KubeError: the API server refuses it or can't be reached.
        """
        uids: set[str] = set()
        version = 0
        async for page, version in self._kube.pages(self._resource, self._namespace or None, labels=self._labels):
            for body in page:
                uids.add(body["metadata"]["uid"])
                self._handle("ADDED", body)
        self._prune(self._resource, self._namespace, uids, version)
        return version

    async def _follow(self, version: int) -> None:
        """Handle every event after a resource version. A watch that ends is opened again.

        Raises:
            GoneError: the version has expired.
            KubeError: another error of the API server after which the kind must be listed again.
        """
        backoff = Backoff(*_WATCH_SECONDS)
        while True:
            try:
                async for kind, body in self._kube.watch(
                    self._resource, self._namespace or None, version, labels=self._labels
                ):
                    version = int(body["metadata"]["resourceVersion"])
                    backoff.reset()
                    if kind != "BOOKMARK":
                        self._handle(kind, body)
                    else:
                        # One comes each minute: this watch lasts, so the next failure is a new one.
                        self._list_backoff.reset()
                seconds = backoff.next()
            except KubeError as error:
                if error.status not in _RESUMABLE:
                    raise
                seconds = _delay(backoff, error)
                log.info("%s: %s; the watch is opened again in %.1f s", self._resource.plural, error, seconds)
            await asyncio.sleep(seconds)


def _delay(backoff: Backoff, error: KubeError) -> float:
    return max(backoff.next(), min(error.retry_after or 0.0, _LONGEST_RETRY_AFTER_SECONDS))
