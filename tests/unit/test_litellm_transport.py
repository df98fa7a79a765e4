"""What is sent to a proxy, and what isn't: with real servers on loopback."""

import asyncio
import contextlib
import gzip
import ipaddress
import json
import logging
import re
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import litclaw
import pytest
import trustme
from aiohttp import web
from litclaw.litellm import transport
from litclaw.litellm.client import LiteLLM
from litclaw.litellm.errors import (
    LiteLLMError,
    NotLiteLLMError,
    RefusedAddressError,
    UnavailableError,
    UnreachableError,
    UntrustedError,
)
from litclaw.litellm.transport import Transport
from litclaw.net import address
from litclaw.net.address import AddressGuard
from litclaw.net.places import Places
from pydantic import SecretStr

from .handled import MASTER

Resolve = Callable[[dict[str, list[str]]], None]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Sets the addresses that names resolve to."""
    real, known = socket.getaddrinfo, dict[str, list[str]]()

    def getaddrinfo(host: Any, *args: Any, **given: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return [found for each in known.get(name, [name]) for found in real(each, *args, **given)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known.update


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[int, bytearray]]:
    """A server on loopback that keeps what it receives, and answers each request with 500."""
    got = bytearray()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(1024):
            got.extend(chunk)
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], got
    await asyncio.sleep(0)


@asynccontextmanager
async def serving(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A server on loopback. Its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def asking(url: str, **given: Any) -> dict[str, Any]:
    """What a client gets from a URL."""
    async with LiteLLM(url, MASTER, **given) as client:
        return dict(await client.model_info())


# Connections


async def test_an_observation_does_not_go_to_a_pod_that_ends_by_a_connection_of_before() -> None:
    """kube-proxy leads new connections to pods that stay; one that is open leads to its pod for as long as that accepts calls."""
    peers: dict[str, set[Any]] = {}

    async def handler(request: web.Request) -> web.Response:
        peers.setdefault(request.path, set()).add(request.transport and request.transport.get_extra_info("peername"))
        return web.json_response({"status": "connected", "db": "connected", "data": [], "keys": []})

    async with serving(handler) as url, LiteLLM(url, MASTER) as client:
        for _ in range(3):
            await client.readiness()
            await client.release()
            await client.model_info()
            await client.block_key("x")
    observed = [peer for path, found in peers.items() if path != "/key/block" for peer in found]
    assert len(observed) == len(set(observed)) == 9 and len(peers["/key/block"]) == 1


# Addresses


async def test_nothing_is_sent_to_a_metadata_address(monkeypatch: pytest.MonkeyPatch, resolve: Resolve) -> None:
    resolve({"rebound.example": ["127.0.0.1"]})
    async with listening() as (port, got):
        with pytest.raises(UnavailableError):
            await asking(f"http://rebound.example:{port}")
        assert MASTER.get_secret_value().encode() in got, "the listener sees what is sent"
        got.clear()
        # The tests can't listen on 169.254.169.254, so 127.0.0.1 stands for it.
        monkeypatch.setattr(address, "_METADATA", frozenset({ipaddress.ip_address("127.0.0.1")}))
        async with LiteLLM(f"http://rebound.example:{port}", MASTER) as client:
            for _ in range(2):
                with pytest.raises(RefusedAddressError, match="leads to a loopback, link-local or metadata address"):
                    await client.model_info()
        await asyncio.sleep(0.05)
        assert not got


@pytest.mark.parametrize("others", [[], ["127.0.0.1"]])
async def test_of_several_addresses_those_that_are_refused_are_left_out(resolve: Resolve, others: list[str]) -> None:
    resolve({"several.example": ["169.254.169.254", "fd00:ec2::254", *others]})
    async with listening() as (port, got):
        with pytest.raises(UnavailableError if others else RefusedAddressError):
            await asking(f"http://several.example:{port}")
        assert bool(got) == bool(others)


@pytest.mark.parametrize("guard", [AddressGuard(loopback=True), AddressGuard(api_server="127.0.0.1")])
async def test_what_is_refused_says_the_same_whether_or_not_something_listens(guard: AddressGuard) -> None:
    async with listening() as (port, got):
        free = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        nobody = free.sockets[0].getsockname()[1]
        free.close()
        await free.wait_closed()
        said = set()
        for where in (port, nobody):
            with pytest.raises(RefusedAddressError) as refused:
                await asking(f"http://127.0.0.1:{where}", guard=guard)
            said.add(str(refused.value).replace(str(where), "…"))
        assert not got and len(said) == 1


async def test_a_proxy_from_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as (port, got), listening() as (elsewhere, led_there):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{elsewhere}")
        with pytest.raises(UnavailableError):
            await asking(f"http://127.0.0.1:{port}")
        assert got and not led_there


async def test_a_redirect_is_not_followed_and_a_cookie_is_not_kept() -> None:
    seen: list[tuple[str, str]] = []

    async def redirect(request: web.Request) -> web.Response:
        seen.append((request.path, request.headers.get("Cookie", "")))
        return web.Response(status=302, headers={"Location": "/elsewhere", "Set-Cookie": "a=b"})

    async with serving(redirect) as url, LiteLLM(url, MASTER) as client:
        for _ in range(2):
            with pytest.raises(NotLiteLLMError, match="redirects"):
                await client.model_info()
    assert seen == [("/model/info", "")] * 2


# Certificates


async def test_only_a_certificate_that_is_trusted_and_for_the_host_is_accepted(resolve: Resolve) -> None:
    resolve({"proxy.example": ["127.0.0.1"]})
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    trusted = authority.cert_pem.bytes().decode()

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"data": [{"model_name": "gpt"}]})

    async with serving(models, tls) as url:
        assert await asking(url, authorities=trusted) == {"gpt": {}}
        with pytest.raises(UntrustedError, match=r"isn't trusted: (self-signed|unable to get local issuer)"):
            await asking(url)
        with pytest.raises(UntrustedError, match=r"isn't trusted: Hostname mismatch"):
            await asking(url.replace("127.0.0.1", "proxy.example"), authorities=trusted)
        with pytest.raises(UnreachableError, match="Disconnected"):
            await asking(url.replace("https", "http"))


def test_authorities_that_are_no_certificates_are_refused_before_anything_is_sent() -> None:
    async def connect() -> None:
        Transport("https://127.0.0.1:1", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----")

    with pytest.raises(ssl.SSLError):
        asyncio.run(connect())


# Limits


async def test_a_response_that_is_larger_than_any_of_litellms_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b""

    async def much(request: web.Request) -> web.Response:
        return web.Response(body=body)

    monkeypatch.setattr(transport, "_SMALL_RESPONSE", 40_000)
    monkeypatch.setattr(transport, "_LARGEST_RESPONSE", 50_000)
    monkeypatch.setattr(transport, "_MOST_ELEMENTS", 1000)
    async with serving(much) as url:
        body = json.dumps({"data": [[]] * 490}).encode()
        assert await asking(url) == {}
        for body in (b"x" * 50_001, json.dumps({"data": [[]] * 510}).encode(), b"{" * 1001, b"," * 1001):
            with pytest.raises(NotLiteLLMError, match="more than LiteLLM ever does"):
                await asking(url)


async def test_only_lists_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    async def much(request: web.Request) -> web.Response:
        return web.Response(status=500 if "fails" in request.query else 200, body=b'{"a": "' + b"x" * 5_000 + b'"}')

    monkeypatch.setattr(transport, "_SMALL_RESPONSE", 1_000)
    async with serving(much) as url:
        sender = Transport(url)
        for path in ("/key/list", "/model/info"):
            assert len((await sender.send("GET", path, bearer=MASTER)).content) > 5_000
        for path, params in (("/key/info", {}), ("/health/readiness", {}), ("/key/list", {"fails": "yes"})):
            with pytest.raises(NotLiteLLMError):
                await sender.send("GET", path, bearer=MASTER, params=params)
        await sender.close()


async def test_few_large_responses_are_read_at_a_time_and_small_ones_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred proxies with a large response each, sent slowly, would take all memory."""
    go, begun = asyncio.Event(), 0

    async def slowly(request: web.Request) -> web.StreamResponse:
        nonlocal begun
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"data": [' + b" " * 2_000)
        begun += 1
        if "small" not in request.headers.get("Authorization", ""):
            await go.wait()
        await response.write(b"]}")
        return response

    monkeypatch.setattr(transport, "_SMALL_RESPONSE", 1_000)
    places = Places(4, 3.0)  # of which those that are unknown have three
    async with serving(slowly) as url:
        senders = [Transport(url, large=places) for _ in range(5)]
        reads = [asyncio.create_task(each.send("GET", "/model/info", bearer=MASTER)) for each in senders]
        while begun < 5 or not places._for_unknown.locked():
            await asyncio.sleep(0.01)
        with pytest.raises(NotLiteLLMError):  # what isn't a list needs no place, and gets no more room
            await senders[0].send("GET", "/key/info", bearer=SecretStr("sk-small"))
        assert not any(each.done() for each in reads)
        go.set()
        assert {(await each).status for each in reads} == {200}
        for each in senders:
            await each.close()
    assert not places._for_all.locked()


async def test_who_sends_a_large_response_slowly_loses_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stops(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b" " * 2_000)
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(transport, "_SMALL_RESPONSE", 1_000)
    monkeypatch.setattr(transport, "_LARGE_SECONDS", 0.1)
    places = Places(4, 0.05)
    async with serving(stops) as url:
        sender = Transport(url, large=places)
        with pytest.raises(UnreachableError, match="timeout"):
            await sender.send("GET", "/model/info", bearer=MASTER)
        await sender.close()
        assert places._for_slow in places._needed(url), "its next one waits for those of others that are slow"
    assert not places._for_all.locked()


async def test_a_compressed_response_is_not_expanded() -> None:
    """Ten kilobytes of it would be ten megabytes."""
    bomb = gzip.compress(b'{"data": [' + b" " * 10_000_000 + b"]}")

    async def zipped(request: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": request.query["as"]})

    async with serving(zipped) as url:
        sender = Transport(url)
        for way in ("gzip", "deflate", "br", "zstd", "gzip, gzip"):
            assert (await sender.send("GET", "/model/info", bearer=MASTER, params={"as": way})).content == bomb
        await sender.close()


@pytest.mark.parametrize(
    "head",
    [
        b"X-Large: " + b"x" * 1_000_000,
        b"\r\n".join(b"X-%d: y" % number for number in range(10_000)),
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: -5",
        b"Content-Length: 99999999999999999999999999",
        b"Transfer-Encoding: gzip, chunked",
        b"X\x00y: z",
        b": nothing",
        b"Set-Cookie: a=b; Domain=*; Path=/",
    ],
    ids=lambda head: head[:20].decode("latin-1"),
)
async def test_odd_headers_are_no_exception_that_nobody_expects(head: bytes) -> None:
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n{}")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(odd, "127.0.0.1", 0)
    async with server:
        with contextlib.suppress(LiteLLMError):
            assert await asking(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") == {}


async def test_strings_do_not_make_a_response_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent's owner may write commas into tags, and must not make the list of all keys unreadable by that."""
    monkeypatch.setattr(transport, "_MOST_ELEMENTS", 50)

    async def commas(request: web.Request) -> web.Response:
        return web.Response(body=json.dumps({"data": [], "note": ',[{:"\\' * 1_000}).encode())

    async with serving(commas) as url:
        assert await asking(url) == {}


async def test_a_server_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    monkeypatch.setattr(transport, "_TOTAL_SECONDS", 0.2)
    async with serving(drip) as url, LiteLLM(url, MASTER) as client:
        with pytest.raises(UnreachableError, match="timeout"):
            await client.model_info()
        await asyncio.wait_for(closed.wait(), 5)  # its connection isn't used again


async def test_a_server_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(transport, "_TIMEOUTS", {"connect": 5.0, "read": 0.1, "pool": None})
    async with serving(silent) as url:
        with pytest.raises(UnreachableError, match="timeout"):
            await asking(url)


async def test_a_server_that_accepts_no_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_TIMEOUTS", {"connect": 0.1, "read": 30.0, "pool": None})
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (first, second):  # fill the backlog, so that the kernel drops further connections
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        with pytest.raises(UnreachableError, match="timeout"):
            await asking(f"http://127.0.0.1:{full.getsockname()[1]}")


async def test_a_response_that_breaks_off_is_no_response() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    async with server:
        with pytest.raises(UnreachableError, match="Payload|ContentLength"):
            await asking(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


# What is on the wire


async def test_a_request_has_the_headers_it_needs_and_no_others() -> None:
    seen: list[tuple[str, dict[str, str], str]] = []

    async def remember(request: web.Request) -> web.Response:
        headers = {name.title(): value for name, value in request.headers.items() if name.lower() != "host"}
        seen.append((request.path_qs, headers, await request.text()))
        return web.json_response({"key": "x"}, headers={"Date": "Tue, 24 Nov 2026 10:00:00 GMT"})

    common = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"litclaw/{litclaw.__version__}",
    }
    calls: list[tuple[str, str, int]] = []
    async with serving(remember) as url:
        connections = Transport(url, observer=lambda *call: calls.append(call[:3]))
        await connections.send("GET", "/health/readiness", bearer=None)
        response = await connections.send(
            "POST", "/key/update", bearer=MASTER, payload={"key_alias": "ä/😀", "duration": None, "spend": 1e-07}
        )
        await connections.close()
    assert (response.status, response.content, response.date) == (
        200,
        b'{"key": "x"}',
        "Tue, 24 Nov 2026 10:00:00 GMT",
    )
    body = '{"key_alias": "\\u00e4/\\ud83d\\ude00", "duration": null, "spend": 1e-07}'
    sent = {"Authorization": f"Bearer {MASTER.get_secret_value()}", "Content-Type": "application/json"}
    assert seen == [
        ("/health/readiness", common, ""),
        ("/key/update", {**common, **sent, "Content-Length": str(len(body))}, body),
    ]
    assert calls == [("GET", "/health/readiness", 200), ("POST", "/key/update", 200)]


@pytest.mark.parametrize("alias", ["team-a/scout#2.0123abcd", "a b+c&d=e?f", "50%/%2F", "ä😀@x;y,z", "'\"<>|\\^`{}[]"])
async def test_an_alias_arrives_as_it_is(alias: str) -> None:
    seen: list[str] = []

    async def listed(request: web.Request) -> web.Response:
        seen.append(request.query["key_alias"])
        return web.json_response({"keys": [], "total_pages": 0})

    async with serving(listed) as url, LiteLLM(f"{url}/a/prefix", MASTER) as client:
        assert [row async for row in client.list_keys(alias=alias)] == []
    assert seen == [alias]


# Secrets


async def fail(url: str, key: str, **given: Any) -> LiteLLMError:
    """The error of a request with a key."""
    async with LiteLLM(url, SecretStr(key), **given) as client:
        with pytest.raises(LiteLLMError) as caught:
            await client.update_key("token", {"metadata": {"x": key}})
    return caught.value


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:1", "refused|Connect call failed"),
        ("https://127.0.0.1:1", "refused|Connect call failed"),
        ("http://nowhere.invalid", r"\("),
        ("http://127.0.0.1:99999", r"\("),
        ("http://a..b", r"\("),
        ("http://[::1", "InvalidURL"),
    ],
)
async def test_an_error_does_not_contain_the_request(url: str, why: str) -> None:
    error = await fail(url, "sk-a-key-that-nobody-may-read")
    assert isinstance(error, UnreachableError) and re.search(why, str(error))
    assert error.__cause__ is None and error.__suppress_context__
    assert "sk-a-key" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("key", ["sk-with-ключ-inside", "sk-with-\r\nX-Injected: header", "sk-with-\0"])
async def test_a_key_that_is_no_header_is_neither_sent_nor_shown(key: str) -> None:
    async with listening() as (port, got):
        error = await fail(f"http://127.0.0.1:{port}", key)
        assert isinstance(error, UnreachableError) and "sk-with" not in "".join(traceback.format_exception(error))
        await asyncio.sleep(0.05)
        assert b"Injected" not in got and b"sk-with" not in got


async def test_no_key_is_logged_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    async with listening() as (port, got):
        for url in (f"http://127.0.0.1:{port}", "http://127.0.0.1:1", "http://127.0.0.1:99999"):
            await fail(url, "sk-a-key-that-nobody-may-read")
        assert b"sk-a-key" in got
    assert "sk-a-key" not in caplog.text
    assert not [each for each in caplog.records if each.name.partition(".")[0] in ("httpx", "httpcore", "aiohttp")]


async def test_a_call_without_a_response_is_observed() -> None:
    calls: list[tuple[str, str, int]] = []
    await fail("http://127.0.0.1:1", "sk-x", observer=lambda *call: calls.append(call[:3]))
    assert calls == [("POST", "/key/update", 0)]


def test_one_module_knows_httpx() -> None:
    root = Path(litclaw.__file__).parent
    users = [
        path for path in root.rglob("*.py") if re.search(r"^\s*(import|from) httpx", path.read_text(), re.MULTILINE)
    ]
    assert [str(path.relative_to(root)) for path in users] == ["litellm/transport.py"]
