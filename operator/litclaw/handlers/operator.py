"""The operator process: kopf's watches, the queue and its workers.

kopf is used for what it is best at, long-lived watches that survive everything. Its handlers for creation and update
aren't: they patch finalizers, progress and the last-handled configuration onto the resources, which costs several
writes an object, and a level-triggered reconcile has no use for them.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping
from typing import Any, cast

import kopf

from .. import __version__
from ..api import names
from ..kube.cache import Cache
from ..kube.client import Kube, own_namespace
from ..kube.errors import KubeError, NotFoundError
from ..kube.resources import AGENT, CHILDREN, NAMESPACE, POD_MONITOR, ROTATION, ROUTE, Resource
from ..reconcile.agent import reconcile_agent
from ..reconcile.guard import PASSING
from ..reconcile.queue import WorkQueue
from ..reconcile.rotation import reconcile_rotation
from ..reconcile.route import reconcile_route
from ..reconcile.world import QueueKey, World
from .wake import concerned

log = logging.getLogger(__name__)

RESYNC_SECONDS = 600.0
_OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
_DOORS = (ROUTE, AGENT, ROTATION, NAMESPACE, *CHILDREN)


class Operator:
    """One operator process.

    Args:
        workers: how many resources are worked on at a time.
        health: address and port of the liveness endpoint, or None.
    """

    def __init__(self, *, workers: int, health: str | None) -> None:
        self._workers = workers
        self._health = health
        self._cache = Cache()
        self._world: World | None = None
        self._queue: WorkQueue[QueueKey] = WorkQueue(self._reconcile, passing=PASSING)

    async def run(self) -> None:
        """Run until cancelled or told to stop by a signal.

        Raises:
            RuntimeError: the cluster has no namespace kube-system.
        """
        async with await Kube.connect() as kube:
            system = await kube.get(NAMESPACE, None, "kube-system")
            if system is None:
                raise RuntimeError("the cluster has no namespace kube-system, whose uid stands for the cluster")
            self._world = World(
                kube=kube,
                cache=self._cache,
                cluster=system["metadata"]["uid"],
                own_namespace=own_namespace(),
                wake=self._queue.add,
                wake_after=self._queue.add_after,
            )
            logging.getLogger("kopf._core.reactor.observation").addFilter(_is_news)
            log.info("litclaw %s watches the cluster, with %d workers", __version__, self._workers)
            stop = asyncio.Event()
            tasks = [asyncio.create_task(self._queue.run(self._workers)), asyncio.create_task(self._resync(kube))]
            for task in tasks:
                task.add_done_callback(lambda _: stop.set())  # an operator that does nothing any more must not live on
            try:
                await kopf.operator(
                    registry=self._registry(),
                    settings=_settings(),
                    standalone=True,
                    # kopf's own guess asks who the user is, and a container's has no name.
                    identity=cast(Any, socket.gethostname()),
                    clusterwide=True,
                    liveness_endpoint=f"http://{self._health}/healthz" if self._health else None,
                    stop_flag=stop,
                )
            finally:
                for task in tasks:
                    task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.gather(*tasks)

    async def _resync(self, kube: Kube) -> None:
        """Find now and then what has gone without an event: a watch that had to start anew tells nothing of that."""
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            for door in _DOORS:
                try:
                    uids, version = await kube.uids(door, labels=_OURS if door in CHILDREN else "")
                except NotFoundError:
                    continue  # a kind that the cluster doesn't know
                except KubeError as error:
                    log.warning("%s can't be listed: %s", door.plural, error)
                    continue
                for body in self._cache.prune(door.kind, uids, version):
                    for key in concerned(self._cache, body):
                        self._queue.add(key)

    async def _reconcile(self, key: QueueKey) -> float | None:
        kind, namespace, name = key
        assert self._world is not None
        if kind == ROTATION.kind:
            return await reconcile_rotation(self._world, name)
        reconcile = reconcile_route if kind == ROUTE.kind else reconcile_agent
        return await reconcile(self._world, namespace, name)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_login)
        for door in _DOORS:
            group, _, version = door.api_version.rpartition("/")
            selector = (group, version, door.plural)
            # An index is filled before any event is handled: by then, the cache holds all there is.
            kopf.index(*selector, id="cache", registry=registry)(self._index(door))
            kopf.on.event(*selector, id="wake", registry=registry)(self._event(door))
        return registry

    def _index(self, door: Resource) -> Any:
        async def cache(body: kopf.Body, **_: object) -> None:
            self._cache.observe(_plain(door, body))

        return cache

    def _event(self, door: Resource) -> Any:
        async def wake(body: kopf.Body, type: str | None, **_: object) -> None:
            plain = _plain(door, body)
            if type == "DELETED":
                self._cache.forget(plain)
            for key in concerned(self._cache, plain):
                self._queue.add(key)

        return wake


def _is_news(record: logging.LogRecord) -> bool:
    """False for kopf's advice to create a kind that a cluster need not know."""
    text = record.getMessage()
    return not (text.startswith("Unresolved resources") and text.count("Selector(") == 1 and POD_MONITOR.plural in text)


def _plain(door: Resource, body: kopf.Body) -> Mapping[str, Any]:
    # Items of a list say neither apiVersion nor kind.
    return {"apiVersion": door.api_version, "kind": door.kind, **body}


def _login(**given: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    for child in CHILDREN:
        # Other people's Secrets never reach us; whether a name is taken is asked when it matters.
        settings.watching.label_selectors[child.plural] = _OURS
    return settings
