"""A thin client over ``kubernetes.aio``: plain dicts in and out, one kind of write.

The generated API classes build a model object for every field of every response, which costs more than the request;
the library's lower half does connection, TLS and authentication, and that is what is used here.
"""

import contextlib
import json
import os
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import aiohttp

from litclaw import __version__
from litclaw.api import names
from litclaw.kube.errors import NotFoundError, UnavailableError, from_response
from litclaw.kube.resources import BY_KIND, SERVICE, Resource
from litclaw.net.hooks import Fence, Observer, fenced

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient

Object = dict[str, Any]

_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_TIMEOUT_SECONDS = 30.0
_SILENCE_SECONDS = 75.0  # a watch is told at least once a minute that nothing has happened
_WATCH_SECONDS = (300, 600)
_PAGE = 500
# With a parameter, the API server takes it for the same, and the Kubernetes client sends a text as it is.
_APPLY = "application/apply-patch+yaml;charset=utf-8"
_JSON_PATCH = "application/json-patch+json"
_USER_AGENT = f"litclaw/{__version__}"
_LEASES = "/apis/coordination.k8s.io/"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_BEYOND_16_BITS = re.compile(r"\\\\|\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")


def as_yaml(manifest: Mapping[str, Any]) -> str:
    """A manifest as JSON that is YAML too, as which the API server reads what is applied.

    YAML knows no pairs of surrogates, as JSON writes what is beyond 16 bits, such as emoji: those are there as they are.
    All else that isn't ASCII stays escaped, since YAML has no control characters.
    """
    text = json.dumps(manifest)
    return _BEYOND_16_BITS.sub(_character, text) if "\\ud" in text else text


def _character(pair: re.Match[str]) -> str:
    return json.loads(f'"{pair[0]}"') if pair[1] else pair[0]


def own_namespace() -> str | None:
    """The namespace of the pod that we run in; None outside of a cluster."""
    return _OWN_NAMESPACE.read_text().strip() if _OWN_NAMESPACE.exists() else None


