"""What a leader does and a standby doesn't: the queue, its workers, and what is known of each proxy."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from ..kube.cache import Cache
from ..kube.client import Kube, own_namespace
from ..kube.resources import AGENT, ROTATION, ROUTE
from ..litellm.client import LiteLLM
from ..metrics import collector
from ..metrics.recorder import Recorder
from ..reconcile.agent import reconcile_agent
from ..reconcile.conditions import READY, STALLED
from ..reconcile.guard import PASSING
from ..reconcile.queue import WorkQueue
from ..reconcile.rotation import reconcile_rotation
from ..reconcile.route import reconcile_route
from ..reconcile.subject import about
from ..reconcile.world import QueueKey, World

log = logging.getLogger(__name__)

_ROUTE_FIRST_SECONDS = 60.0
_PAUSE_SECONDS = 2.0
_FAILED = ("InternalError", "Refused")
"""Reasons of Ready that stand for a pass that failed, see `reconcile.guard`."""


class Work:
    """The reconciling of one process, from when it leads until it ends.

    Args:
        cluster: what stands for the cluster in the marks of keys.
        namespaces: where it acts; empty: in the whole cluster.
        fence: is asked before each call to LiteLLM.
    """

    def __init__(
        self,
        kube: Kube,
        cache: Cache,
        recorder: Recorder,
        *,
        cluster: str,
        fence: Callable[[], None],
        namespaces: tuple[str, ...] = (),
    ) -> None:
        self.queue: WorkQueue[QueueKey] = WorkQueue(self._reconcile, passing=PASSING, scope=about)
        self._cache = cache
        self._recorder = recorder
        self._started = time.monotonic()
        self._looked_at: set[tuple[str, str]] = set()
        self.world = World(
            kube=kube,
            cache=cache,
            cluster=cluster,
            own_namespace=own_namespace(),
            namespaces=namespaces,
            wake=self.queue.add,
            wake_after=self.queue.add_after,
            connect=partial(LiteLLM, observer=recorder.called_litellm, fence=fence),
        )

    @property
    def shown(self) -> collector.Work:
        """What metrics are made from."""
        return collector.Work(self.world, self.queue)

    async def run(self, workers: int) -> None:
        """Look at every resource that there is, and then at what changes, until cancelled."""
        for kind in (ROUTE.kind, AGENT.kind, ROTATION.kind):
            for body in self._cache.all(kind):
                self.queue.add((kind, body["metadata"].get("namespace", ""), body["metadata"]["name"]))
        await self.queue.run(workers)

    async def _reconcile(self, key: QueueKey) -> float | None:
        if self._is_early(key):
            return _PAUSE_SECONDS
        kind, namespace, name = key
        started, error, again = time.monotonic(), "", None
        try:
            if kind == ROTATION.kind:
                again = await reconcile_rotation(self.world, name)
            elif kind == ROUTE.kind:
                again = await reconcile_route(self.world, namespace, name)
                self._looked_at.add((namespace, name))
            else:
                again = await reconcile_agent(self.world, namespace, name)
        except Exception as failed:
            error = type(failed).__name__
            raise
        finally:
            seconds = time.monotonic() - started
            result, error = self._result(key, error)
            self._recorder.passed(kind, result, seconds, error)
            shown = "none" if again is None else f"in {again:.0f} s"
            more = {"result": result, "seconds": round(seconds, 3)}
            log.debug("reconciled in %.3f s: %s; next look: %s", seconds, result, shown, extra=more)
        return again

    def _is_early(self, key: QueueKey) -> bool:
        """Whether an agent's route, or for a rotation any, hasn't been looked at since this process works.

        The agent would call it not ready, say so in its status and an event, and take it back a moment later; the rotation
        would miss the keys that are at proxies which nobody has asked yet.
        """
        kind, namespace, name = key
        if kind == ROUTE.kind or time.monotonic() > self._started + _ROUTE_FIRST_SECONDS:
            return False
        if kind == ROTATION.kind:
            routes = {(body["metadata"]["namespace"], body["metadata"]["name"]) for body in self._cache.all(ROUTE.kind)}
            return not routes <= self._looked_at
        body = self._cache.get(kind, namespace, name)
        if body is None:
            return False
        ref = body["spec"]["routeRef"]
        route = (ref.get("namespace") or namespace, ref["name"])
        return route not in self._looked_at and self._cache.get(ROUTE.kind, *route) is not None

    def _result(self, key: QueueKey, error: str) -> tuple[str, str]:
        """How a pass ended, and what went wrong."""
        if error:
            return "error", error
        body = self._cache.get(*key)
        if body is None:
            return "gone", ""
        ready, stalled = collector.condition(body, READY), collector.condition(body, STALLED)
        if ready.get("reason") in _FAILED:
            return "error", str(ready["reason"])
        if ready.get("status") == "True":
            return "ready", ""
        return ("stalled" if stalled.get("status") == "True" else "waiting"), ""


async def drained(work: Work, task: asyncio.Task[None], seconds: float) -> None:
    """Let what is worked on come to its end, for some seconds; nothing is begun, and nothing runs afterwards."""
    await work.queue.stop(seconds)
    task.cancel()
    await asyncio.wait([task])
    await work.world.close()
