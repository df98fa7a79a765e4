"""How a route's proxy is reached from here, and whether its master key may be sent that way.

A master key is read from its Secret if the user may read it, never printed, and sent in two ways only: through the API
server, and over HTTPS with a verified certificate. Without it, only questions that need no key are asked.
"""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr

from litclaw.api import names
from litclaw.api.managed import Managed
from litclaw.cli.view import Body
from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError
from litclaw.kube.resources import SECRET
from litclaw.litellm.transport import Response, Transport
from litclaw.net import cluster_domain
from litclaw.net.address import Reach, base_url, reach
from litclaw.render.proxy_peer import service_of

_KEY_HEADER = "x-litellm-api-key"
"""LiteLLM accepts it like Authorization, which the API server doesn't pass on."""


class ThroughApiServer(Transport):
    """Requests to a Service through the API server."""

    def __init__(self, kube: Kube, namespace: str, service: str, port: int) -> None:
        self._kube = kube
        self._service = (namespace, service, port)

    async def close(self) -> None:
        """The connection to the API server stays open."""

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
        """Send one GET request.

        Raises:
            KubeError: the API server refuses it, or can't reach the Service.
        """
        assert method == "GET" and payload is None
        headers = {"Accept": "application/json"}
        if bearer:
            headers[_KEY_HEADER] = f"Bearer {bearer.get_secret_value()}"
        query = f"?{urlencode(params)}" if params else ""
        status, content = await self._kube.service_proxy_get(*self._service, f"{path}{query}", headers)
        return Response(status, content)


@dataclass(frozen=True, slots=True)
class Access:
    """How a proxy is reached.

    Attributes:
        url: its root.
        way: in words.
        transport: through the API server; None: directly.
        authorities: of its certificate, in PEM; empty: the usual ones.
        key: its master key; None: it isn't sent.
        no_key: why it isn't sent.
    """

    url: str
    way: str
    transport: ThroughApiServer | None
    authorities: str
    key: SecretStr | None
    no_key: str


async def access(kube: Kube, route: Body) -> Access | str:
    """How to reach a route's proxy, or why it can't be reached."""
    external = route["spec"].get("external")
    if not external and not (route.get("status") or {}).get("url"):
        return "it has no address yet"
    url = base_url(external["url"]) if external else _managed_url(route)
    parts = urlsplit(url)
    service = service_of(url)
    if service and parts.scheme == "http":
        transport = ThroughApiServer(kube, *service, parts.port or 80)
        key, no_key = await _master_key(kube, route)
        return Access(url, "through the API server", transport, "", key, no_key)
    if service or reach(url) in (Reach.LOOPBACK, Reach.LINK_LOCAL):
        return f"{url} is only for the cluster"
    if parts.scheme != "https":
        return Access(url, "directly", None, "", None, f"a master key isn't sent over {parts.scheme}")
    authorities = ""
    if reference := external and external.get("caBundleSecretRef"):
        found = await _secret_value(kube, route, reference["name"], reference["key"])
        if found is None:
            return f"you aren't allowed to read its certificate authority in Secret {reference['name']}"
        try:
            ssl.create_default_context(cadata=found)
        except ssl.SSLError:
            return f"Secret {reference['name']} has no certificates under {reference['key']}"
        authorities = found
    key, no_key = await _master_key(kube, route)
    return Access(url, "directly", None, authorities, key, no_key)


def _managed_url(route: Body) -> str:
    """The URL of a managed route's Service. The status has it too, but who may write that may not choose where the key goes."""
    meta, port = route["metadata"], Managed.model_fields["port"].default
    port = (route["spec"].get("managed") or {}).get("port", port)
    return f"http://{names.route_workload(meta['name'])}.{meta['namespace']}.svc.{cluster_domain.DEFAULT}:{port}"


def master_key_secret(route: Body) -> tuple[str, str]:
    """The name of the Secret with a route's master key, and the key in its data."""
    spec = route["spec"]
    reference = (spec.get("external") or spec.get("managed") or {}).get("masterKeySecretRef")
    if reference:
        return reference["name"], reference["key"]
    return names.route_master_key(route["metadata"]["name"]), names.MASTER_KEY


async def _master_key(kube: Kube, route: Body) -> tuple[SecretStr | None, str]:
    secret, key = master_key_secret(route)
    value = await _secret_value(kube, route, secret, key)
    if not value:
        return None, f"you aren't allowed to read Secret {route['metadata']['namespace']}/{secret}, or it lacks {key}"
    return SecretStr(value), ""


async def _secret_value(kube: Kube, route: Body, secret: str, key: str) -> str | None:
    """A value of a Secret in the route's namespace; None: it doesn't exist, or the user may not read it."""
    try:
        found: Mapping[str, Any] | None = await kube.get(SECRET, route["metadata"]["namespace"], secret)
        return base64.b64decode((found or {})["data"][key]).decode().strip()
    except (KubeError, KeyError, TypeError, ValueError):
        return None
