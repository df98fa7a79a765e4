"""Where a NetworkPolicy must allow an agent's traffic to the proxy: pods and their own port, or addresses.

A NetworkPolicy applies behind a Service: it sees the pods' addresses and ports.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from litclaw.api.route import LiteLLMRoute
from litclaw.net import cluster_domain
from litclaw.net.address import host
from litclaw.render.metadata import labels
from litclaw.render.route.deployment import PROXY_PORT

NetworkPort = int | str
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ProxyPeer:
    """Destination of an agent's traffic to the proxy.

    Attributes:
        to: a peer of a NetworkPolicy; None: every address.
        port: the pods' own port, by number or name.
    """

    to: Mapping[str, Any] | None
    port: NetworkPort

    def rule(self) -> dict[str, Any]:
        """An egress rule for this destination alone."""
        ports = {"ports": [{"protocol": "TCP", "port": self.port}]}
        return {"to": [dict(self.to)], **ports} if self.to else ports


ANYWHERE: Final = ProxyPeer(None, 443)
"""The peer of a proxy that hasn't been resolved yet."""


def _pods(namespace: str, selector: Mapping[str, str]) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": dict(selector)},
    }


def managed_peer(route: LiteLLMRoute) -> ProxyPeer:
    """The pods of a managed route."""
    return ProxyPeer(_pods(route.metadata.namespace, labels(route.metadata.name, "proxy")), PROXY_PORT)


def url_port(url: str) -> int:
    """The port of a URL, explicit or by its scheme."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def service_of(url: str, domain: str = cluster_domain.DEFAULT) -> tuple[str, str] | None:
    """Namespace and name of the Service in this cluster that a URL's host names, or None.

    Args:
        url: of a proxy.
        domain: the cluster's. A name of another domain is another server's, whatever it begins with.
    """
    name = host(url)
    parts = name.removesuffix(f".{domain}").removesuffix(".svc").split(".")
    if not name.endswith((".svc", f".svc.{domain}")) or len(parts) != 2 or not all(map(_LABEL.fullmatch, parts)):
        return None
    return (parts[1], parts[0])


def service_peer(url: str, service: Mapping[str, Any]) -> ProxyPeer:
    """The pods behind a Service, at the target port of the URL's port."""
    spec, meta = service["spec"], service["metadata"]
    wanted = url_port(url)
    target = next((p.get("targetPort", wanted) for p in spec.get("ports", []) if p["port"] == wanted), wanted)
    if not spec.get("selector"):
        return ProxyPeer(None, target)
    return ProxyPeer(_pods(meta["namespace"], spec["selector"]), target)


def address_peer(url: str) -> ProxyPeer:
    """A proxy outside of the cluster: the URL's IP address, or every address if the URL has a name."""
    try:
        ip = ipaddress.ip_address(host(url))
    except ValueError:
        return ProxyPeer(None, url_port(url))
    return ProxyPeer({"ipBlock": {"cidr": f"{ip}/{ip.max_prefixlen}"}}, url_port(url))
