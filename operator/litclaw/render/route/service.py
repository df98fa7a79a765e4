"""A managed route's Service."""

from litclaw.api import names
from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, labels
from litclaw.render.owned import of_route


def route_service(route: LiteLLMRoute, managed: Managed) -> Manifest:
    """The Service in front of the proxy's pods."""
    manifest = of_route(
        route,
        "v1",
        "Service",
        names.route_workload(route.metadata.name),
        component="proxy",
        annotations=managed.service.annotations,
    )
    return {
        **manifest,
        "spec": {
            "type": managed.service.type,
            "selector": labels(route.metadata.name, "proxy"),
            "ports": [{"name": "http", "port": managed.port, "protocol": "TCP", "targetPort": "http"}],
        },
    }


def service_url(route: LiteLLMRoute, managed: Managed) -> str:
    """Where agents of every namespace reach the proxy."""
    name = names.route_workload(route.metadata.name)
    return f"http://{name}.{route.metadata.namespace}.svc.cluster.local:{managed.port}"
