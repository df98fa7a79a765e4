"""The real servers behind the faulty world: the API server of a kubeconfig, and LiteLLMs by port-forward."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from dev.cluster import Cluster

from .calls import is_numbered
from .detour import OPERATOR_HEADER

_DROPPED = {"host", "connection", "authorization", "content-length", "transfer-encoding", "keep-alive"}
_HEADERS_OF_LITELLM = {"host", "connection", "content-length", "transfer-encoding", "keep-alive", "accept-encoding"}
_HEADERS_OF_LITELLM.add(OPERATOR_HEADER.lower())
Answer = tuple[int, dict[str, str], bytes]
_SAME_FOR_ALL = ("/health/readiness", "/health/readiness/details", "/model/info", "/key/list")
_SHARED_SECONDS = 5.0
_FORWARD_SECONDS = 120.0
OPERATOR_USER = "system:serviceaccount:litclaw-system:litclaw"


class ApiServer:
    """The real API server, called as a kubeconfig's administrator who impersonates the operator's service account.

    So the operator has exactly the permissions of `deploy/permissions`.
    """

    def __init__(self, configuration: Any) -> None:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        self._host = configuration.host
        self._headers = {"Impersonate-User": OPERATOR_USER}
        if token := configuration.api_key.get("BearerToken"):
            self._headers["Authorization"] = token
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=60)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)

    @classmethod
    async def connect(cls, kubeconfig: Path) -> Self:
        """Connect by a kubeconfig's current context."""
        configuration = Configuration()
        await config.load_kube_config(str(kubeconfig), client_configuration=configuration)
        return cls(configuration)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def _sent(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in headers.items() if name.lower() not in _DROPPED} | self._headers

    async def call(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Pass a request on."""
        url = f"{self._host}{path}"
        async with self._session.request(method, url, headers=self._sent(headers), data=body or None) as response:
            return response.status, dict(response.headers), await response.read()

    @contextlib.asynccontextmanager
    async def stream(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Pass a watch on."""
        sent = {**self._sent(headers), "Accept-Encoding": "identity"}
        async with self._session.get(f"{self._host}{path}", headers=sent) as response:
            yield response


class Proxies:
    """Real LiteLLMs behind port-forwards.

    Args:
        services: ``<namespace>/<service>`` by the end of a tenant's name; the empty end is for all others.
        masters: the master key of each of them, by ``<namespace>/<service>``.
    """

    def __init__(self, cluster: Cluster, services: Mapping[str, str], masters: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._services = dict(services)
        self._masters = dict(masters)
        self._urls: dict[str, str] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._lock = asyncio.Lock()
        self._shared: dict[tuple[str, ...], tuple[float, asyncio.Future[Answer]]] = {}
        # LiteLLM ends a connection that has been idle for 5 s, and a port-forward reports that late.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=1.5)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    @property
    def ends(self) -> tuple[str, ...]:
        """The ends of tenants' names, one for each LiteLLM."""
        return tuple(self._services)

    def service(self, tenant: str) -> str:
        """The LiteLLM of a tenant, as ``<namespace>/<service>``; a tenant may also be ``<service>.<namespace>``.

        A Service of a numbered case has no pods: it is served as the case's other tenants are.
        """
        name, dot, namespace = tenant.partition(".")
        return f"{namespace}/{name}" if dot and not is_numbered(tenant) else self._services[self.end(tenant)]

    def master_of(self, tenant: str) -> str:
        """The master key of a tenant's LiteLLM."""
        return self._masters[self.service(tenant)]

    def end(self, tenant: str) -> str:
        """The one of `ends` that a tenant's name has."""
        return next((end for end in self._services if end and tenant.endswith(end)), "")

    async def read(self, tenant: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Pass a GET on. What is the same for all tenants is read once in 5 s, unless something was written since.

        Each case has a route, and each route reads the same all the time: a large load for the real LiteLLM.
        """
        service, loop = self.service(tenant), asyncio.get_running_loop()
        if path.partition("?")[0] not in _SAME_FOR_ALL:
            return await self.call(tenant, "GET", path, headers)
        key = (service, path, headers.get("Authorization", ""))
        at, answer = self._shared.get(key, (float("-inf"), None))
        if answer is None or at < loop.time() - _SHARED_SECONDS:
            answer = asyncio.ensure_future(self.call(tenant, "GET", path, headers))
            self._shared[key] = (loop.time(), answer)
        try:
            found = await asyncio.shield(answer)
        except aiohttp.ClientError:
            self._shared.pop(key, None)
            raise
        if found[0] != 200:
            self._shared.pop(key, None)
        return found

    async def call(
        self, tenant: str, method: str, path: str, headers: Mapping[str, str] = {}, body: bytes = b""
    ) -> Answer:
        """Pass a request on to a tenant's LiteLLM. A port-forward that has ended is started again.

        Raises:
            aiohttp.ClientError: it doesn't answer.
        """
        service = self.service(tenant)
        try:
            return await self._call(service, method, path, headers, body)
        finally:
            if method != "GET":
                self._shared.clear()

    async def _call(self, service: str, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        sent = {name: value for name, value in headers.items() if name.lower() not in _HEADERS_OF_LITELLM}
        sent["Accept-Encoding"] = "identity"
        for again in (True, True, True, False):
            url = await self._url(service)
            try:
                async with self._session.request(method, f"{url}{path}", headers=sent, data=body or None) as response:
                    return response.status, dict(response.headers), await response.read()
            except aiohttp.ClientConnectorError:
                self._urls.pop(service, None)
                if not again:
                    raise
                await asyncio.sleep(0.5)
        raise AssertionError("unreachable")

    async def _url(self, service: str) -> str:
        async with self._lock:
            if service not in self._urls:
                self._urls[service] = await self._forward(service)
            return self._urls[service]

    async def _forward(self, service: str) -> str:
        if old := self._processes.pop(service, None):
            with contextlib.suppress(ProcessLookupError):
                old.kill()
            await old.wait()
        namespace, name = service.split("/")
        given = ["--kubeconfig", str(self._cluster.kubeconfig)] if self._cluster.kubeconfig else []
        process = await asyncio.create_subprocess_exec(
            *(str(self._cluster.kubectl_path), *given, "-n", namespace, "port-forward", f"service/{name}", ":4000"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._processes[service] = process
        assert process.stdout
        line = (await asyncio.wait_for(process.stdout.readline(), _FORWARD_SECONDS)).decode()
        # kubectl writes a line for every connection, and would block on a full pipe.
        asyncio.ensure_future(_empty(process.stdout))
        port = line.partition("127.0.0.1:")[2].partition(" ")[0]
        if not port.isdigit():
            raise aiohttp.ClientConnectionError(f"no port-forward to {service}: {line}")
        return f"http://127.0.0.1:{port}"


async def _empty(stream: asyncio.StreamReader) -> None:
    while await stream.read(4096):
        pass
