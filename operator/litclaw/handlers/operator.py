"""The operator process: every replica watches, and the one that leads reconciles."""

import asyncio
import contextlib
import logging
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Coroutine

from litclaw import __version__
from litclaw.handlers.intake import Intake
from litclaw.handlers.options import DEFAULT_NAMESPACE, Options
from litclaw.handlers.relist import keep_pruning, read_namespaces, wait_until_cached
from litclaw.handlers.server import Server
from litclaw.handlers.watches import Watches
from litclaw.handlers.work import Work, drained
from litclaw.kube.cache import Cache
from litclaw.kube.client import Kube, own_namespace
from litclaw.kube.election import Election
from litclaw.kube.errors import READ_AGAIN, KubeError
from litclaw.kube.fence import Fence
from litclaw.kube.resources import AGENT, NAMESPACE, ROUTE
from litclaw.metrics import collector
from litclaw.metrics.recorder import Recorder
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.queue import Request

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
"""How long running passes are waited for at the end; the pod has fifteen seconds."""
_PING_SECONDS = 5.0
_RETRY_SECONDS = 2.0


class Operator:
    """One operator process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        own, wanted = own_namespace(), options.leader_elect
        self._elects = own is not None if wanted is None else wanted
        self._lease_namespace = own or DEFAULT_NAMESPACE
        self._cache = Cache()
        self._recorder = Recorder()
        self._fence = Fence()
        self._intake = Intake(self._cache, self._enqueue)
        self._watches = Watches(self._intake, options.namespaces, on_kopf_start=self._handle_signals)
        self._filled = asyncio.Event()
        self._work: Work | None = None
        self._election: Election | None = None
        self._kube: Kube | None = None
        self._stop = asyncio.Event()
        self._pinged = (float("-inf"), "")
        state = collector.StateCollector(self._cache, lambda: self._work.measured if self._work else None)
        self._recorder.registry.register(state)

    async def run(self) -> None:
        """Run until stopped by a signal.

        Raises:
            RuntimeError: the cluster's identity can't be read, or a part of the process has ended by itself.
        """
        fence = self._fence.check if self._elects else None
        async with (
            self._served(),
            await Kube.connect(observer=self._recorder.called_kubernetes, fence=fence) as kube,
        ):
            self._kube = kube
            self._handle_signals()
            cluster = await self._cluster(kube)
            if cluster is not None and (not self._options.namespaces or await self._can_watch(kube)):
                await self._run(kube, cluster)

    async def _run(self, kube: Kube, cluster: str) -> None:
        where = ", ".join(self._options.namespaces) or "the cluster"
        log.info("litclaw %s watches %s, with %d workers", __version__, where, self._options.workers)
        namespaces, kinds = self._options.namespaces, self._watches.kopf_kinds
        working = asyncio.create_task(self._lead(kube, cluster), name="reconciling")
        others = [
            asyncio.create_task(self._watches.run(kube), name="watches"),
            asyncio.create_task(self._wait_until_filled(kube), name="first list"),
            asyncio.create_task(keep_pruning(kube, self._intake, kinds, namespaces), name="pruning"),
        ]
        if namespaces:
            others.append(asyncio.create_task(self._keep_reading_namespaces(kube), name="namespaces"))
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait([stopped, working, *others], return_when=asyncio.FIRST_COMPLETED)
        by_itself = [part for part in (working, *others) if part.done()]
        self._stop.set()
        # Reconciling ends by giving the Lease back, so it ends before all else.
        working.cancel()
        await asyncio.wait([working])
        for part in others:
            part.cancel()
        await asyncio.wait([*others, stopped])
        for part in by_itself:
            if not part.cancelled() and (error := part.exception()):
                raise RuntimeError(f"{part.get_name()} ended by itself") from error

    async def _wait_until_filled(self, kube: Kube) -> None:
        await self._watches.listed.wait()
        await wait_until_cached(kube, self._cache, self._watches.kopf_kinds, self._options.namespaces)
        self._filled.set()
        await asyncio.Event().wait()

    # What a leader does

    async def _lead(self, kube: Kube, cluster: str) -> None:
        """Reconcile, from when the cache is filled and the Lease ours, until cancelled."""
        await self._filled.wait()
        if not self._elects:
            log.info("this process reconciles, without an election")
            await self._reconcile(kube, cluster, asyncio.Event().wait())
            return
        identity = f"{socket.gethostname()}_{uuid.uuid4()}"
        election = self._election = Election(kube, self._fence, namespace=self._lease_namespace, identity=identity)
        try:
            await election.acquire()
            log.info("this process leads")
            await self._reconcile(kube, cluster, election.keep())
        finally:
            await election.release()

    async def _reconcile(self, kube: Kube, cluster: str, keep: Coroutine[object, object, object]) -> None:
        work = self._work = Work(
            kube,
            self._cache,
            self._recorder,
            cluster=cluster,
            fence=self._check_leadership,
            namespaces=self._options.namespaces,
            crash_logs=self._options.crash_logs,
        )
        working = asyncio.create_task(work.run(self._options.workers), name="workers")
        keeping = asyncio.create_task(keep, name="lease")
        try:
            done, _ = await asyncio.wait([working, keeping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await drained(work, working, DRAIN_SECONDS)
            self._work = None
            keeping.cancel()
            await asyncio.wait([keeping])

    def _check_leadership(self) -> None:
        if self._elects:
            self._fence.check()

    def _enqueue(self, request: Request) -> None:
        if self._work:
            self._work.queue.enqueue(request)

    # The start

    async def _cluster(self, kube: Kube) -> str | None:
        """The cluster's identity; None if the process was stopped before the API server answered."""
        if self._options.cluster_id:
            return self._options.cluster_id
        while not self._stop.is_set():
            try:
                system = await kube.get(NAMESPACE, None, "kube-system")
            except READ_AGAIN as error:
                log.warning("the API server doesn't answer: %s; it is tried again", error)
                await self._pause()
                continue
            except KubeError as error:
                raise RuntimeError(
                    f"the namespace kube-system, whose uid identifies the cluster, can't be read ({error}): allow get "
                    "on it by a Role in kube-system, or name the cluster with --cluster-id"
                ) from None
            if system is None:
                raise RuntimeError("the cluster has no namespace kube-system, whose uid identifies the cluster")
            return str(system["metadata"]["uid"])
        return None

    async def _can_watch(self, kube: Kube) -> bool:
        """Wait for what an operator of some namespaces doesn't watch: the CRDs, and the labels of those namespaces.

        Returns:
            False if the process was stopped before.
        """
        while not self._stop.is_set():
            served = False
            with contextlib.suppress(KubeError):
                served = await kube.serves(ROUTE) and await kube.serves(AGENT)
            if not served:
                log.warning("the API server doesn't serve %s and %s: apply the CRDs", ROUTE.plural, AGENT.plural)
            elif await read_namespaces(kube, self._cache, self._enqueue, self._options.namespaces):
                return True
            await self._pause()
        return False

    async def _keep_reading_namespaces(self, kube: Kube) -> None:
        while True:
            await asyncio.sleep(intervals.NAMESPACES_RESYNC)
            await read_namespaces(kube, self._cache, self._enqueue, self._options.namespaces)

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), _RETRY_SECONDS)

    # The end

    def _handle_signals(self) -> None:
        """Stop at a signal. kopf sets handlers of its own when it starts, which would end it before the running passes."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)

    # Health

    @contextlib.asynccontextmanager
    async def _served(self) -> AsyncIterator[None]:
        if not self._options.health:
            yield
            return
        server = Server(self._options.health, self._recorder.registry, ready=self._ready)
        await server.start()
        try:
            yield
        finally:
            await server.stop()

    async def _ready(self) -> str:
        if self._stop.is_set():
            return "the process is stopping"
        if not self._filled.is_set():
            return "the cache isn't filled yet"
        at, wrong = self._pinged
        if self._kube and time.monotonic() > at + _PING_SECONDS:
            try:
                async with asyncio.timeout(_PING_SECONDS):
                    await self._kube.ping()
                wrong = ""
            except (KubeError, TimeoutError) as error:
                wrong = f"the API server doesn't answer: {str(error) or 'no response in time'}"
            self._pinged = (time.monotonic(), wrong)
        return wrong or (self._election.trouble if self._election else "")
