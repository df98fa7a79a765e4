"""/healthz, /readyz and /metrics, on one port."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder


class Server:
    """A small HTTP server. It shows no secret, and takes no input.

    /healthz answers as long as the event loop runs: a hung loop is what a restart repairs. A slow pass isn't, as it would be
    as slow afterwards.

    Args:
        address: ``host:port``; an IPv6 address in brackets. No host: every address, of IPv4 and of IPv6 (asyncio's
            ``create_server`` makes a socket for each family that there is).
        ready: why the process couldn't take over now; empty: it could, or it leads already.
    """

    def __init__(
        self,
        address: str,
        registry: CollectorRegistry,
        *,
        ready: Callable[[], Awaitable[str]],
    ) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._registry = registry
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
        """Start serving.

        Raises:
            OSError: the address isn't free.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Stop serving."""
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer("")

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(await self._ready())

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        collected = _Collected(list(self._registry.collect()))
        # Encoding takes 0.3 s for a thousand agents on a busy machine; the event loop goes on meanwhile.
        body = await asyncio.to_thread(encode, collected)
        return _closing(web.Response(body=body, headers={"Content-Type": content_type}))


class _Collected(CollectorRegistry):
    """A registry as it was at one moment, for the encoder in another thread."""

    def __init__(self, metrics: list[Metric]) -> None:
        super().__init__()
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _answer(problem: str) -> web.Response:
    return _closing(web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200))


def _closing(response: web.Response) -> web.Response:
    response.force_close()  # the process would wait for a kept-open connection at its end
    return response
