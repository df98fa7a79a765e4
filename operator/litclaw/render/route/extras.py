"""Optional objects of a managed route: NetworkPolicies, PodDisruptionBudget, HorizontalPodAutoscaler, PodMonitor."""

from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest
from litclaw.render.route.autoscaler import route_autoscaler
from litclaw.render.route.disruption_budget import route_disruption_budget
from litclaw.render.route.network_policy import database_network_policy, proxy_network_policy
from litclaw.render.route.pod_monitor import route_pod_monitor


def route_extras(
    route: LiteLLMRoute, managed: Managed, *, operator_namespace: str | None, keeps_database: bool, pod_monitors: bool
) -> list[Manifest]:
    """The objects that the route's settings ask for.

    Args:
        route: the resource.
        managed: its ``spec.managed``.
        operator_namespace: the operator's namespace; None if it runs outside of the cluster.
        keeps_database: whether an embedded database exists, which stays even if it is no longer in the spec.
        pod_monitors: whether the cluster has the kind PodMonitor.
    """
    wanted: list[Manifest | None] = [route_disruption_budget(route, managed)]
    if managed.network_policy.enabled:
        wanted.append(proxy_network_policy(route, managed, operator_namespace))
        if managed.database.embedded or keeps_database:
            wanted.append(database_network_policy(route))
    if managed.autoscaling:
        wanted.append(route_autoscaler(route, managed.autoscaling))
    if managed.monitoring.enabled and pod_monitors:
        wanted.append(route_pod_monitor(route))
    return [manifest for manifest in wanted if manifest]
