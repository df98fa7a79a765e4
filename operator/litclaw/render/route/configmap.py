"""A managed route's ConfigMap with config.yaml."""

from litclaw.api import names
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest
from litclaw.render.owned import of_route
from litclaw.render.route.config_yaml import config_yaml


def route_configmap(route: LiteLLMRoute) -> Manifest:
    """The ConfigMap. Raises `SettingClashError` or `ModelsCollideError` where the settings can't be rendered."""
    manifest = of_route(
        route,
        "v1",
        "ConfigMap",
        names.route_workload(route.metadata.name),
        component="proxy",
    )
    return {**manifest, "data": {names.CONFIG_YAML: config_yaml(route)}}
