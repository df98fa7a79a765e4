"""The work of a leader, which a standby doesn't do: the queue, its workers, and the sessions of the proxies."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Hashable

from litclaw.kube.cache import Cache
from litclaw.kube.client import Kube, own_namespace
from litclaw.kube.objects import condition_of, route_key_of
from litclaw.kube.resources import AGENT, ROTATION, ROUTE
from litclaw.litellm.breaker import Breaker
from litclaw.litellm.client import LiteLLM
from litclaw.litellm.transport import Transport, large_responses
from litclaw.metrics import collector
from litclaw.metrics.recorder import Recorder
from litclaw.net.address import OUTSIDE, guard_of_a_pod
from litclaw.net.cluster_domain import cluster_domain
from litclaw.net.resolver import Resolver
from litclaw.reconcile.agent.reconcile import reconcile_agent
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import ConditionType
from litclaw.reconcile.core.last_resort import TRANSIENT
from litclaw.reconcile.core.log_context import log_context
from litclaw.reconcile.core.queue import Limits, Request, WorkQueue
from litclaw.reconcile.core.rate_limit import RateLimit
from litclaw.reconcile.proxy.session import Credentials, ProxySession, RouteKey
from litclaw.reconcile.rotation.reconcile import reconcile_rotation
from litclaw.reconcile.route.reconcile import reconcile_route

log = logging.getLogger(__name__)

_FAILED = ("InternalError", "Refused")
"""Reasons of Ready that stand for a failed pass, see `reconcile.core.last_resort`."""
_BURST = 20
"""Passes over one resource in a row; afterwards they have the pace of `intervals.PACE`."""
_UNPROVEN = "proxies that hang, or haven't answered yet"
_UNKNOWN = "routes whose proxy isn't known"
_ROUTES = "routes"


class Work:
    """The reconciling of one process, from when it leads until it ends.

    Args:
        cluster: identifies the cluster in the marks of keys.
        namespaces: the namespaces that are served; empty: all.
        crash_logs: True if conditions show the last lines of a crashed container's log.
        fence: called before each call to LiteLLM.
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
        crash_logs: bool = False,
    ) -> None:
        self.queue: WorkQueue[Request] = WorkQueue(
            self._reconcile,
            transient=TRANSIENT,
            scope=log_context,
            urgent=lambda request: request[0] != AGENT.kind,
            share=self._share,
            limits=self._limits,
            pace=RateLimit(_BURST, intervals.PACE),
        )
        self._cache = cache
        self._recorder = recorder
        self._started = time.monotonic()
        self._workers = 1
        home = own_namespace()
        guard = guard_of_a_pod(os.environ) if home else OUTSIDE
        large, resolver = large_responses(), Resolver()

        def connect(credentials: Credentials, breaker: Breaker) -> LiteLLM:
            breaker.on_trusted = lambda: self.queue.limits_changed((credentials.identity, _UNPROVEN))
            return LiteLLM(
                credentials.url,
                credentials.master_key,
                credentials.authorities,
                credentials.master_key_before,
                transport=Transport(
                    credentials.url,
                    credentials.authorities,
                    observer=recorder.called_litellm,
                    fence=fence,
                    large=large,
                    resolver=resolver,
                    guard=guard,
                ),
                breaker=breaker,
            )

        self.context = Context(
            kube=kube,
            cache=cache,
            cluster=cluster,
            own_namespace=home,
            namespaces=namespaces,
            guard=guard,
            domain=cluster_domain(),
            crash_logs=crash_logs,
            enqueue=self.queue.enqueue,
            enqueue_after=self.queue.enqueue_after,
            connect=connect,
            resolver=resolver,
        )

    @property
    def measured(self) -> collector.Work:
        """The source of the metrics."""
        return collector.Work(self.context, self.queue)

    async def run(self, workers: int) -> None:
        """Reconcile every resource, and then those that change, until cancelled."""
        self._workers = workers
        for kind in (ROUTE.kind, AGENT.kind, ROTATION.kind):
            for body in self._cache.all(kind):
                self.queue.enqueue((kind, body["metadata"].get("namespace", ""), body["metadata"]["name"]))
        await self.queue.run(workers)

    def _limits(self, request: Request) -> Limits:
        """The workers that one proxy may occupy: three quarters, or one as long as it hangs, is slow or hasn't answered yet.

        All such proxies together may occupy a quarter, and so may routes whose proxy isn't known. All routes may occupy half.
        """
        if request[0] == ROTATION.kind:
            return ()
        quarter, half = max(1, self._workers // 4), max(1, self._workers // 2)
        of_routes = ((_ROUTES, half),) if request[0] == ROUTE.kind else ()
        session = self._session_of(request)
        if session is None:
            return ((_UNKNOWN, quarter), *of_routes) if of_routes else ()
        if session.breaker.trusted:
            return ((session.credentials.identity, max(1, self._workers * 3 // 4)), *of_routes)
        return ((session.credentials.identity, 1), (_UNPROVEN, quarter), *of_routes)

    def _share(self, request: Request) -> Hashable:
        """Whom an agent's request belongs to: a proxy. Agents without one wait for each other."""
        session = self._session_of(request)
        return session.credentials.identity if session else None

    def _session_of(self, request: Request) -> ProxySession | None:
        route = self._route_of(request)
        connection = self.context.routes.get(route) if route else None
        return connection.session if connection else None

    def _route_of(self, request: Request) -> RouteKey | None:
        kind, namespace, name = request
        if kind == ROUTE.kind:
            return (namespace, name)
        body = self._cache.get(kind, namespace, name)
        return route_key_of(body) if body else None

    async def _reconcile(self, request: Request) -> float | None:
        if self._is_early(request):
            return intervals.ROUTES_FIRST_PAUSE
        kind, namespace, name = request
        started, error, requeue_after = time.monotonic(), "", None
        try:
            if kind == ROTATION.kind:
                requeue_after = await reconcile_rotation(self.context, name)
            elif kind == ROUTE.kind:
                requeue_after = await reconcile_route(self.context, namespace, name)
            else:
                requeue_after = await reconcile_agent(self.context, namespace, name)
        except Exception as failed:
            error = type(failed).__name__
            raise
        finally:
            seconds = time.monotonic() - started
            result, error = self._result(request, error)
            self._recorder.passed(kind, result, seconds, error)
            if log.isEnabledFor(logging.DEBUG):
                shown = "none" if requeue_after is None else f"in {requeue_after:.0f} s"
                more = {"result": result, "seconds": round(seconds, 3)}
                log.debug("reconciled in %.3f s: %s; next pass: %s", seconds, result, shown, extra=more)
        return requeue_after

    def _is_early(self, request: Request) -> bool:
        """True if an agent's route, or for a rotation any, hasn't had a complete pass in this process.

        The agent would call the route not ready in its status and an event, and correct that a moment later; the rotation
        would miss the keys at proxies that nobody has asked yet.
        """
        kind, namespace, name = request
        if kind == ROUTE.kind or time.monotonic() > self._started + intervals.ROUTES_FIRST:
            return kind == AGENT.kind and self._reads_first_keys(request)
        if kind == ROTATION.kind:
            routes = {(body["metadata"]["namespace"], body["metadata"]["name"]) for body in self._cache.all(ROUTE.kind)}
            return not routes <= self.context.routes_seen
        body = self._cache.get(kind, namespace, name)
        if body is None:
            return False
        route = route_key_of(body)
        return route not in self.context.routes_seen and self._cache.get(ROUTE.kind, *route) is not None

    def _reads_first_keys(self, request: Request) -> bool:
        """True while the session of an agent's route reads many keys for the first time, which may take minutes."""
        route = self._route_of(request)
        connection = self.context.routes.get(route) if route else None
        return connection is not None and route not in self.context.routes_seen and connection.session.reads_first_keys

    def _result(self, request: Request, error: str) -> tuple[str, str]:
        """How a pass ended, and the error."""
        if error:
            return "error", error
        body = self._cache.get(*request)
        if body is None:
            return "gone", ""
        ready = condition_of(body, ConditionType.READY)
        if ready.get("reason") in _FAILED:
            return "error", str(ready["reason"])
        if ready.get("status") == "True":
            return "ready", ""
        stalled = condition_of(body, ConditionType.STALLED).get("status") == "True"
        return ("stalled" if stalled else "waiting"), ""


async def drained(work: Work, task: asyncio.Task[None], seconds: float) -> None:
    """Wait for the running passes, for some seconds; none is begun, and none runs afterwards."""
    await work.queue.stop(seconds)
    task.cancel()
    await asyncio.wait([task])
    await work.context.proxies.close()
