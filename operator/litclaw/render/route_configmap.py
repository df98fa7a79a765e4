"""A managed route's ConfigMap with config.yaml."""

from ..api import names
from ..api.route import LiteLLMRoute
from .litellm_config import config_yaml
from .metadata import Manifest
from .owned import of_route


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
