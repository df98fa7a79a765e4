"""/healthz, /readyz and /metrics, on one port."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder


class Server:
    """A small HTTP server. It tells nothing secret, and takes nothing.

    Args:
        address: ``host:port``; an IPv6 address in brackets. No host: every address, of IPv4 and of IPv6 (asyncio's
            ``create_server`` makes a socket for each family that there is).
        alive: what is wrong with the process that a restart mends; empty: nothing.
        ready: why the process couldn't take over now; empty: it could, or does the work already.
    """

    def __init__(
        self,
        address: str,
        registry: CollectorRegistry,
        *,
        alive: Callable[[], str],
        ready: Callable[[], Awaitable[str]],
    ) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._registry = registry
        self._alive = alive
        self._ready = ready
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> None:
        """Serve from now on.

        Raises:
            OSError: the address isn't free.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Serve no more."""
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer(self._alive())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._alive() or await self._ready())

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        seen = _Seen(list(self._registry.collect()))
        # To write it out takes 0.3 s for a thousand agents on a busy machine, in which nobody should wait.
        body = await asyncio.to_thread(encode, seen)
        return _closing(web.Response(body=body, headers={"Content-Type": content_type}))


class _Seen(CollectorRegistry):
    """A registry as it was at one moment."""

    def __init__(self, metrics: list[Metric]) -> None:
        super().__init__()
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _answer(wrong: str) -> web.Response:
    return _closing(web.Response(text=f"{wrong or 'ok'}\n", status=503 if wrong else 200))


def _closing(response: web.Response) -> web.Response:
    response.force_close()  # a connection that is kept open would be waited for at the process' end
    return response
