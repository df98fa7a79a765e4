"""What kopf is told about the watches."""

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from litclaw.handlers.watches import Watches, _asked_again
from litclaw.kube.cache import Cache


def test_an_api_server_that_refuses_for_a_quarter_of_an_hour_ends_no_process() -> None:
    settings = Watches(Cache(), lambda key: None)._settings()
    backoffs = settings.networking.error_backoffs
    assert isinstance(backoffs, tuple) and sum(backoffs) > 15 * 60 and max(backoffs) <= 10


@pytest.mark.parametrize("status", [409, 410])
async def test_what_kopf_reads_is_asked_for_again_whatever_passes(status: int) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_route("*", "/apis", refuse)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession(server.make_url("/"), middlewares=(_asked_again,)) as kopf,
    ):
        with pytest.raises(aiohttp.ClientConnectionError, match=str(status)):
            await kopf.get("/apis")
        # A watch's end is kopf's to judge, and a write isn't made twice.
        async with kopf.get("/apis", params={"watch": "true"}) as answer:
            assert answer.status == status
        async with kopf.patch("/apis") as answer:
            assert answer.status == status
