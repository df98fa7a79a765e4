"""Kinds of addresses, and LiteLLM's config.yaml."""

import pytest
from litclaw.api.route import LiteLLMRoute
from litclaw.net.address import AddressGuard, Reach, allow_private_network, base_url, guard_of_a_pod, reach
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.route.connect import locate
from litclaw.render.route.config_yaml import SettingClashError, config_yaml

from .scenes import context_of


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
        ("http://[::ffff:0:169.254.169.254]", Reach.LINK_LOCAL),
        ("http://[64:ff9b:1::a9fe:a9fe]", Reach.LINK_LOCAL),
        ("http://[64:ff9b:1:abcd::a9fe:a9fe]", Reach.LINK_LOCAL),
        ("http://[64:ff9b:1:a9fe:a9:fe00::]", Reach.LINK_LOCAL),
        ("http://[64:ff9b:1:ffa9:fe:a9fe::]", Reach.LINK_LOCAL),
        ("http://[64:ff9b:1:ffff:a9:fea9:fe00:0]", Reach.LINK_LOCAL),
        ("http://[64:ff9b:1::127.0.0.1]", Reach.LOOPBACK),
        ("http://[64:ff9b:1::203.0.114.8]", Reach.PRIVATE),
        ("http://[64:ff9b::8.8.8.8]", Reach.PUBLIC),
    ],
)
def test_the_kind_of_an_address(url: str, where: Reach) -> None:
    assert reach(url) is where


@pytest.mark.parametrize("api_server", ["10.96.0.1", "fd00:10:96::1"])
def test_addresses_that_nothing_is_sent_to(api_server: str) -> None:
    anywhere, pod = AddressGuard(), guard_of_a_pod({"KUBERNETES_SERVICE_HOST": api_server})
    mapped = f"::ffff:{api_server}" if "." in api_server else api_server
    for refused in ("127.0.0.1", "127.1.2.3", "::1", api_server, mapped):
        assert pod.refuses(refused) and not anywhere.refuses(refused)
    for refused in ("169.254.169.254", "fd00:ec2::254", "0.0.0.0"):
        assert pod.refuses(refused) and anywhere.refuses(refused)
    for taken in ("10.96.0.2", "203.0.114.8", "fd00:10:96::2", "litellm.example.com", ""):
        assert not pod.refuses(taken)
    assert not guard_of_a_pod({}).refuses("10.96.0.1")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost:8080", "http://10.96.0.1", "http://[::1]:1"]
)
async def test_a_route_to_the_operator_itself_or_the_api_server_is_refused(url: str) -> None:
    with pytest.raises(Blocked, match="LinkLocalAddress: .* leads to a loopback, link-local or metadata address"):
        await locate(context_of(guard=guard_of_a_pod({"KUBERNETES_SERVICE_HOST": "10.96.0.1"})), url)
    where, _ = await locate(context_of(guard=AddressGuard()), url)
    assert where in (Reach.LOOPBACK, Reach.PRIVATE)


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
