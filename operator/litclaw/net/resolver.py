"""Addresses of names. A name whose servers don't answer delays only those who ask for it.

The name is whatever a route's author has written, and its lookup may take half a minute. Event loops look names up in few
threads: libuv, and with it uvloop, in two at a time. So two such names would stop all calls to all proxies.
"""

import asyncio
import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from litclaw.net.places import Places

_AT_ONCE = 32
_WAIT_SECONDS = 5.0
_HANGS_SECONDS = 3.0
"""After a lookup that took so long, the name isn't looked up for a while: at first, and at most, for so long."""
_FIRST_SECONDS, _LONGEST_SECONDS = 15.0, 300.0
_MOST_REMEMBERED = 1_000

AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]
"""An entry of ``socket.getaddrinfo``."""


class Resolver(AbstractResolver):
    """Looks names up, each in a thread of its own, and each once at a time.

    Args:
        clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._places = Places(_AT_ONCE, _HANGS_SECONDS, clock)
        self._running: dict[str, asyncio.Task[Sequence[AddressInfo]]] = {}
        self._hung: dict[str, tuple[float, int]] = {}

    async def addresses(self, name: str) -> list[str]:
        """The IP addresses of a name.

        Raises:
            OSError: it has none, or its servers don't answer in time.
            UnicodeError: it can't be a name.
        """
        return [str(where[0]) for *_, where in await self._infos(name)]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host, for aiohttp.

        Raises:
            OSError, UnicodeError: see `addresses`.
        """
        return [
            ResolveResult(
                hostname=host,
                host=str(where[0]),
                port=port,
                family=of,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for of, _, protocol, _, where in await self._infos(host)
            if family in (socket.AF_UNSPEC, of)
        ]

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _infos(self, name: str) -> Sequence[AddressInfo]:
        until, _ = self._hung.get(name, (0.0, 0))
        if self._clock() < until:
            raise OSError(errno.EAGAIN, "its name servers didn't answer in time, so they aren't asked for a while")
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.create_task(self._look_up(name))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody waits any more
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                return await asyncio.shield(task)
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "its name servers don't answer in time") from None

    async def _look_up(self, name: str) -> Sequence[AddressInfo]:
        try:
            async with self._places.place(name):
                started = self._clock()
                try:
                    return await _in_a_thread(name)
                finally:
                    self._note(name, self._clock() - started)
        finally:
            del self._running[name]

    def _note(self, name: str, seconds: float) -> None:
        if seconds < _HANGS_SECONDS:
            self._hung.pop(name, None)
            return
        now = self._clock()
        if len(self._hung) >= _MOST_REMEMBERED:
            self._hung = {each: (until, times) for each, (until, times) in self._hung.items() if until > now}
        times = self._hung.get(name, (0.0, 0))[1]
        self._hung[name] = (now + min(_FIRST_SECONDS * 2.0 ** min(times, 16), _LONGEST_SECONDS), times + 1)


def _in_a_thread(name: str) -> "asyncio.Future[Sequence[AddressInfo]]":
    """Look a name up in a thread that nobody waits for at the end of the process."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Sequence[AddressInfo]] = loop.create_future()

    def finish(infos: Sequence[AddressInfo], error: Exception | None) -> None:
        if found.done():
            return
        if error:
            found.set_exception(error)
        else:
            found.set_result(infos)

    def look() -> None:
        infos: Sequence[AddressInfo] = ()
        error: Exception | None = None
        try:
            infos = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        except Exception as failed:  # noqa: BLE001 - it is raised where the name was asked for
            error = failed
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(finish, infos, error)

    threading.Thread(target=look, name="lookup", daemon=True).start()
    return found
