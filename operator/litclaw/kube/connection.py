"""The connection to an API server: configuration, authentication, and requests with plain dicts in and out.

Of ``kubernetes.aio`` only the configuration and the HTTP client are used. Its API client loads pydantic, and its
generated classes build a model object for every field of every response, which costs more than the request.
"""

import contextlib
import json
import os
import time
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import aiohttp

from litclaw import __version__
from litclaw.kube.apply_body import CONTENT_TYPE
from litclaw.kube.errors import KubeError, TooLargeError, UnavailableError, from_response
from litclaw.net.hooks import Fence, Observer, fenced

if TYPE_CHECKING:
    from kubernetes.aio.client.configuration import Configuration
    from kubernetes.aio.client.rest import RESTClientObject

Object = dict[str, Any]

_JSON = "application/json"
_TIMEOUT_SECONDS = 30.0
_SILENCE_SECONDS = 75.0  # the API server sends a bookmark about once a minute
_USER_AGENT = f"litclaw/{__version__}"
_LEASES = "/apis/coordination.k8s.io/"
_NO_RESPONSE = (TimeoutError, aiohttp.ClientError, OSError)


class Connection:
    """Requests to one API server."""

    def __init__(
        self, configuration: "Configuration", client: "RESTClientObject", observer: Observer | None = None
    ) -> None:
        self._configuration = configuration
        self._client = client
        self._observer = observer

    @classmethod
    async def connect(
        cls,
        kubeconfig: str | None = None,
        context: str | None = None,
        *,
        observer: Observer | None = None,
        fence: Fence | None = None,
    ) -> Self:
        """Connect with the pod's service account or, outside a cluster, with the kubeconfig.

        Args:
            kubeconfig: a file that is used instead, also inside a cluster.
            context: one of the kubeconfig's contexts; None: its current one.
            observer: called after each request.
            fence: called before each request that changes something.

        Raises:
            kubernetes.aio.config.ConfigException: there is no usable configuration.
        """
        # Imported late: it takes half of a command's start, and some commands need no cluster.
        from kubernetes.aio import config
        from kubernetes.aio.client.configuration import Configuration
        from kubernetes.aio.client.rest import RESTClientObject

        configuration = Configuration()
        configuration.connection_pool_maxsize = 0  # no limit: each watch has a connection
        configuration.trace_configs = [fenced(fence, _needs_no_leadership)] if fence else []
        if os.environ.get("KUBERNETES_SERVICE_HOST") and not (kubeconfig or context):
            # With trust_env, each request reads the environment and ~/.netrc: a fifth of the operator's CPU.
            configuration.client_session_kwargs = {"trust_env": False}
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(kubeconfig, context, client_configuration=configuration)
        return cls(configuration, RESTClientObject(configuration), observer)

    @property
    def host(self) -> str:
        """URL of the API server."""
        return str(self._configuration.host)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        accept: str = _JSON,
        patch: str = CONTENT_TYPE,
        most: int | None = None,
    ) -> Object:
        """The response's JSON.

        Args:
            body: JSON; for a patch, text of the content type ``patch``.
            most: bytes that the response may have, uncompressed; None: any number.

        Raises:
            TooLargeError: it has more.
            KubeError: the API server refuses the request or can't be reached.
        """
        started, status = time.monotonic(), 0
        try:
            response = await self._send(method, path, query, body, accept=accept, patch=patch)
            content = await _content(response, most)
            status = response.status
        except _NO_RESPONSE as error:
            raise _unreachable(error) from error
        finally:
            if self._observer:
                self._observer(method, path, status, time.monotonic() - started)
        if response.status >= 400:
            raise _refusal(response, content)
        try:
            parsed: Object = json.loads(content)
        except ValueError as error:
            raise UnavailableError(status, "Unreadable", "the API server's response isn't JSON") from error
        return parsed

    async def _lines(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """The lines of a response that the API server continues to write. An unfinished line is left out.

        Raises:
            KubeError: the API server refuses the request, is silent for too long, or the connection is lost.
        """
        silence = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT_SECONDS, sock_read=_SILENCE_SECONDS)
        try:
            response = await self._send("GET", path, query, timeout=silence)
            with contextlib.closing(response):
                if response.status >= 400:
                    raise _refusal(response, await response.read())
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        yield line
        except _NO_RESPONSE as error:
            raise _unreachable(error) from error

    async def _proxied(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body of a response that the API server passes on from another server.

        Raises:
            KubeError: the API server itself refuses the request, or can't be reached.
        """
        try:
            response = await self._send("GET", path, headers=headers)
            content: bytes = await response.read()
        except _NO_RESPONSE as error:
            raise _unreachable(error) from error
        if response.status >= 400 and _is_status(content):
            raise _refusal(response, content)
        return response.status, content

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        accept: str = _JSON,
        patch: str = CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout | float = _TIMEOUT_SECONDS,
    ) -> aiohttp.ClientResponse:
        content_type = patch if method == "PATCH" else _JSON
        sent_headers = {"Accept": accept, "Content-Type": content_type, **(headers or {}), "User-Agent": _USER_AGENT}
        authentication = await self._configuration.auth_settings()  # with a new token, if the last one has expired
        if token := authentication.get("BearerToken"):
            sent_headers[token["key"]] = token["value"]
        url = f"{self.host}{path}"
        if query:
            url = f"{url}?{urlencode(query)}"
        sent = await self._client.request(method, url, headers=sent_headers, body=body, _request_timeout=timeout)
        response: aiohttp.ClientResponse = sent.response
        return response


async def _content(response: aiohttp.ClientResponse, most: int | None) -> bytes:
    if most is None:
        return await response.read()
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > most:
            response.close()
            raise TooLargeError(response.status, "TooLarge", f"the API server's response has more than {most} bytes")
    return bytes(content)


def _unreachable(error: Exception) -> UnavailableError:
    return UnavailableError(0, "Unreachable", f"{type(error).__name__} from the API server")


def _refusal(response: aiohttp.ClientResponse, content: bytes) -> KubeError:
    return from_response(response.status, content, response.headers.get("Retry-After"))


def _is_status(content: bytes) -> bool:
    """True if a body is a Kubernetes ``Status``: the API server's own response."""
    try:
        return bool(json.loads(content).get("kind") == "Status")
    except (ValueError, AttributeError):
        return False


def _needs_no_leadership(method: str, path: str) -> bool:
    """True for requests that need no leadership: reads, and renewing the Lease itself."""
    return method == "GET" or path.startswith(_LEASES)
