"""NetworkPolicies of a managed route."""

from typing import Any

import pytest
from litclaw.render.route.network_policy import database_network_policy, proxy_network_policy

from .routes import managed_route

OPERATOR = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "litclaw-system"}}}
OWN: dict[str, Any] = {"podSelector": {}}
TEAM = {"matchLabels": {"models": "yes"}}


def ingress(managed: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    policy = proxy_network_policy(*managed_route(managed, **spec), "litclaw-system")
    assert policy["spec"]["policyTypes"] == ["Ingress"], "providers are anywhere"
    [rule] = policy["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 4000}]
    found: dict[str, Any] = rule
    return found


@pytest.mark.parametrize(
    ("allowed", "agents"),
    [
        ({}, [OWN]),
        ({"from": "All"}, [{"namespaceSelector": {}}]),
        ({"from": "Selector", "selector": TEAM}, [OWN, {"namespaceSelector": TEAM}]),
    ],
)
def test_the_proxy_is_reached_from_the_namespaces_that_may_use_it(allowed: Any, agents: list[Any]) -> None:
    assert ingress(allowedNamespaces=allowed)["from"] == [*agents, OPERATOR]


def test_the_port_is_the_pods_and_not_the_services() -> None:
    ingress({"port": 8080})


def test_a_proxy_that_is_open_to_the_outside_is_reached_from_everywhere() -> None:
    assert "from" not in ingress({"service": {"type": "LoadBalancer"}})
    assert "from" not in ingress({"service": {"type": "NodePort"}})


def test_prometheus_reaches_a_proxy_with_monitoring() -> None:
    """Only from a namespace that an administrator has labelled: tenants can label their pods."""
    prometheus = {
        "namespaceSelector": {"matchLabels": {"litclaw.dev/metrics": "allowed"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
    }
    assert ingress({"monitoring": {"enabled": True}})["from"] == [OWN, OPERATOR, prometheus]


def test_an_operator_outside_of_the_cluster_has_no_rule() -> None:
    [rule] = proxy_network_policy(*managed_route(), None)["spec"]["ingress"]
    assert rule["from"] == [OWN]


def test_the_database_is_reached_by_the_proxy_and_its_migration_alone_and_reaches_nothing() -> None:
    spec = database_network_policy(managed_route()[0])["spec"]
    assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "database"
    assert spec["policyTypes"] == ["Ingress", "Egress"] and spec["egress"] == []
    [rule] = spec["ingress"]
    who = [each["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for each in rule["from"]]
    assert who == ["proxy", "migration"] and rule["ports"][0]["port"] == 5432
