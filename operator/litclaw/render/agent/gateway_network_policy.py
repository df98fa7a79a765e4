"""A gateway's NetworkPolicy: in from the agent's namespace, out to DNS and the proxy, and the user's egress rules."""

from typing import Any

from litclaw.api import names
from litclaw.api.agent import Gateway, OpenClawAgent
from litclaw.render.metadata import Manifest, labels, owned_object
from litclaw.render.openclaw.config import GATEWAY_PORT
from litclaw.render.proxy_peer import ProxyPeer

# A cluster's DNS pods listen on 53, or on 5353 if they may not use low ports, in kube-system or, with OpenShift, in
# openshift-dns. A node-local DNS cache has a link-local address. Pods of tenants are no peers, whatever their ports.
_DNS_NAMESPACES: dict[str, Any] = {
    "key": "kubernetes.io/metadata.name",
    "operator": "In",
    "values": ["kube-system", "openshift-dns"],
}
_DNS: dict[str, Any] = {
    "to": [
        {"namespaceSelector": {"matchExpressions": [_DNS_NAMESPACES]}},
        {"ipBlock": {"cidr": "169.254.0.0/16"}},
    ],
    "ports": [{"protocol": protocol, "port": port} for port in (53, 5353) for protocol in ("UDP", "TCP")],
}


def gateway_network_policy(agent: OpenClawAgent, gateway: Gateway, proxy: ProxyPeer) -> Manifest:
    """The NetworkPolicy of the gateway's pod."""
    name = names.agent_config(agent.metadata.name)
    manifest = owned_object(agent, "networking.k8s.io/v1", "NetworkPolicy", name, component="gateway")
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