class Kube:
    """The Kubernetes API, as far as the operator needs it.

    Example:
        >>> async def show() -> None:
        ...     async with await Kube.connect() as kube:
        ...         print(await kube.get(SECRET, "default", "x"))
    """

    def __init__(self, api: "ApiClient", observer: Observer | None = None) -> None:
        self._api = api
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
            kubeconfig: a file to be used instead, also inside of a cluster.
            context: one of the kubeconfig's contexts; left out: its current one.

        Raises:
            kubernetes.aio.config.ConfigException: there is nothing to connect with.
        """
        # Half of the time that a command takes to start, and those that ask no cluster don't need it.
        from kubernetes.aio import config
        from kubernetes.aio.client import ApiClient, Configuration

        configuration = Configuration()
        configuration.connection_pool_maxsize = 0  # each watch has a connection; the number of calls is the callers'
        configuration.trace_configs = [fenced(fence, _is_free)] if fence else []
        if os.environ.get("KUBERNETES_SERVICE_HOST") and not (kubeconfig or context):
            # Else each request looks for a proxy in the environment and reads ~/.netrc, a fifth of the operator's CPU.
            configuration.client_session_kwargs = {"trust_env": False}
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(kubeconfig, context, client_configuration=configuration)
        return cls(ApiClient(configuration), observer)

    @property
    def host(self) -> str:
        """URL of the API server."""
        return str(self._api.configuration.host)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._api.close()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """One object, or None where there is none."""
        try:
            return await self._request("GET", resource.path(namespace, name))
        except NotFoundError:
            return None

    async def serves(self, resource: Resource) -> bool:
        """Whether the cluster knows a kind."""
        try:
            listed = await self._request("GET", f"/apis/{resource.api_version}")
        except NotFoundError:
            return False
        return any(each["name"] == resource.plural for each in listed.get("resources", []))

    async def ping(self) -> None:
        """See whether the API server answers.

        Raises:
            KubeError: it doesn't.
        """
        await self._request("GET", "/version")

    async def uids(self, resource: Resource, *, labels: str = "", namespace: str | None = None) -> tuple[set[str], int]:
        """The uids of all objects of a kind, and the resource version at which that was so.

        Args:
            labels: a label selector; empty: all.
            namespace: where; None: in the whole cluster.
        """
        found: set[str] = set()
        version = 0
        async for page, version in self._pages(resource.path(namespace), labels, _METADATA_LIST):
            found.update(item["metadata"]["uid"] for item in page)
        return found, version

    async def pages(
        self, resource: Resource, namespace: str | None = None, *, labels: str = ""
    ) -> AsyncIterator[tuple[list[Object], int]]:
        """All objects of a kind, some hundred at a time, each time with the resource version of the whole.

        Args:
            namespace: where; None: in the whole cluster.
            labels: a label selector; empty: all.

        Raises:
            GoneError: the next page was asked for too late.
        """
        about = {"apiVersion": resource.api_version, "kind": resource.kind}  # which a list's items don't say
        async for page, version in self._pages(resource.path(namespace), labels, "application/json"):
            yield [{**about, **item} for item in page], version

    async def objects(self, resource: Resource, namespace: str | None = None, *, labels: str = "") -> list[Object]:
        """`pages`, all at once."""
        return [body async for page, _ in self.pages(resource, namespace, labels=labels) for body in page]

    async def metadata(self, resource: Resource, namespace: str | None = None, *, labels: str = "") -> list[Object]:
        """`objects`, of their metadata alone: no value of a Secret is sent."""
        about = {"apiVersion": resource.api_version, "kind": resource.kind}
        pages = self._pages(resource.path(namespace), labels, _METADATA_LIST)
        return [{**item, **about} async for page, _ in pages for item in page]

    async def _pages(self, path: str, labels: str, accept: str) -> AsyncIterator[tuple[list[Object], int]]:
        query = {"limit": str(_PAGE)} | ({"labelSelector": labels} if labels else {})
        while True:
            page = await self._request("GET", path, query, accept=accept)
            meta = page.get("metadata", {})
            yield page.get("items") or [], int(meta.get("resourceVersion") or 0)  # null where there are none
            if not meta.get("continue"):
                return
            query["continue"] = meta["continue"]

    async def watch(
        self, resource: Resource, namespace: str | None, version: int, *, labels: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        """What happens to the objects of a kind after a resource version, until the API server ends the watch.

        Yields:
            ``ADDED``, ``MODIFIED`` or ``DELETED`` and the object; ``BOOKMARK`` and what has nothing but a version.

        Raises:
            GoneError: the version is too old.
            KubeError: the watch is refused, or the connection is lost.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(version),
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),
        } | ({"labelSelector": labels} if labels else {})
        silence = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT_SECONDS, sock_read=_SILENCE_SECONDS)
        try:
            response = await self._send("GET", resource.path(namespace), query, timeout=silence)
            with contextlib.closing(response):
                if response.status >= 400:
                    raise from_response(response.status, await response.read())
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            raise from_response(
                                int(event["object"].get("code") or 500), json.dumps(event["object"]).encode()
                            )
                        yield event["type"], event["object"]
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise UnavailableError(0, "Unreachable", f"{type(error).__name__} from the API server") from error

    async def version(self) -> str:
        """The API server's release, such as ``v1.36.3``."""
        return str((await self._request("GET", "/version")).get("gitVersion", ""))

    async def through(
        self, namespace: str, service: str, port: int, path: str, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """GET something of a Service by way of the API server, which asks it over HTTP.

        Args:
            path: with its query.
            headers: handed on, but for Authorization, which is for the API server.

        Returns:
            Status and body of what the Service answers.

        Raises:
            KubeError: the API server doesn't allow it, or can't reach the Service.
        """
        target = SERVICE.path(namespace, f"{service}:{port}", "proxy")
        try:
            response = await self._send("GET", f"{target}{path}", headers=headers)
            content: bytes = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnavailableError(0, "Unreachable", f"{type(error).__name__} from the API server") from error
        if response.status >= 400 and _is_status(content):
            raise from_response(response.status, content)  # the API server's own word
        return response.status, content

    async def create(self, manifest: Mapping[str, Any], *, manager: str = names.FIELD_MANAGER) -> Object:
        """Create an object that may not be there yet.

        Raises:
            ConflictError: there is one of that name.
            KubeError: the API server refuses it or can't be reached.
        """
        resource, namespace = BY_KIND[manifest["kind"]], manifest["metadata"].get("namespace")
        return await self._request("POST", resource.path(namespace), {"fieldManager": manager}, manifest)

    async def apply(
        self,
        manifest: Mapping[str, Any],
        *,
        subresource: str | None = None,
        force: bool = True,
        manager: str = names.FIELD_MANAGER,
    ) -> Object:
        """Server-side apply with our field manager; creates the object where there is none.

        Put ``metadata.uid`` into the manifest to write to that very object only. Without ``force``, a field that
        somebody else owns with another value is a `ConflictError`.

        Raises:
            KubeError: the API server refuses it or can't be reached.
        """
        resource, meta = BY_KIND[manifest["kind"]], manifest["metadata"]
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        path = resource.path(meta.get("namespace"), meta["name"], subresource)
        return await self._request("PATCH", path, query, as_yaml(manifest))

    async def replace(self, manifest: Mapping[str, Any]) -> Object:
        """Replace an object if it still has the manifest's resource version. Only for a Lease.

        Raises:
            ConflictError: somebody has changed it.
        """
        meta = manifest["metadata"]
        path = BY_KIND[manifest["kind"]].path(meta["namespace"], meta["name"])
        return await self._request("PUT", path, {"fieldManager": names.FIELD_MANAGER}, manifest)

    async def drop_finalizer(self, resource: Resource, body: Mapping[str, Any], finalizer: str) -> None:
        """Take a finalizer off an object whose field isn't ours, which server-side apply can't.

        Raises:
            ConflictError: the object has changed since ``body`` was read.
        """
        meta = body["metadata"]
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
            {
                "op": "replace",
                "path": "/metadata/finalizers",
                "value": [f for f in meta["finalizers"] if f != finalizer],
            },
        ]
        await self._request("PATCH", resource.path(meta.get("namespace"), meta["name"]), body=patch, patch=_JSON_PATCH)

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str) -> None:
        """Delete that very object; done where it is gone already."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._request("DELETE", resource.path(namespace, name), body=body)
        except NotFoundError:
            return

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        accept: str = "application/json",
        patch: str = _APPLY,
    ) -> Object:
        started, status = time.monotonic(), 0
        try:
            response = await self._send(method, path, query, body, accept=accept, patch=patch)
            content: bytes = await response.read()
            status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnavailableError(0, "Unreachable", f"{type(error).__name__} from the API server") from error
        finally:
            if self._observer:
                self._observer(method, path, status, time.monotonic() - started)
        if response.status >= 400:
            raise from_response(response.status, content)
        parsed: Object = json.loads(content)
        return parsed

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        accept: str = "application/json",
        patch: str = _APPLY,
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout | float = _TIMEOUT_SECONDS,
    ) -> aiohttp.ClientResponse:
        content_type = patch if method == "PATCH" else "application/json"
        sent_headers = {"Accept": accept, "Content-Type": content_type, **(headers or {}), "User-Agent": _USER_AGENT}
        await self._api.update_params_for_auth(sent_headers, [], ["BearerToken"], path, method, None)
        url = f"{self.host}{path}"
        if query:
            url = f"{url}?{urlencode(query)}"
        sent = await self._api.rest_client.request(
            method, url, headers=sent_headers, body=body, _request_timeout=timeout
        )
        response: aiohttp.ClientResponse = sent.response
        return response


def _is_status(content: bytes) -> bool:
    try:
        return bool(json.loads(content).get("kind") == "Status")
    except (ValueError, AttributeError):
        return False


def _is_free(method: str, path: str) -> bool:
    """Whether a request is sent without asking the fence. A Lease is written to: by that, the fence is opened."""
    return method == "GET" or path.startswith(_LEASES)
