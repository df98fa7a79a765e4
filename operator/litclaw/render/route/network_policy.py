"""A managed route's NetworkPolicies: which pods reach the proxy's pods, and which the embedded database's.

A NetworkPolicy applies to pods and their ports, not to Services. NetworkPolicies add up: another one in the namespace
may allow what this one doesn't.
"""

from typing import Any

from litclaw.api import names
from litclaw.api.managed import Managed
from litclaw.api.route import AllowedNamespaces, LiteLLMRoute
from litclaw.render.metadata import Manifest, labels, owned_object
from litclaw.render.route.deployment import PROXY_PORT
from litclaw.render.route.postgres import POSTGRES_PORT

_NAMESPACE_NAME = "kubernetes.io/metadata.name"
_PROMETHEUS: dict[str, Any] = {
    "namespaceSelector": {"matchLabels": {names.LABEL_METRICS: names.METRICS_ALLOWED}},
    "podSelector": {"matchLabels": {names.LABEL_NAME: "prometheus"}},
}
"""Prometheus' pods, by the label that the prometheus-operator and the usual charts set, where an administrator has allowed it:
every tenant can set labels of pods, but not of namespaces."""


def _port(number: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": number}]


def _agents(allowed: AllowedNamespaces) -> list[dict[str, Any]]:
    """Peers for the namespaces whose agents may use the route. The route's own is always one of them."""
    own: dict[str, Any] = {"podSelector": {}}
    if allowed.from_ == "All":
        return [{"namespaceSelector": {}}]
    if allowed.from_ == "Selector" and allowed.selector:
        return [own, {"namespaceSelector": {"matchLabels": dict(allowed.selector.match_labels)}}]
    return [own]


def proxy_network_policy(route: LiteLLMRoute, managed: Managed, operator_namespace: str | None) -> Manifest:
    """The policy for the proxy's incoming traffic. Outgoing traffic isn't restricted, because providers are anywhere.

    Args:
        route: the resource.
        managed: its ``spec.managed``.
        operator_namespace: the operator's namespace; None if it runs outside of the cluster.
    """
    sources = _agents(route.spec.allowed_namespaces)
    if operator_namespace:
        sources.append({"namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: operator_namespace}}})
    if managed.monitoring.enabled:
        sources.append(_PROMETHEUS)
    rule: dict[str, Any] = {"ports": _port(PROXY_PORT)}
    if managed.service.type == "ClusterIP":  # traffic from outside of the cluster comes from any address
        rule["from"] = sources
    name = names.route_workload(route.metadata.name)
    manifest = owned_object(route, "networking.k8s.io/v1", "NetworkPolicy", name, component="proxy")
    selector = {"matchLabels": labels(route.metadata.name, "proxy")}
    return {**manifest, "spec": {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": [rule]}}


def database_network_policy(route: LiteLLMRoute) -> Manifest:
    """The policy for the embedded database: in from the proxy and its migration, out to nowhere."""
    instance = route.metadata.name
    sources = [{"podSelector": {"matchLabels": labels(instance, component)}} for component in ("proxy", "migration")]
    name = names.route_postgres(instance)
    manifest = owned_object(route, "networking.k8s.io/v1", "NetworkPolicy", name, component="database")
    return {
        **manifest,
        "spec": {
            "podSelector": {"matchLabels": labels(instance, "database")},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": sources, "ports": _port(POSTGRES_PORT)}],
            "egress": [],
        },
    }
