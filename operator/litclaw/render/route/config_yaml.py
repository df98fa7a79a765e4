"""LiteLLM's config.yaml. It contains no secret value: secrets are ``os.environ/NAME``, and the pod has the variable.

A variable's name depends only on the Secret's name and key. So models with the same Secret share one, and reordering
the models doesn't change the environment.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from litclaw.api import names
from litclaw.api.base import SecretKeyRef
from litclaw.api.models import SECRET_PARAMS, RouteModel, secret_field
from litclaw.api.route import LiteLLMRoute, RouteSpec

_OWNED: dict[str, tuple[str, ...]] = {
    "generalSettings": ("master_key", "database_url", "store_model_in_db", "disable_prisma_schema_update"),
    "routerSettings": ("fallbacks",),
}
_OWNED_WITH_REDIS: dict[str, tuple[str, ...]] = {
    "generalSettings": ("coordination_redis",),
    "routerSettings": ("redis_url", "redis_host", "redis_port", "redis_password"),
}
_OWNED_WITH_MONITORING: dict[str, tuple[str, ...]] = {"litellmSettings": ("require_auth_for_metrics_endpoint",)}
_OWNED_WITHOUT_DASHBOARD: dict[str, tuple[str, ...]] = {"generalSettings": ("disable_env_credential_login",)}
_PROMETHEUS = "prometheus"


class SettingClashError(ValueError):
    """A passed-through setting is owned by the operator, or names something that doesn't exist.

    ``args``: the field, and what to do.
    """


class ModelsCollideError(ValueError):
    """OpenClaw or LiteLLM can't tell two models' names apart. ``args``: the names, and what to do."""


def env_name(ref: SecretKeyRef) -> str:
    """Name of the environment variable with the value of a Secret's key."""
    readable = re.sub(r"[^A-Z0-9]+", "_", f"{ref.name}_{ref.key}".upper()).strip("_")
    unique = hashlib.sha256(f"{ref.name}/{ref.key}".encode()).hexdigest()[:6].upper()
    return f"LITCLAW_{readable}_{unique}"


def secret_params(model: RouteModel) -> Iterator[tuple[str, SecretKeyRef]]:
    """A model's secret parameters, each with its Secret key."""
    if model.api_key_secret_ref:
        yield "api_key", model.api_key_secret_ref
    yield from sorted(model.secret_params.items())


def model_secrets(route: LiteLLMRoute) -> list[SecretKeyRef]:
    """Secret keys of all models, each once, in a stable order."""
    found = {(ref.name, ref.key): ref for model in route.spec.models for _, ref in secret_params(model)}
    return [found[key] for key in sorted(found)]


def _check_owned(spec: RouteSpec) -> None:
    passed = {
        "generalSettings": spec.general_settings,
        "routerSettings": spec.router_settings,
        "litellmSettings": spec.litellm_settings,
    }
    owners = [("the operator", _OWNED)]
    if spec.managed and spec.managed.redis:
        owners.append(("spec.managed.redis", _OWNED_WITH_REDIS))
    if spec.managed and spec.managed.monitoring.enabled:
        owners.append(("spec.managed.monitoring", _OWNED_WITH_MONITORING))
    if spec.managed and not spec.managed.dashboard.enabled:
        owners.append(("spec.managed.dashboard", _OWNED_WITHOUT_DASHBOARD))
    for owner, table in owners:
        for field, owned in table.items():
            if clash := sorted(set(passed[field]) & set(owned)):
                raise SettingClashError(
                    f"spec.{field}.{clash[0]} is set by {owner}: remove it"
                    + (" and use spec.fallbacks" if clash[0] == "fallbacks" else "")
                )


