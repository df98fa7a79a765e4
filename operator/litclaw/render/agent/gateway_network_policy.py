"""An agent's NetworkPolicy: in from its own namespace, out to DNS and its proxy, and what its owner adds."""

from typing import Any

from litclaw.api import names
from litclaw.api.agent import Gateway, OpenClawAgent
from litclaw.render.metadata import Manifest, labels
from litclaw.render.openclaw.config import GATEWAY_PORT
from litclaw.render.owned import of_agent
from litclaw.render.proxy_peer import ProxyPeer

# Pods of a cluster's DNS listen on 53, or on 5353 where they have no right to a low port; a node's own cache of it is
# at a link-local address.
_DNS: dict[str, Any] = {
    "to": [{"namespaceSelector": {}}, {"ipBlock": {"cidr": "169.254.0.0/16"}}],
    "ports": [{"protocol": protocol, "port": port} for port in (53, 5353) for protocol in ("UDP", "TCP")],
}


def gateway_network_policy(agent: OpenClawAgent, gateway: Gateway, proxy: ProxyPeer) -> Manifest:
    """The NetworkPolicy of the gateway's pod."""
    manifest = of_agent(
        agent,
        "networking.k8s.io/v1",
        "NetworkPolicy",
        names.agent_config(agent.metadata.name),
        component="gateway",
    )
    ingress: dict[str, Any] = {"ports": [{"protocol": "TCP", "port": GATEWAY_PORT}]}
    if gateway.service.type == "ClusterIP":
        ingress["from"] = [{"podSelector": {}}]
    return {
        **manifest,
        "spec": {
            "podSelector": {"matchLabels": labels(agent.metadata.name, "gateway")},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [ingress],
            "egress": [_DNS, proxy.rule(), *gateway.network_policy.egress],
        },
    }
