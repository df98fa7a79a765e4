"""Kinds of addresses, and LiteLLM's config.yaml."""

import pytest
from litclaw.api.route import LiteLLMRoute
from litclaw.net.address import Reach, allow_private_network, base_url, reach
from litclaw.render.route.config_yaml import SettingClashError, config_yaml


def route(**spec: object) -> LiteLLMRoute:
    models = [
        {
            "name": "m",
            "litellmParams": {"model": "openai/m"},
            "apiKeySecretRef": {"name": "openai", "key": "OPENAI_API_KEY"},
        }
    ]
    return LiteLLMRoute.model_validate(
        {
            "metadata": {"name": "main", "namespace": "ai"},
            "spec": {"managed": {"database": {"embedded": {}}}, "models": models, **spec},
        }
    )


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("http://127.0.0.1:4000", Reach.LOOPBACK),
        ("http://main-litellm.ai.svc.cluster.local:4000", Reach.PRIVATE),
        ("http://10.0.0.8", Reach.PRIVATE),
        ("https://litellm.example.com/v1", Reach.PUBLIC),
        ("http://169.254.169.254", Reach.LINK_LOCAL),
        ("http://[fe80::1]", Reach.LINK_LOCAL),
        ("http://100.100.100.200", Reach.LINK_LOCAL),
        ("http://[fd00:ec2::254]", Reach.LINK_LOCAL),
        ("http://[64:ff9b::a9fe:a9fe]", Reach.LINK_LOCAL),
        ("http://[::ffff:169.254.169.254]", Reach.LINK_LOCAL),
        ("http://[::a9fe:a9fe]", Reach.LINK_LOCAL),
        ("http://[2002:a9fe:a9fe::1]", Reach.LINK_LOCAL),
        ("http://[fe80::1%25eth0]", Reach.LINK_LOCAL),
        ("http://[::1]", Reach.LOOPBACK),
        ("http://metadata.google.internal", Reach.LINK_LOCAL),
    ],
)
def test_the_kind_of_an_address(url: str, where: Reach) -> None:
    assert reach(url) is where


def test_the_private_network_is_opened_only_where_the_proxy_is_private() -> None:
    assert allow_private_network(Reach.PRIVATE, "Auto")
    assert not allow_private_network(Reach.LOOPBACK, "Auto")
    assert allow_private_network(Reach.PUBLIC, "Always")
    assert not allow_private_network(Reach.PRIVATE, "Never")


def test_a_base_url_has_no_v1() -> None:
    assert base_url("https://litellm.example.com/v1/") == "https://litellm.example.com"


def test_config_yaml_names_secrets_and_holds_none() -> None:
    text = config_yaml(route())
    assert "os.environ/LITCLAW_OPENAI_OPENAI_API_KEY_" in text
    assert "os.environ/LITELLM_MASTER_KEY" in text


def test_a_setting_that_the_operator_owns_is_refused_by_name() -> None:
    with pytest.raises(SettingClashError, match=r"spec\.generalSettings\.master_key"):
        config_yaml(route(generalSettings={"master_key": "x"}))
