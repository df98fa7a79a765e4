"""All watches of a process: kopf watches what people write, informers watch the objects that the operator owns."""

import asyncio
import importlib
import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import kopf

from litclaw.api import names
from litclaw.handlers.intake import Intake
from litclaw.kube.client import Kube
from litclaw.kube.informer import Informer
from litclaw.kube.resources import AGENT, NAMESPACE, OWNED_KINDS, ROTATION, ROUTE
from litclaw.net.backoff import Backoff

log = logging.getLogger(__name__)

_NAMESPACED = {ROUTE: "routes", AGENT: "agents"}
_CLUSTER_SCOPED = {ROTATION: "rotations", NAMESPACE: "namespaces"}
"""The kinds that kopf watches, with the module of the handler."""
_OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
"""Of the owned kinds, only objects with our label are watched: other people's Secrets never reach the process."""
_RESTART = (1.0, 30.0)
_KOPF = str(Path(kopf.__file__).parent)


class Watches:
    """The watches of one process.

    Args:
        namespaces: where to watch; empty: in the whole cluster.
        on_kopf_start: called when kopf has set its signal handlers.

    Attributes:
        kopf_kinds: the kinds that kopf watches. Cluster-scoped ones need a watch on the whole cluster.
    """

    def __init__(
        self, intake: Intake, namespaces: tuple[str, ...] = (), *, on_kopf_start: Callable[[], None] = lambda: None
    ) -> None:
        self._intake = intake
        self._namespaces = namespaces
        self._on_kopf_start = on_kopf_start
        handlers = _NAMESPACED if namespaces else {**_NAMESPACED, **_CLUSTER_SCOPED}
        self.kopf_kinds = tuple(handlers)
        for module in ("settings", *handlers.values()):
            importlib.import_module(f"litclaw.handlers.{module}")  # its decorators register the handlers
        self.listed = asyncio.Event()
        """Set when the informers have listed all there was at the start."""

    async def run(self, kube: Kube) -> None:
        """Watch until cancelled."""
        informers = list(self._informers(kube))
        async with asyncio.TaskGroup() as group:
            for informer in informers:
                group.create_task(informer.run())
            group.create_task(self._keep_kopf_running())
            for informer in informers:
                await informer.listed.wait()
            self.listed.set()

    def _informers(self, kube: Kube) -> Iterator[Informer]:
        handle, prune, turn = self._intake.handle, self._intake.prune, asyncio.Lock()
        for kind in OWNED_KINDS:
            for namespace in self._namespaces or ("",):
                yield Informer(kube, kind, namespace, _OURS, handle=handle, prune=prune, turn=turn)

    async def _keep_kopf_running(self) -> None:
        """Start kopf again when it ends: by design it ends over an answer that it doesn't expect, such as a 409."""
        for logger in ("running", "orchestration"):  # the same error, with a traceback, from each task that it ends
            logging.getLogger(f"kopf._core.reactor.{logger}").setLevel(logging.CRITICAL)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_handle_exception)
        clock, backoff = loop.time, Backoff(*_RESTART)
        while True:
            began = clock()
            try:
                await self._run_kopf()
                why = "no error"
            except Exception as error:  # noqa: BLE001 - whatever it is, the watches go on
                why = f"{type(error).__name__}: {error}"
            if clock() - began > 10 * _RESTART[1]:
                backoff.reset()
            pause = backoff.next()
            log.warning("kopf's watches ended (%s); they start again in %.1f s", why, pause)
            await asyncio.sleep(pause)

    async def _run_kopf(self) -> None:
        """Run kopf's tasks until one ends. `kopf.operator` would cancel every other task of the process then."""
        settings = kopf.OperatorSettings()
        settings.scanning.disabled = bool(self._namespaces)  # it may not watch CRDs, which are the cluster's
        tasks = await kopf.spawn_tasks(
            settings=settings,
            standalone=True,
            identity=cast(Any, socket.gethostname()),  # kopf would ask for the user's name, which a container lacks
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            memo=self._intake,
        )
        self._on_kopf_start()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(tasks)
            await _end(filter(_is_kopfs, asyncio.all_tasks()))
        for task in done:
            task.result()


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending)


def _is_kopfs(task: object) -> bool:
    code = getattr(task.get_coro(), "cr_code", None) if isinstance(task, asyncio.Task) else None
    return code is not None and code.co_filename.startswith(_KOPF)


def _handle_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody handled, but not of kopf's tasks: when an error ends it, it forgets others that had the same error."""
    if _is_kopfs(context.get("task") or context.get("future")):
        log.debug("kopf: %s", context.get("message"))
    else:
        loop.default_exception_handler(context)
