"""A managed route's Service."""

from litclaw.api import names
from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, labels, owned_object


def route_service(route: LiteLLMRoute, managed: Managed) -> Manifest:
    """The Service in front of the proxy's pods."""
    name, annotations = names.route_workload(route.metadata.name), managed.service.annotations
    manifest = owned_object(route, "v1", "Service", name, component="proxy", annotations=annotations)
    return {
        **manifest,
        "spec": {
            "type": managed.service.type,
            "selector": labels(route.metadata.name, "proxy"),
            "ports": [{"name": "http", "port": managed.port, "protocol": "TCP", "targetPort": "http"}],
        },
    }


def service_url(route: LiteLLMRoute, managed: Managed) -> str:
    """The Service's URL, as agents of every namespace reach it."""
    name = names.route_workload(route.metadata.name)
    return f"http://{name}.{route.metadata.namespace}.svc.cluster.local:{managed.port}"