def _check_names(spec: RouteSpec) -> None:
    """Refuse names that collide: OpenClaw ignores their case, and LiteLLM prefers an alias to a model."""
    seen: dict[str, str] = {}
    for model in spec.models:
        if other := seen.get(model.name.lower()):
            raise ModelsCollideError(
                f"Models {other!r} and {model.name!r} differ in case only, and OpenClaw can't distinguish them: rename "
                "one"
            )
        seen[model.name.lower()] = model.name
    aliases = spec.router_settings.get("model_group_alias")
    for alias in aliases if isinstance(aliases, Mapping) else ():
        if other := seen.get(str(alias).lower()):
            raise ModelsCollideError(
                f"spec.routerSettings.model_group_alias has the alias {alias!r}, which hides the model {other!r}: "
                "rename one"
            )


def check_settings(route: LiteLLMRoute) -> None:
    """Refuse settings that the operator owns, fallbacks to unknown models, secrets as plain text, and colliding names.

    Raises:
        SettingClashError: with the field's path and what to do.
        ModelsCollideError: two models' names collide.
    """
    spec = route.spec
    _check_owned(spec)
    _check_names(spec)
    known = {model.name for model in spec.models}
    for index, fallback in enumerate(spec.fallbacks):
        for name in (fallback.model, *fallback.to):
            if name not in known:
                raise SettingClashError(
                    f"spec.fallbacks[{index}] names the model {name!r}, which isn't in spec.models: "
                    "add the model or fix the name"
                )
    for model in spec.models:
        for param, _ in secret_params(model):
            if param in model.litellm_params:
                raise SettingClashError(
                    f"model {model.name!r} has {param} in litellmParams and as a Secret: remove it from litellmParams"
                )
        for param in SECRET_PARAMS:
            if not str(model.litellm_params.get(param, "os.environ/")).startswith("os.environ/"):
                raise SettingClashError(
                    f"model {model.name!r} has {param} as text in litellmParams: put it into a Secret and name that in "
                    f"{secret_field(param)}"
                )


def _model(model: RouteModel) -> dict[str, Any]:
    params = dict(model.litellm_params)
    for param, ref in secret_params(model):
        params[param] = f"os.environ/{env_name(ref)}"
    entry: dict[str, Any] = {"model_name": model.name, "litellm_params": params}
    if model.model_info:
        entry["model_info"] = dict(model.model_info)
    return entry


def _with_prometheus(callbacks: Any) -> list[Any]:
    given = list(callbacks) if isinstance(callbacks, list) else [callbacks] if callbacks else []
    return given if _PROMETHEUS in given else [*given, _PROMETHEUS]


def config_yaml(route: LiteLLMRoute) -> str:
    """The proxy's config.yaml, with sorted keys.

    Raises:
        SettingClashError, ModelsCollideError: see `check_settings`.
    """
    check_settings(route)
    spec = route.spec
    router: dict[str, Any] = dict(spec.router_settings)
    if spec.fallbacks:
        router["fallbacks"] = [{entry.model: list(entry.to)} for entry in spec.fallbacks]
    general: dict[str, Any] = {
        **spec.general_settings,
        "master_key": f"os.environ/{names.MASTER_KEY}",
        "database_url": f"os.environ/{names.DATABASE_URL}",
        "store_model_in_db": False,
    }
    litellm: dict[str, Any] = dict(spec.litellm_settings)
    if spec.managed and spec.managed.redis:
        # The pods share limits, spend, cooldowns and blocked keys through it. Models' answers aren't cached.
        general["coordination_redis"] = {"url": f"os.environ/{names.REDIS_URL}"}
    if spec.managed and not spec.managed.dashboard.enabled:
        # DISABLE_ADMIN_UI stops the pages from signing in, and this the paths behind them (/login and /v2/login of 1.106.2).
        general["disable_env_credential_login"] = True
    if spec.managed and spec.managed.monitoring.enabled:
        litellm["callbacks"] = _with_prometheus(litellm.get("callbacks"))
        litellm["require_auth_for_metrics_endpoint"] = False
    config: dict[str, Any] = {
        "model_list": [_model(model) for model in spec.models],
        "general_settings": general,
    }
    if litellm:
        config["litellm_settings"] = litellm
    if router:
        config["router_settings"] = router
    text: str = yaml.safe_dump(config, sort_keys=True, allow_unicode=True, width=1000)
    return text
