"""A managed route's ConfigMap with config.yaml."""

from litclaw.api import names
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, owned_object
from litclaw.render.route.config_yaml import config_yaml


def route_configmap(route: LiteLLMRoute) -> Manifest:
    """The ConfigMap.

    Raises:
        SettingClashError, ModelsCollideError: see `config_yaml`.
    """
    manifest = owned_object(route, "v1", "ConfigMap", names.route_workload(route.metadata.name), component="proxy")
    return {**manifest, "data": {names.CONFIG_YAML: config_yaml(route)}}
