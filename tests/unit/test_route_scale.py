"""Number of a managed route's pods, how they are spread, and their disruption budget."""

from typing import Any

import pytest
from litclaw.reconcile.route.replicas import owns_replicas
from litclaw.render.route.autoscaler import route_autoscaler
from litclaw.render.route.deployment import route_deployment
from litclaw.render.route.disruption_budget import route_disruption_budget

from .routes import managed_route

PROXY = {
    "app.kubernetes.io/managed-by": "litclaw",
    "app.kubernetes.io/instance": "main",
    "app.kubernetes.io/component": "proxy",
}


def deployment(managed: dict[str, Any]) -> dict[str, Any]:
    given = {"config_digest": "c", "secrets_digest": "s", "migration": "m", "salt": "f"}
    return route_deployment(*managed_route(managed), **given)


@pytest.mark.parametrize(("managed", "replicas"), [({}, 1), ({"replicas": 3}, 3), ({"replicas": 0}, 0)])
def test_replicas_default_to_one(managed: dict[str, Any], replicas: int) -> None:
    assert deployment(managed)["spec"]["replicas"] == replicas


def test_with_an_autoscaler_the_deployment_has_no_replicas() -> None:
    route, managed = managed_route({"autoscaling": {"minReplicas": 2, "maxReplicas": 5, "targetCPUUtilization": 70}})
    assert "replicas" not in deployment({"autoscaling": {"maxReplicas": 5}})["spec"]
    assert managed.autoscaling
    spec = route_autoscaler(route, managed.autoscaling)["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "main-litellm"}
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    assert spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 70


@pytest.mark.parametrize(
    ("managed", "available"),
    [
        ({}, None),
        ({"replicas": 2}, 1),
        ({"autoscaling": {"maxReplicas": 5}}, None),
        ({"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}, 1),
        ({"replicas": 4, "podDisruptionBudget": {"minAvailable": "50%"}}, "50%"),
        ({"podDisruptionBudget": {"minAvailable": 0}}, 0),
    ],
)
def test_a_disruption_budget_is_there_by_default_where_it_blocks_no_drain(
    managed: dict[str, Any], available: Any
) -> None:
    budget = route_disruption_budget(*managed_route(managed))
    assert (budget["spec"]["minAvailable"] if budget else None) == available


def test_pods_are_spread_over_nodes_unless_said_otherwise() -> None:
    [spread] = deployment({})["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname" and spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert spread["labelSelector"] == {"matchLabels": PROXY}
    zones = {"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}
    own = {**zones, "labelSelector": {"matchLabels": {"a": "b"}}, "minDomains": 3}
    rendered = deployment({"topologySpreadConstraints": [zones, own]})["spec"]["template"]["spec"]
    assert rendered["topologySpreadConstraints"] == [{**zones, "labelSelector": {"matchLabels": PROXY}}, own]


def test_a_second_replica_does_not_roll_the_first_one() -> None:
    one, two = deployment({}), deployment({"replicas": 2})
    assert one["spec"]["template"] == two["spec"]["template"]


@pytest.mark.parametrize(
    ("manager", "operation", "fields", "ours"),
    [
        ("litclaw", "Apply", {"f:spec": {"f:replicas": {}}}, True),
        ("litclaw", "Apply", {"f:spec": {"f:template": {}}}, False),
        ("kube-controller-manager", "Update", {"f:spec": {"f:replicas": {}}}, False),
    ],
)
def test_who_owns_the_number_of_replicas(manager: str, operation: str, fields: dict[str, Any], ours: bool) -> None:
    entry = {"manager": manager, "operation": operation, "fieldsV1": fields}
    assert owns_replicas({"metadata": {"managedFields": [entry]}}) is ours
