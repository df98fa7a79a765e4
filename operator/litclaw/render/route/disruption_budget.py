"""A managed route's PodDisruptionBudget."""

from litclaw.api import names
from litclaw.api.managed import DisruptionBudget, Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, labels, owned_object


def route_disruption_budget(route: LiteLLMRoute, managed: Managed) -> Manifest | None:
    """The PodDisruptionBudget of the proxy's pods.

    By default it keeps one pod. None if that would block drains, because there may be a single pod. A pod that isn't
    ready serves nobody, so it may always be evicted.
    """
    budget = managed.pod_disruption_budget
    if budget is None:
        if managed.least_replicas < 2:
            return None
        budget = DisruptionBudget()
    name = names.route_workload(route.metadata.name)
    manifest = owned_object(route, "policy/v1", "PodDisruptionBudget", name, component="proxy")
    return {
        **manifest,
        "spec": {
            "minAvailable": budget.min_available,
            "selector": {"matchLabels": labels(route.metadata.name, "proxy")},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
