"""What goes over the wire to a proxy, and what doesn't: on a real server on loopback."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from litclaw.litellm.client import LiteLLM
from litclaw.litellm.errors import NotLiteLLMError, RefusedAddressError, UnavailableError, UnreachableError
from litclaw.net import address
from pydantic import SecretStr

from .proxies import MASTER


@pytest.fixture
async def listener(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[int, bytearray]]:
    """A server on loopback that keeps what it is sent, and that a name of the outside resolves to."""
    got = bytearray()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(1024):
            got.extend(chunk)
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    real = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **given: Any) -> Any:
        return real("127.0.0.1" if host in ("rebound.example", b"rebound.example") else host, *args, **given)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], got
    await asyncio.sleep(0)


async def test_nothing_is_sent_to_a_metadata_address(
    listener: tuple[int, bytearray], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, got = listener
    async with LiteLLM(f"http://rebound.example:{port}", SecretStr("sk-the-master-key-of-a-route")) as client:
        with pytest.raises(UnavailableError):
            await client.model_info()
        assert b"sk-the-master-key-of-a-route" in got, "the listener sees what is sent"
    got.clear()
    # The tests can't listen on 169.254.169.254, so where they do stands for it.
    monkeypatch.setattr(address, "_METADATA", frozenset({ipaddress.ip_address("127.0.0.1")}))
    async with LiteLLM(f"http://rebound.example:{port}", SecretStr("sk-the-master-key-of-a-route")) as client:
        for _ in range(2):
            with pytest.raises(RefusedAddressError, match=r"leads to 127\.0\.0\.1"):
                await client.model_info()
    await asyncio.sleep(0.05)
    assert not got


async def test_of_several_addresses_those_that_are_refused_are_left_out(
    listener: tuple[int, bytearray], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, got = listener
    real = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **given: Any) -> Any:
        if host == "two.example":
            return [*real("169.254.169.254", port), *real("fd00:ec2::254", port)]
        return real(host, *args, **given)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with LiteLLM(f"http://two.example:{port}", MASTER) as client:
        with pytest.raises(RefusedAddressError, match="a link-local or metadata address"):
            await client.model_info()
    assert not got


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """A server that answers too much, for too long, or with a way to somewhere else."""
    asked: list[str] = []

    async def much(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 5000)

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.01)

    async def redirect(request: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/much/model/info", much)
    app.router.add_get("/drip/model/info", drip)
    app.router.add_get("/redirect/model/info", redirect)
    app.router.add_get("/elsewhere", elsewhere)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    assert asked == [], "a redirect is followed"
    await runner.cleanup()


async def test_an_answer_without_end_is_given_up(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litclaw.litellm.transport._LARGEST_ANSWER", 1000)
    monkeypatch.setattr("litclaw.litellm.transport._TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    async with LiteLLM(f"{server}/much", MASTER) as client:
        with pytest.raises(NotLiteLLMError, match="more than LiteLLM ever does"):
            await client.model_info()
    async with LiteLLM(f"{server}/drip", MASTER) as client:
        with pytest.raises(UnreachableError, match="TimeoutError"):
            await client.model_info()


async def test_a_redirect_is_not_followed(server: str) -> None:
    async with LiteLLM(f"{server}/redirect", MASTER) as client:
        with pytest.raises(NotLiteLLMError, match="redirects"):
            await client.model_info()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://nowhere.invalid", "http://127.0.0.1:99999", "http://a..b"]
)
async def test_what_cannot_be_reached_is_told_without_the_authorization_header(url: str) -> None:
    async with LiteLLM(url, MASTER) as client:
        with pytest.raises(UnreachableError) as caught:
            await client.model_info()
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert MASTER.get_secret_value() not in str(caught.value)
