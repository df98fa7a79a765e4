"""A managed route's PodMonitor, a kind of the prometheus-operator.

It selects pods and not the Service, because each pod has its own counters.
"""

from litclaw.api import names
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, labels, owned_object


def route_pod_monitor(route: LiteLLMRoute) -> Manifest:
    """The PodMonitor of the proxy's pods. LiteLLM redirects ``/metrics`` to ``/metrics/``, so the latter is scraped."""
    name = names.route_workload(route.metadata.name)
    manifest = owned_object(route, "monitoring.coreos.com/v1", "PodMonitor", name, component="proxy")
    return {
        **manifest,
        "spec": {
            "selector": {"matchLabels": labels(route.metadata.name, "proxy")},
            "podMetricsEndpoints": [{"port": "http", "path": "/metrics/"}],
        },
    }
