"""openclaw.json: its layout by OpenClaw release, the operator's own settings, and facts about models from the proxy."""

import json
from typing import Any

import pytest
from litclaw.api.agent import OpenClawAgent
from litclaw.api.models import OpenClawModel
from litclaw.render.agent.configmap import agent_configmap
from litclaw.render.agent.gateway import gateway_deployment
from litclaw.render.openclaw.config import OpenClawConfig, model_facts, openclaw_config
from litclaw.render.openclaw.releases import LAYOUTS, TooOldError, layout, release_of, release_of_image

INFO = {
    "max_input_tokens": 200_000,
    "max_output_tokens": 64_000,
    "supports_vision": True,
    "supports_reasoning": True,
    "input_cost_per_token": 5e-06,
    "output_cost_per_token": 2.5e-05,
    "cache_read_input_token_cost": 5e-07,
    "cache_creation_input_token_cost": 6.25e-06,
}


def rendered(**spec: Any) -> OpenClawConfig:
    body = {"metadata": {"name": "scout", "namespace": "team-a"}, "spec": {"routeRef": {"name": "main"}, **spec}}
    facts = (model_facts("opus", OpenClawModel(), INFO),)
    agent = OpenClawAgent.model_validate(body)
    private = agent.spec.config.allow_private_network != "Never"
    return openclaw_config(agent, base_url="http://p", allow_private_network=private, models=facts)


def config(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(rendered(**spec).text)
    return found


def test_it_refers_to_the_key_and_reports_what_it_overrules() -> None:
    extra = {"models": {"mode": "merge"}, "logging": {"level": "info"}, "gateway": {"mode": "local"}}
    found = config(config={"extra": extra})
    provider = found["models"]["providers"]["litellm"]
    assert provider["apiKey"] == "${LITELLM_API_KEY}" and found["logging"] == {"level": "info"}
    assert rendered(config={"extra": extra}).remarks == ("spec.config.extra can't change models.mode.",)
    with_gateway = config(gateway={})
    assert with_gateway["models"]["providers"]["litellm"]["apiKey"]["source"] == "file"
    assert with_gateway["gateway"]["auth"] == {"mode": "token", "token": "${OPENCLAW_GATEWAY_TOKEN}"}


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        (
            {"models": {"providers": {"litellm": {"headers": {"Authorization": "Bearer x"}}}}},
            "models.providers.litellm",
        ),
        (
            {"models": {"providers": {"litellm": {"request": {"allowPrivateNetwork": True}}}}},
            "models.providers.litellm",
        ),
        ({"env": {"vars": {"LITELLM_API_KEY": "sk-another"}}}, "env.vars.LITELLM_API_KEY"),
        ({"gateway": {"tls": {"enabled": True}}}, "gateway.tls"),
    ],
)
def test_settings_that_would_redirect_the_key_are_removed_and_reported(extra: dict[str, Any], path: str) -> None:
    found = rendered(config={"extra": {**extra, "logging": {"level": "info"}}, "allowPrivateNetwork": "Never"})
    text = found.text
    assert "sk-another" not in text and "Bearer" not in text and "tls" not in text
    assert json.loads(text)["logging"] == {"level": "info"}
    assert found.remarks == (f"spec.config.extra can't change {path}.",)


def test_facts_that_the_route_leaves_unset_and_prices_come_from_the_proxy() -> None:
    [model] = config()["models"]["providers"]["litellm"]["models"]
    assert (model["contextWindow"], model["maxTokens"], model["reasoning"]) == (200_000, 64_000, True)
    assert model["input"] == ["text", "image"]
    assert model["cost"] == {"input": 5, "output": 25, "cacheRead": 0.5, "cacheWrite": 6.25}, "per million tokens"
    given = OpenClawModel.model_validate({"contextWindow": 1000, "reasoning": False, "input": ["text"]})
    facts = model_facts("opus", given, INFO)
    assert (facts.context_window, facts.max_tokens, facts.reasoning, facts.input) == (1000, 64_000, False, ("text",))
    assert model_facts("x", OpenClawModel(), {}).cost == ()


IMAGE = {"name": "painter", "timeout": "180s"}


