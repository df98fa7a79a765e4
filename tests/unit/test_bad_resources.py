"""Resources that the API server takes and that nobody means well with."""

from typing import Any

import pytest
from litclaw.api.agent import OpenClawAgent
from litclaw.api.free_form import limit_depth
from litclaw.api.models import OpenClawModel
from litclaw.api.quantity import parse_quantity
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.diff import covers
from litclaw.render.openclaw.config import model_facts
from litclaw.render.proxy_peer import address_peer, service_of, service_peer, url_port
from pydantic import ValidationError


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": [value]}
    return value


def test_an_object_without_end_is_refused_and_said_so() -> None:
    assert limit_depth(nested(20))
    spec = {"routeRef": {"name": "main"}, "config": {"extra": nested(5_000)}}
    with pytest.raises(ValidationError, match="nested more than 64 levels"):
        OpenClawAgent.model_validate({"metadata": {"name": "x", "namespace": "y"}, "spec": spec})


@pytest.mark.parametrize("metadata", [{"a\0": 1}, {"a": ["\0"]}, {"a": {"b": "\\\0"}}])
def test_what_the_database_cannot_keep_is_refused_and_said_so(metadata: dict[str, Any]) -> None:
    spec = {"routeRef": {"name": "main"}, "key": {"metadata": metadata}}
    with pytest.raises(ValidationError, match="a NUL character"):
        OpenClawAgent.model_validate({"metadata": {"name": "x", "namespace": "y"}, "spec": spec})


def test_a_text_about_such_a_character_is_none() -> None:
    spec = {"routeRef": {"name": "main"}, "key": {"metadata": {"a": r"\u0000"}}}
    OpenClawAgent.model_validate({"metadata": {"name": "x", "namespace": "y"}, "spec": spec})


def test_how_pods_are_spread_is_not_without_end_either() -> None:
    spread = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": nested(5_000)}
    managed = {"database": {"embedded": {}}, "topologySpreadConstraints": [spread]}
    with pytest.raises(ValidationError, match="nested more than 64 levels"):
        LiteLLMRoute.model_validate({"metadata": {"name": "x", "namespace": "y"}, "spec": {"managed": managed}})


def test_what_an_apply_has_emptied_is_left_out() -> None:
    spec = {"routeRef": {"name": "main"}, "key": {"metadata": None}, "config": {"files": None, "extra": None}}
    agent = OpenClawAgent.model_validate({"metadata": {"name": "x", "namespace": "y"}, "spec": spec})
    assert (agent.spec.key.metadata, agent.spec.config.files, agent.spec.config.extra) == ({}, {}, {})


@pytest.mark.parametrize(
    "info",
    [
        {"max_input_tokens": "200k", "max_tokens": None, "input_cost_per_token": "free"},
        {"max_input_tokens": -1, "max_output_tokens": [], "output_cost_per_token": {}},
        {"supports_vision": "maybe", "input_cost_per_token": -5},
        {"max_input_tokens": 1e300, "max_tokens": True, "input_cost_per_token": 1e30, "output_cost_per_token": True},
        {"max_input_tokens": float("inf"), "input_cost_per_token": float("inf"), "output_cost_per_token": 10**400},
        {"max_input_tokens": float("nan"), "input_cost_per_token": float("nan")},
    ],
)
def test_facts_that_are_no_facts_are_left_out(info: dict[str, Any]) -> None:
    facts = model_facts("m", OpenClawModel(), info)
    assert (facts.context_window, facts.max_tokens, facts.cost) == (None, None, ())


def test_an_amount_beyond_any_is_none() -> None:
    assert parse_quantity("1e999999999999") is None
    assert not covers("1e999999999999", "1e-999999999999")


def test_where_a_network_policy_leads() -> None:
    service = {
        "metadata": {"namespace": "ai"},
        "spec": {"selector": {"app": "litellm"}, "ports": [{"port": 80, "targetPort": "http"}]},
    }
    url = "http://litellm.ai.svc.cluster.local"
    assert service_of(url) == ("ai", "litellm") and service_of("http://.x.svc") is None
    assert service_of("https://litellm.example.com") is None
    rule = service_peer(url, service).rule()
    assert rule["ports"] == [{"protocol": "TCP", "port": "http"}], "the pods' own port, not the Service's"
    assert rule["to"][0]["podSelector"] == {"matchLabels": {"app": "litellm"}}
    assert address_peer("https://10.0.0.8:8443").rule() == {
        "to": [{"ipBlock": {"cidr": "10.0.0.8/32"}}],
        "ports": [{"protocol": "TCP", "port": 8443}],
    }
    assert address_peer("https://litellm.example.com").rule() == {"ports": [{"protocol": "TCP", "port": 443}]}
    with pytest.raises(ValueError, match="[Pp]ort"):
        url_port("http://h:99999")
