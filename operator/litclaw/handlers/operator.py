"""The operator process: watches in every replica, work in the one that leads."""

import asyncio
import contextlib
import logging
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Coroutine

from litclaw import __version__
from litclaw.handlers.options import DEFAULT_NAMESPACE, Options
from litclaw.handlers.resync import NAMESPACES_SECONDS, list_uids, read_namespaces, resync
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
from litclaw.reconcile.context import Request

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
"""How long a pass at work is waited for at the end; the pod is given fifteen."""
_STUCK_SECONDS = 900.0
"""A pass takes seconds, and each of its calls has a time-out. One that takes longer hangs."""
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
        self._watches = Watches(self._cache, self._wake, options.namespaces)
        self._work: Work | None = None
        self._election: Election | None = None
        self._kube: Kube | None = None
        self._stop = asyncio.Event()
        self._pinged = (float("-inf"), "")
        state = collector.StateCollector(self._cache, lambda: self._work.shown if self._work else None)
        self._recorder.registry.register(state)

    async def run(self) -> None:
        """Run until told to stop by a signal.

        Raises:
            RuntimeError: what stands for the cluster can't be read, or a part of the process has ended by itself.
        """
        fence = self._fence.check if self._elects else None
        async with (
            self._served(),
            await Kube.connect(observer=self._recorder.called_kubernetes, fence=fence) as kube,
        ):
            self._kube = kube
            self._hear_signals()
            cluster = await self._cluster(kube)
            if cluster is not None and (not self._options.namespaces or await self._can_watch(kube)):
                await self._run(kube, cluster)

    async def _run(self, kube: Kube, cluster: str) -> None:
        where = ", ".join(self._options.namespaces) or "the cluster"
        log.info("litclaw %s watches %s, with %d workers", __version__, where, self._options.workers)
        namespaces, doors = self._options.namespaces, self._watches.doors
        started, end_watches = asyncio.Event(), asyncio.Event()
        watching = asyncio.create_task(self._watches.run(kube, end_watches, started), name="watches")
        parts = [
            watching,
            asyncio.create_task(self._hear_after(started), name="signals"),
            asyncio.create_task(resync(kube, self._cache, self._wake, doors, namespaces), name="resync"),
            asyncio.create_task(self._lead(kube, cluster), name="work"),
        ]
        if namespaces:
            parts.append(asyncio.create_task(self._see_empty(kube), name="first look"))
            parts.append(asyncio.create_task(self._read_namespaces(kube), name="namespaces"))
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait([stopped, *parts], return_when=asyncio.FIRST_COMPLETED)
        by_itself = [part for part in parts if part.done()]
        self._stop.set()
        # The work's own end gives the lease back, so it comes before all else.
        parts[3].cancel()
        await asyncio.wait([parts[3]])
        end_watches.set()
        for part in parts:
            if part is not watching:
                part.cancel()
        await asyncio.wait([*parts, stopped])
        for part in by_itself:
            if not part.cancelled() and (error := part.exception()):
                raise RuntimeError(f"{part.get_name()} ended by itself") from error

    # What a leader does

    async def _lead(self, kube: Kube, cluster: str) -> None:
        """Work, from when the cache is filled and the lease ours, until cancelled."""
        await self._watches.filled.wait()
        if not self._elects:
            log.info("this process works, without an election")
            await self._do(kube, cluster, asyncio.Event().wait())
            return
        identity = f"{socket.gethostname()}_{uuid.uuid4()}"
        election = self._election = Election(kube, self._fence, namespace=self._lease_namespace, identity=identity)
        try:
            await election.acquire()
            log.info("this process leads")
            await self._do(kube, cluster, election.keep())
        finally:
            await election.release()

    async def _do(self, kube: Kube, cluster: str, keep: Coroutine[object, object, object]) -> None:
        work = self._work = Work(
            kube, self._cache, self._recorder, cluster=cluster, fence=self._check, namespaces=self._options.namespaces
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

    def _check(self) -> None:
        if self._elects:
            self._fence.check()

    def _wake(self, key: Request) -> None:
        if self._work:
            self._work.queue.add(key)

    # The start

    async def _cluster(self, kube: Kube) -> str | None:
        """What stands for the cluster; None where the process was told to stop before the API server answered."""
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
                    f"the namespace kube-system, whose uid stands for the cluster, can't be read ({error}): allow get "
                    "on it by a Role in kube-system, or name the cluster with --cluster-id"
                ) from None
            if system is None:
                raise RuntimeError("the cluster has no namespace kube-system, whose uid stands for the cluster")
            return str(system["metadata"]["uid"])
        return None

    async def _can_watch(self, kube: Kube) -> bool:
        """Wait for what isn't watched where only some namespaces are: the CRDs, and the labels of those namespaces.

        Returns:
            False where the process was told to stop before.
        """
        while not self._stop.is_set():
            served = False
            with contextlib.suppress(KubeError):
                served = await kube.serves(ROUTE) and await kube.serves(AGENT)
            if not served:
                log.warning("the API server doesn't serve %s and %s: apply the CRDs", ROUTE.plural, AGENT.plural)
            elif await read_namespaces(kube, self._cache, self._wake, self._options.namespaces):
                return True
            await self._pause()
        return False

    async def _read_namespaces(self, kube: Kube) -> None:
        while True:
            await asyncio.sleep(NAMESPACES_SECONDS)
            await read_namespaces(kube, self._cache, self._wake, self._options.namespaces)

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), _RETRY_SECONDS)

    async def _see_empty(self, kube: Kube) -> None:
        """Where no namespace is watched there may be no route at all, and so no event that tells of a filled cache."""
        while not self._watches.few_filled.is_set():
            with contextlib.suppress(KubeError):
                uids, _ = await list_uids(kube, ROUTE, self._options.namespaces)
                if not uids:
                    self._watches.few_filled.set()
            await asyncio.sleep(_RETRY_SECONDS)
        await asyncio.Event().wait()

    # The end

    def _hear_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)

    async def _hear_after(self, started: asyncio.Event) -> None:
        """Take the signals back: kopf takes them as it starts, and would cancel what is at work."""
        await started.wait()
        self._hear_signals()
        await asyncio.Event().wait()

    # What is told

    @contextlib.asynccontextmanager
    async def _served(self) -> AsyncIterator[None]:
        if not self._options.health:
            yield
            return
        server = Server(self._options.health, self._recorder.registry, alive=self._alive, ready=self._ready)
        await server.start()
        try:
            yield
        finally:
            await server.stop()

    def _alive(self) -> str:
        if self._work and self._work.queue.longest_working > _STUCK_SECONDS:
            return "a pass over a resource hangs"
        return ""

    async def _ready(self) -> str:
        if self._stop.is_set():
            return "the process is stopping"
        if not self._watches.filled.is_set():
            return "the cache isn't filled yet"
        at, wrong = self._pinged
        if self._kube and time.monotonic() > at + _PING_SECONDS:
            try:
                async with asyncio.timeout(_PING_SECONDS):
                    await self._kube.ping()
                wrong = ""
            except (KubeError, TimeoutError) as error:
                wrong = f"the API server doesn't answer: {str(error) or 'no answer in time'}"
            self._pinged = (time.monotonic(), wrong)
        return wrong or (self._election.trouble if self._election else "")
