"""A managed route's NetworkPolicies: who reaches the proxy's pods, and who the embedded database's.

A NetworkPolicy sees pods and their ports, not Services, and it comes on top of others: what it doesn't allow, another
one of the namespace still can.
"""

from typing import Any

from litclaw.api import names
from litclaw.api.managed import Managed
from litclaw.api.route import AllowedNamespaces, LiteLLMRoute
from litclaw.render.metadata import Manifest, labels
from litclaw.render.owned import of_route
from litclaw.render.route.deployment import PROXY_PORT
from litclaw.render.route.postgres import POSTGRES_PORT

_NAMESPACE_NAME = "kubernetes.io/metadata.name"
PROMETHEUS_LABELS = {"app.kubernetes.io/name": "prometheus"}
"""What the pods of a Prometheus carry, by the operator that knows PodMonitors and by the usual charts."""


def _port(number: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": number}]


def _agents(allowed: AllowedNamespaces) -> list[dict[str, Any]]:
    """The namespaces whose agents may use the route: always its own, as everywhere else."""
    own: dict[str, Any] = {"podSelector": {}}
    if allowed.from_ == "All":
        return [{"namespaceSelector": {}}]
    if allowed.from_ == "Selector" and allowed.selector:
        return [own, {"namespaceSelector": {"matchLabels": dict(allowed.selector.match_labels)}}]
    return [own]


def proxy_network_policy(route: LiteLLMRoute, managed: Managed, operator_namespace: str | None) -> Manifest:
    """Who reaches the proxy. What it reaches itself is open: providers are anywhere.

    Args:
        route: the resource.
        managed: its ``spec.managed``.
        operator_namespace: the operator's own namespace; None where it runs outside of the cluster.
    """
    sources = _agents(route.spec.allowed_namespaces)
    if operator_namespace:
        sources.append({"namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: operator_namespace}}})
    if managed.monitoring.enabled:
        sources.append({"namespaceSelector": {}, "podSelector": {"matchLabels": PROMETHEUS_LABELS}})
    rule: dict[str, Any] = {"ports": _port(PROXY_PORT)}
    if managed.service.type == "ClusterIP":  # what comes from outside comes from any address
        rule["from"] = sources
    manifest = of_route(
        route,
        "networking.k8s.io/v1",
        "NetworkPolicy",
        names.route_workload(route.metadata.name),
        component="proxy",
    )
    selector = {"matchLabels": labels(route.metadata.name, "proxy")}
    return {**manifest, "spec": {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": [rule]}}


def database_network_policy(route: LiteLLMRoute) -> Manifest:
    """Who reaches the embedded database: the proxy and its migration. It reaches nothing itself."""
    name = route.metadata.name
    sources = [{"podSelector": {"matchLabels": labels(name, component)}} for component in ("proxy", "migration")]
    manifest = of_route(
        route,
        "networking.k8s.io/v1",
        "NetworkPolicy",
        names.route_postgres(name),
        component="database",
    )
    return {
        **manifest,
        "spec": {
            "podSelector": {"matchLabels": labels(name, "database")},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": sources, "ports": _port(POSTGRES_PORT)}],
            "egress": [],
        },
    }
