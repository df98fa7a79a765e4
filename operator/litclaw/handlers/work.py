"""What a leader does and a standby doesn't: the queue, its workers, and what is known of each proxy."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from litclaw.kube.cache import Cache
from litclaw.kube.client import Kube, own_namespace
from litclaw.kube.resources import AGENT, ROTATION, ROUTE
from litclaw.litellm.client import LiteLLM
from litclaw.metrics import collector
from litclaw.metrics.recorder import Recorder
from litclaw.reconcile.agent.reconcile import reconcile_agent
from litclaw.reconcile.context import Context, Request
from litclaw.reconcile.core.conditions import READY, STALLED
from litclaw.reconcile.core.last_resort import PASSING
from litclaw.reconcile.core.log_context import about
from litclaw.reconcile.core.queue import WorkQueue
from litclaw.reconcile.rotation.reconcile import reconcile_rotation
from litclaw.reconcile.route.reconcile import reconcile_route

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
        self.queue: WorkQueue[Request] = WorkQueue(self._reconcile, passing=PASSING, scope=about)
        self._cache = cache
        self._recorder = recorder
        self._started = time.monotonic()
        self._looked_at: set[tuple[str, str]] = set()
        self.context = Context(
            kube=kube,
            cache=cache,
            cluster=cluster,
            own_namespace=own_namespace(),
            namespaces=namespaces,
            wake=self.queue.add,
            enqueue_after=self.queue.add_after,
            connect=partial(LiteLLM, observer=recorder.called_litellm, fence=fence),
        )

    @property
    def shown(self) -> collector.Work:
        """What metrics are made from."""
        return collector.Work(self.context, self.queue)

    async def run(self, workers: int) -> None:
        """Look at every resource that there is, and then at what changes, until cancelled."""
        for kind in (ROUTE.kind, AGENT.kind, ROTATION.kind):
            for body in self._cache.all(kind):
                self.queue.add((kind, body["metadata"].get("namespace", ""), body["metadata"]["name"]))
        await self.queue.run(workers)

    async def _reconcile(self, key: Request) -> float | None:
        if self._is_early(key):
            return _PAUSE_SECONDS
        kind, namespace, name = key
        started, error, requeue_after = time.monotonic(), "", None
        try:
            if kind == ROTATION.kind:
                requeue_after = await reconcile_rotation(self.context, name)
            elif kind == ROUTE.kind:
                requeue_after = await reconcile_route(self.context, namespace, name)
                self._looked_at.add((namespace, name))
            else:
                requeue_after = await reconcile_agent(self.context, namespace, name)
        except Exception as failed:
            error = type(failed).__name__
            raise
        finally:
            seconds = time.monotonic() - started
            result, error = self._result(key, error)
            self._recorder.passed(kind, result, seconds, error)
            shown = "none" if requeue_after is None else f"in {requeue_after:.0f} s"
            more = {"result": result, "seconds": round(seconds, 3)}
            log.debug("reconciled in %.3f s: %s; next look: %s", seconds, result, shown, extra=more)
        return requeue_after

    def _is_early(self, key: Request) -> bool:
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

    def _result(self, key: Request, error: str) -> tuple[str, str]:
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
    await work.context.close()
