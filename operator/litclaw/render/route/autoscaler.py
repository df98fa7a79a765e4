"""A managed route's HorizontalPodAutoscaler."""

from litclaw.api import names
from litclaw.api.managed import Autoscaling
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, owned_object


def route_autoscaler(route: LiteLLMRoute, autoscaling: Autoscaling) -> Manifest:
    """The HorizontalPodAutoscaler of the proxy's Deployment, by CPU use."""
    name = names.route_workload(route.metadata.name)
    manifest = owned_object(route, "autoscaling/v2", "HorizontalPodAutoscaler", name, component="proxy")
    target = {"type": "Utilization", "averageUtilization": autoscaling.target_cpu_utilization}
    return {
        **manifest,
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }
