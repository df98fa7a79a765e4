"""A managed route's ConfigMap with config.yaml."""

from ..api import names
from ..api.route import ROUTE_KIND, LiteLLMRoute
from .litellm_config import config_yaml
from .metadata import Manifest, child


def route_configmap(route: LiteLLMRoute) -> Manifest:
    """The ConfigMap. Raises `SettingClashError` or `ModelsCollideError` where the settings can't be rendered."""
    manifest = child(
        "v1",
        "ConfigMap",
        names.route_workload(route.metadata.name),
        owner_kind=ROUTE_KIND,
        owner=route.metadata,
        component="proxy",
    )
    return {**manifest, "data": {names.CONFIG_YAML: config_yaml(route)}}
