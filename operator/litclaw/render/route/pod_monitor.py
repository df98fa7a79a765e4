"""A managed route's PodMonitor, for a Prometheus of the prometheus-operator's.

The pods are read and not the Service: each counts for itself.
"""

from litclaw.api import names
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, labels
from litclaw.render.owned import of_route


def route_pod_monitor(route: LiteLLMRoute) -> Manifest:
    """The PodMonitor of the proxy's pods. The path's slash at the end saves a redirection at each look."""
    manifest = of_route(
        route,
        "monitoring.coreos.com/v1",
        "PodMonitor",
        names.route_workload(route.metadata.name),
        component="proxy",
    )
    return {
        **manifest,
        "spec": {
            "selector": {"matchLabels": labels(route.metadata.name, "proxy")},
            "podMetricsEndpoints": [{"port": "http", "path": "/metrics/"}],
        },
    }