@pytest.mark.parametrize(
    ("version", "flag", "image"),
    [
        ("2026.4.9", False, {"imageGenerationModel": {"primary": "litellm/painter"}}),
        ("2026.4.10", True, {"imageGenerationModel": {"primary": "litellm/painter"}}),
        ("2026.4.25", True, {"imageGenerationModel": {"primary": "litellm/painter", "timeoutMs": 180_000}}),
        ("2026.7.35", True, {"imageGenerationModel": {"primary": "litellm/painter", "timeoutMs": 180_000}}),
        ("2026.8.1", True, {"mediaModels": {"image": {"primary": "litellm/painter", "timeoutMs": 180_000}}}),
        ("2027.1.1", True, {"mediaModels": {"image": {"primary": "litellm/painter", "timeoutMs": 180_000}}}),
    ],
)
def test_each_release_gets_the_layout_that_it_reads(version: str, flag: bool, image: dict[str, Any]) -> None:
    found = rendered(imageModel=IMAGE, config={"openclawVersion": version})
    body = json.loads(found.text)
    assert found.allow_private_network is flag
    assert ("request" in body["models"]["providers"]["litellm"]) is flag
    defaults = {key: value for key, value in body["agents"]["defaults"].items() if key != "model"}
    assert defaults == image
    assert ("timeout is left out" in " ".join(found.remarks)) is ("timeoutMs" not in json.dumps(image))


def test_the_release_is_that_of_the_gateways_image_unless_it_is_named() -> None:
    old = config(imageModel=IMAGE, gateway={"image": "ghcr.io/openclaw/openclaw:2026.7.1-2"})
    assert "imageGenerationModel" in old["agents"]["defaults"]
    named = config(imageModel=IMAGE, gateway={"image": "registry:5000/own"}, config={"openclawVersion": "2026.5.18"})
    assert "imageGenerationModel" in named["agents"]["defaults"]
    unknown = config(imageModel=IMAGE, gateway={"image": "registry:5000/own:latest"})
    assert "mediaModels" in unknown["agents"]["defaults"], "the newest layout if the release is unknown"


def test_a_release_older_than_every_layout_is_refused() -> None:
    with pytest.raises(TooOldError, match=r"2026\.1\.30 is older than"):
        rendered(config={"openclawVersion": "2026.1.30"})


@pytest.mark.parametrize(
    ("text", "release"),
    [("2026.9.6", (2026, 9, 6)), ("v2026.8.1-beta.3", (2026, 8, 1)), ("latest", None), ("9.6", None)],
)
def test_releases_are_read_from_names(text: str, release: tuple[int, int, int] | None) -> None:
    assert release_of(text) == release
    assert release_of_image(f"registry.example.com:5000/openclaw:{text}") == release
    assert release_of_image(f"openclaw:{text}@sha256:abc") == release


def test_the_layouts_are_in_order() -> None:
    assert list(LAYOUTS) == sorted(LAYOUTS, key=lambda each: each.since)
    assert [layout(each.since) for each in LAYOUTS] == list(LAYOUTS)
    assert layout(None) is LAYOUTS[-1]


def test_the_proxys_authorities_are_trusted_for_the_proxy_alone() -> None:
    body = {"metadata": {"name": "scout"}, "spec": {"routeRef": {"name": "main"}, "gateway": {}}}
    agent, facts = OpenClawAgent.model_validate(body), (model_facts("opus", OpenClawModel(), INFO),)
    found = openclaw_config(agent, base_url="https://p", allow_private_network=False, models=facts, authorities="PEM")
    assert json.loads(found.text)["models"]["providers"]["litellm"]["request"] == {"tls": {"ca": "PEM"}}
    assert agent.spec.gateway
    deployment = gateway_deployment(agent, agent.spec.gateway, agent_configmap(agent, found.text, "PEM"), "t")
    assert "NODE_EXTRA_CA_CERTS" not in json.dumps(deployment)


def test_an_owner_may_let_the_whole_gateway_trust_them() -> None:
    extra = [{"name": "NODE_EXTRA_CA_CERTS", "value": "/etc/openclaw/ca.crt"}]
    body = {"metadata": {"name": "scout"}, "spec": {"routeRef": {"name": "main"}, "gateway": {"env": extra}}}
    agent = OpenClawAgent.model_validate(body)
    assert agent.spec.gateway
    deployment = gateway_deployment(agent, agent.spec.gateway, agent_configmap(agent, "{}", "PEM"), "t")
    assert extra[0] in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
