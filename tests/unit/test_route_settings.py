"""LiteLLM settings that the operator owns, and names of models that collide."""

from typing import Any

import pytest
import yaml
from litclaw.reconcile.route.secrets import weakness
from litclaw.render.route.config_yaml import ModelsCollideError, SettingClashError, config_yaml
from litclaw.render.route.deployment import proxy_env
from litclaw.render.route.pod_monitor import route_pod_monitor

from .routes import MODEL, managed_route

REDIS = {"redis": {"secretRef": {"name": "redis", "key": "URL"}}}
MONITORING = {"monitoring": {"enabled": True}}
NO_DASHBOARD = {"dashboard": {"enabled": False}}


def config(managed: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(config_yaml(managed_route(managed, **spec)[0]))
    return found


@pytest.mark.parametrize(
    ("managed", "field", "key"),
    [
        ({}, "generalSettings", "database_url"),
        ({}, "generalSettings", "disable_prisma_schema_update"),
        (REDIS, "generalSettings", "coordination_redis"),
        (REDIS, "routerSettings", "redis_password"),
        (MONITORING, "litellmSettings", "require_auth_for_metrics_endpoint"),
        (NO_DASHBOARD, "generalSettings", "disable_env_credential_login"),
    ],
)
def test_a_setting_of_the_operators_is_refused_by_name(managed: dict[str, Any], field: str, key: str) -> None:
    with pytest.raises(SettingClashError, match=rf"spec\.{field}\.{key} is set by .*: remove it"):
        config(managed, **{field: {key: "x"}})


def test_settings_that_are_owned_with_redis_may_be_set_without_it() -> None:
    nodes = {"startup_nodes": [{"host": "redis", "port": 6379}]}
    assert config(generalSettings={"coordination_redis": nodes})["general_settings"]["coordination_redis"] == nodes


def test_the_redis_url_is_a_reference_and_answers_are_not_cached() -> None:
    rendered = config(REDIS)
    assert rendered["general_settings"]["coordination_redis"] == {"url": "os.environ/REDIS_URL"}
    assert "cache" not in rendered.get("litellm_settings", {})
    route, managed = managed_route(REDIS)
    [variable] = [entry for entry in proxy_env(route, managed) if entry["name"] == "REDIS_URL"]
    assert variable["valueFrom"] == {"secretKeyRef": {"name": "redis", "key": "URL"}}


@pytest.mark.parametrize(
    ("given", "callbacks"),
    [
        (None, ["prometheus"]),
        (["langfuse"], ["langfuse", "prometheus"]),
        ("langfuse", ["langfuse", "prometheus"]),
        (["prometheus", "langfuse"], ["prometheus", "langfuse"]),
    ],
)
def test_prometheus_is_added_to_existing_callbacks(given: Any, callbacks: list[str]) -> None:
    settings = {"callbacks": given} if given else {}
    assert config(MONITORING, litellmSettings=settings)["litellm_settings"]["callbacks"] == callbacks
    assert "litellm_settings" not in config()


def plain_env(managed: dict[str, Any] | None = None) -> dict[str, str]:
    """The variables with a value in the resource or from the operator."""
    entries = proxy_env(*managed_route(managed))
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry["value"] for entry in entries if "value" in entry}


def test_the_api_docs_are_off_unless_the_owner_wants_them() -> None:
    off = {"NO_DOCS": "True", "NO_REDOC": "True", "NO_OPENAPI": "True"}
    assert off.items() <= plain_env().items()
    on = plain_env({"env": [{"name": "NO_DOCS", "value": "False"}]})
    assert (on["NO_DOCS"], on["NO_REDOC"]) == ("False", "True")


def test_the_dashboard_stays_unless_the_owner_turns_it_off() -> None:
    assert "DISABLE_ADMIN_UI" not in plain_env()
    assert "disable_env_credential_login" not in config()["general_settings"]
    env = [{"name": "DISABLE_ADMIN_UI", "value": "False"}]
    assert plain_env({**NO_DASHBOARD, "env": env})["DISABLE_ADMIN_UI"] == "True"
    assert config(NO_DASHBOARD)["general_settings"]["disable_env_credential_login"] is True


def test_a_pod_monitor_scrapes_the_proxys_pods() -> None:
    spec = route_pod_monitor(managed_route(MONITORING)[0])["spec"]
    assert spec["selector"]["matchLabels"]["app.kubernetes.io/component"] == "proxy"
    assert spec["podMetricsEndpoints"] == [{"port": "http", "path": "/metrics/"}]


def test_models_that_differ_in_case_only_collide() -> None:
    with pytest.raises(ModelsCollideError, match="'m' and 'M' differ in case only"):
        config(models=[MODEL, {**MODEL, "name": "M"}])


def test_an_alias_that_hides_a_model_collides() -> None:
    with pytest.raises(ModelsCollideError, match="alias 'M', which hides the model 'm'"):
        config(routerSettings={"model_group_alias": {"M": "other"}})


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("sk-1234", "has fewer than 16 characters"),
        ("", "doesn't start with sk-"),
        ("0123456789abcdefghij", "doesn't start with sk-"),
        ("sk-0000000000000000", "repeats a few characters"),
        ("sk-0123456789abcdefghij\n", "has white space in it, perhaps a line break at the end"),
        ("sk-0123456789abcdefghij", None),
    ],
)
def test_weak_master_keys(key: str, expected: str | None) -> None:
    assert weakness(key) == expected
