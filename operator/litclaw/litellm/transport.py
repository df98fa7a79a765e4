"""Requests to one LiteLLM proxy's own URL, and to nowhere else. The one module that knows the HTTP libraries.

Requests and responses are httpx's, and aiohttp sends them (httpx-aiohttp). They go straight to httpx's transport, past
`httpx.AsyncClient`, so that there are no redirects, cookies, proxies from the environment, credentials from the URL or log
lines to switch off. CPU time of a request with a response of 2 kB, measured with uvloop: 0.25 ms; with aiohttp alone 0.15,
through `httpx.AsyncClient` 0.4, with httpx's own transport 1.0.

An address is checked when its connection is made: a name may resolve to another address than at an earlier check.
"""

import asyncio
import errno
import functools
import json
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
import certifi
import httpx
from httpx_aiohttp import AiohttpTransport
from pydantic import SecretStr

from litclaw import __version__
from litclaw.litellm.errors import NotLiteLLMError, RefusedAddressError, UnreachableError, UntrustedError
from litclaw.net.address import OUTSIDE, REFUSED_ADDRESS, AddressGuard
from litclaw.net.hooks import Fence, Observer, fenced
from litclaw.net.places import Places
from litclaw.net.resolver import Resolver

_TIMEOUTS = {"connect": 5.0, "read": 30.0, "pool": None}  # in seconds
_TOTAL_SECONDS = 60.0  # of a whole request: a server that sends a byte now and then never exceeds the others
_LARGEST_RESPONSE = 8 * 2**20  # bytes; a hundred keys are 0.3 MB
_SMALL_RESPONSE = 2**19
_LARGE_PATHS = ("/key/list", "/model/info")  # the others answer with one key or less
_LARGE_AT_ONCE = 4  # in the whole process: a hundred proxies with a large response each would take all memory
_LARGE_SLOW_SECONDS = 3.0  # proxies that take longer share one place
_LARGE_SECONDS = 10.0  # for what is more than small; a server that drips keeps nobody waiting for longer
_MOST_ELEMENTS = 500_000  # of JSON: an empty list takes 3 bytes of a response and 64 of memory
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # never fails once begun, so that it takes linear time
_MOST_CONNECTIONS = 32
_KEEP_ALIVE_SECONDS = 4.0  # uvicorn, in which LiteLLM runs, closes an idle connection after 5
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"litclaw/{__version__}"}
_REFUSED = f"leads to {REFUSED_ADDRESS}"
_parsed = functools.lru_cache(maxsize=512)(httpx.URL)  # parsing a URL is a third of httpx's part of a request


@dataclass(frozen=True, slots=True)
class Response:
    """A proxy's response.

    Attributes:
        date: the header Date, by the proxy's clock; empty: there is none.
    """

    status: int
    content: bytes
    date: str = ""


def large_responses() -> Places:
    """The places for large responses, which the transports of a process share."""
    return Places(_LARGE_AT_ONCE, _LARGE_SLOW_SECONDS)


