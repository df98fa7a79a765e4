"""Requests to one proxy's own URL, and to nowhere else.

Redirects aren't followed, and no proxy from the environment is used. An address is looked at as the connection to it is
made: what a name resolved to when somebody looked is no promise of what it resolves to now.
"""

import errno
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import certifi
from pydantic import SecretStr

from litclaw.litellm.errors import NotLiteLLMError, RefusedAddressError, UnreachableError, UntrustedError
from litclaw.net.address import Reach, reach_of_ip
from litclaw.net.hooks import Fence, Observer, fenced

# The whole answer has its own bound, because a server may drip for ever.
_TIMEOUT = aiohttp.ClientTimeout(total=60.0, sock_connect=5.0, sock_read=30.0)
_LARGEST_ANSWER = 32 * 2**20  # a hundred keys are 0.3 MB
_MOST_CONNECTIONS = 32
_KEEP_ALIVE_SECONDS = 4.0  # uvicorn, in which LiteLLM runs, closes an idle connection after 5
_REFUSED = "a link-local or metadata address"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a proxy has answered.

    Attributes:
        date: when, by its own clock, as the header Date has it; empty: it doesn't say.
    """

    status: int
    content: bytes
    date: str = ""


class Http:
    """The connections to one proxy.

    Args:
        url: root of the proxy, without ``/v1``.
        authorities: certificates, in PEM, that the proxy's own is checked against; empty: the usual ones.
        observer: is told of each request.
        fence: is asked before each request.

    Raises:
        ssl.SSLError: ``authorities`` are no certificates.
    """

    def __init__(
        self, url: str, authorities: str = "", *, observer: Observer | None = None, fence: Fence | None = None
    ) -> None:
        self._url = url
        self._observer = observer
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=_tls(authorities) if url.startswith("https:") else True,
                limit=_MOST_CONNECTIONS,
                keepalive_timeout=_KEEP_ALIVE_SECONDS,
                use_dns_cache=False,
                socket_factory=_socket,
            ),
            timeout=_TIMEOUT,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            trace_configs=[fenced(fence)] if fence else [],
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        bearer: SecretStr | None,
        payload: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request, and read its whole answer.

        Raises:
            UnreachableError: no answer; UntrustedError and RefusedAddressError where that is why.
            NotLiteLLMError: an answer that is larger than any of LiteLLM's.
        """
        headers = {"Authorization": f"Bearer {bearer.get_secret_value()}"} if bearer else {}
        started, status = time.monotonic(), 0
        try:
            async with self._session.request(
                method, f"{self._url}{path}", json=payload, params=params, headers=headers, allow_redirects=False
            ) as response:
                content = bytearray()
                async for chunk in response.content.iter_any():
                    content += chunk
                    if len(content) > _LARGEST_ANSWER:
                        raise NotLiteLLMError(f"{self._url}{path} answers more than LiteLLM ever does: check the URL")
                status = response.status
                return Answer(status, bytes(content), response.headers.get("Date", ""))
        # "from None": an error of the library's may hold the request, and with it the Authorization header.
        except aiohttp.ClientConnectorCertificateError as error:
            why = getattr(error.certificate_error, "verify_message", "") or "it doesn't fit the host"
            raise UntrustedError(f"the certificate of {self._url} isn't trusted: {why}") from None
        except aiohttp.ClientConnectorError as error:
            why = str(error.os_error.strerror or error.os_error)
            if _REFUSED in why:
                raise RefusedAddressError(f"{self._url} {why}") from None
            raise UnreachableError(f"{self._url} can't be reached ({why})") from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise UnreachableError(f"{self._url} can't be reached ({type(error).__name__})") from None
        finally:
            if self._observer:
                self._observer(method, path, status, time.monotonic() - started)


def _tls(authorities: str) -> ssl.SSLContext:
    if authorities:
        return ssl.create_default_context(cadata=authorities)
    return ssl.create_default_context(cafile=certifi.where())


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for an address of ``getaddrinfo``'s, before it is connected.

    Raises:
        OSError: it is one that no proxy is at.
    """
    family, kind, protocol, _, where = address
    if reach_of_ip(str(where[0])) is Reach.LINK_LOCAL:
        raise OSError(errno.EACCES, f"leads to {where[0]}, {_REFUSED}")
    return socket.socket(family=family, type=kind, proto=protocol)
