"""A managed route's PodDisruptionBudget."""

from litclaw.api import names
from litclaw.api.managed import DisruptionBudget, Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, labels
from litclaw.render.owned import of_route


def route_disruption_budget(route: LiteLLMRoute, managed: Managed) -> Manifest | None:
    """The budget that is asked for, or one pod where there are more than one; None where a budget would block drains.

    A pod that isn't ready serves nobody, so it may always be evicted.
    """
    budget = managed.pod_disruption_budget
    if budget is None:
        if managed.least_replicas < 2:
            return None
        budget = DisruptionBudget()
    manifest = of_route(
        route,
        "policy/v1",
        "PodDisruptionBudget",
        names.route_workload(route.metadata.name),
        component="proxy",
    )
    return {
        **manifest,
        "spec": {
            "minAvailable": budget.min_available,
            "selector": {"matchLabels": labels(route.metadata.name, "proxy")},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