class Transport:
    """The connections to one proxy.

    Args:
        url: root of the proxy, without ``/v1``.
        authorities: certificates, in PEM, that the proxy's own is checked against; empty: the usual ones.
        observer: called after each request.
        fence: called before each request.
        guard: refuses addresses.
        large: see `large_responses`.
        resolver: looks names up; the transports of a process share it.

    Raises:
        ssl.SSLError: ``authorities`` aren't certificates.
    """

    def __init__(
        self,
        url: str,
        authorities: str = "",
        *,
        observer: Observer | None = None,
        fence: Fence | None = None,
        guard: AddressGuard = OUTSIDE,
        large: Places | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._url = url
        self._observer = observer
        self._large = large or large_responses()
        names = resolver or Resolver()
        self._headers = dict(_HEADERS)
        tls = _tls(url.startswith("https:"), authorities)

        def connections(**how: Any) -> AiohttpTransport:
            connector = aiohttp.TCPConnector(
                ssl=tls,
                limit=_MOST_CONNECTIONS,
                use_dns_cache=False,
                resolver=names,
                socket_factory=functools.partial(_guarded_socket, guard),
                **how,
            )
            session = aiohttp.ClientSession(
                connector=connector,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[fenced(fence)] if fence else [],
            )
            return AiohttpTransport(client=session, verify=tls)

        self._kept = connections(keepalive_timeout=_KEEP_ALIVE_SECONDS)
        self._single = connections(force_close=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._kept.aclose()
        await self._single.aclose()

    async def send(
        self,
        method: str,
        path: str,
        *,
        bearer: SecretStr | None,
        payload: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        alone: bool = False,
    ) -> Response:
        """Send one request, and read its whole response.

        Args:
            alone: True for a connection of its own: one that is kept open may lead to a pod that is about to end.

        Raises:
            UnreachableError: no response; UntrustedError and RefusedAddressError where that is the cause.
            NotLiteLLMError: a response that is larger than any of LiteLLM's.
        """
        started, status = time.monotonic(), 0
        try:
            async with asyncio.timeout(_TOTAL_SECONDS):
                request = self._request(method, path, bearer, payload, params)
                transport = self._single if alone else self._kept
                response = await transport.handle_async_request(request)
                try:
                    content = await self._read(response, path)
                finally:
                    await response.aclose()
            status = response.status_code
            return Response(status, content, response.headers.get("Date", ""))
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError, ValueError) as error:
            # "from None": the libraries' exceptions may contain the request, and with it the Authorization header.
            raise self._failure(error) from None
        finally:
            if self._observer:
                self._observer(method, path, status, time.monotonic() - started)

    def _request(
        self,
        method: str,
        path: str,
        bearer: SecretStr | None,
        payload: Mapping[str, Any] | None,
        params: Mapping[str, str] | None,
    ) -> httpx.Request:
        query = f"?{urlencode(params)}" if params else ""
        headers, content = dict(self._headers), None
        if bearer:
            headers["Authorization"] = f"Bearer {bearer.get_secret_value()}"
        if payload is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(payload).encode()
        return httpx.Request(
            method,
            _parsed(f"{self._url}{path}{query}"),
            headers=headers,
            content=content,
            extensions={"timeout": _TIMEOUTS},
        )

    async def _read(self, response: httpx.Response, path: str) -> bytes:
        """The body as it was sent: a compressed one isn't expanded."""
        content, chunks = bytearray(), response.aiter_raw()
        too_much = await _exceeds(content, chunks, _SMALL_RESPONSE)
        if too_much and path in _LARGE_PATHS and response.status_code < 300:
            async with self._large.place(self._url), asyncio.timeout(_LARGE_SECONDS):
                too_much = await _exceeds(content, chunks, _LARGEST_RESPONSE)
        if too_much or _elements(content) > _MOST_ELEMENTS:
            raise NotLiteLLMError(f"{self._url}{path} answers more than LiteLLM ever does: check the URL")
        return bytes(content)

    def _failure(self, error: Exception) -> UnreachableError | RefusedAddressError | UntrustedError:
        """The error for an exception of the libraries, whose causes say more than its class: httpx-aiohttp's are coarse."""
        causes = list(_causes(error))
        root = causes[-1]
        if isinstance(root, ssl.SSLCertVerificationError):
            why = getattr(root, "verify_message", "") or "it isn't valid for the host"
            return UntrustedError(f"the certificate of {self._url} isn't trusted: {why}")
        if any(isinstance(cause, TimeoutError) for cause in causes):
            return UnreachableError(f"{self._url} can't be reached (timeout)")
        why = str(root.strerror or root) if isinstance(root, OSError) else type(root).__name__
        if _REFUSED in why:
            return RefusedAddressError(f"{self._url} {why}")
        return UnreachableError(f"{self._url} can't be reached ({why})")


async def _exceeds(content: bytearray, chunks: AsyncIterator[bytes], most: int) -> bool:
    """Read on until the end or that many bytes; returns True if there are more."""
    async for chunk in chunks:
        content += chunk
        if len(content) > most:
            return True
    return False


def _elements(content: bytes | bytearray) -> int:
    """About how many values JSON in UTF-8 has. Characters in strings count only where it doesn't matter."""
    count = _separators(content)
    return count if count <= _MOST_ELEMENTS else _separators(_STRING.sub(b"", content))


def _separators(content: bytes | bytearray) -> int:
    return sum(map(content.count, (b",", b"[", b"{", b":")))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and its causes. Not its context, which may be an exception that the caller was handling."""
    while error is not None:
        yield error
        error = error.__cause__


@functools.lru_cache(maxsize=32)
def _tls(secure: bool, authorities: str) -> ssl.SSLContext:
    """A context with the usual authorities takes half a megabyte, so the connections to all proxies share it."""
    if not secure:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, and takes no time or memory to make
    if authorities:
        return ssl.create_default_context(cadata=authorities)
    return ssl.create_default_context(cafile=certifi.where())


def _guarded_socket(guard: AddressGuard, address: tuple[Any, ...]) -> socket.socket:
    """A socket for an address of ``getaddrinfo``'s, before it is connected.

    Raises:
        OSError: no proxy is at such an address.
    """
    if guard.refuses(str(address[4][0])):
        raise OSError(errno.EACCES, _REFUSED)
    return _socket(address)


def _socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, _ = address
    return socket.socket(family=family, type=kind, proto=protocol)
