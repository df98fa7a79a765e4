"""Resources that the API server takes and that nobody means well with."""

from pathlib import Path
from typing import Any

import pytest
from litclaw.api.agent import OpenClawAgent
from litclaw.api.free_form import limit_depth
from litclaw.api.models import OpenClawModel
from litclaw.api.quantity import parse_quantity
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.diff import covers
from litclaw.net.address import Reach, reach
from litclaw.net.cluster_domain import cluster_domain
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


@pytest.mark.parametrize("key", [{"alias": "a\0"}, {"team": "\0"}, {"tags": ["a", "b\0c"]}])
def test_what_the_database_cannot_keep_is_refused_in_every_text_of_the_key(key: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(key))):
        OpenClawAgent.model_validate(
            {"metadata": {"name": "x", "namespace": "y"}, "spec": {"routeRef": {"name": "main"}, "key": key}}
        )


def test_metadata_that_makes_the_list_of_all_keys_too_large_is_refused() -> None:
    for metadata in ({"note": "x" * 4_096}, {"list": [[]] * 1_100}, {"note": "🦊" * 400}):
        spec = {"routeRef": {"name": "main"}, "key": {"metadata": metadata}}
        with pytest.raises(ValidationError, match="more than 4096 characters"):
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
    assert service_of(url) == ("ai", "litellm")
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


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("http://litellm.ai.svc:4000", ("ai", "litellm")),
        ("http://litellm.ai.svc.cluster.local.", ("ai", "litellm")),
        ("http://LITELLM.AI.SVC/v1", ("ai", "litellm")),
        ("http://litellm.ai.svc.k8s.example", None),
        ("https://coredns.kube-system.svc.evil.example.com", None),
        ("https://coredns.kube-system.svc.cluster.local.evil.example.com", None),
        ("https://coredns.kube-system.svc.cluster.localevil", None),
        ("http://a.litellm.ai.svc", None),
        ("http://.x.svc", None),
        ("http://x..svc", None),
        ("http://a%2fb.ai.svc", None),
        ("https://litellm.example.com", None),
    ],
)
def test_which_service_a_url_names(url: str, service: tuple[str, str] | None) -> None:
    assert service_of(url) == service


def test_a_cluster_has_its_own_domain() -> None:
    assert service_of("http://litellm.ai.svc.k8s.example", "k8s.example") == ("ai", "litellm")
    assert service_of("http://litellm.ai.svc.cluster.local", "k8s.example") is None


def test_a_foreign_domain_that_looks_like_the_clusters_is_where_its_addresses_are() -> None:
    url = "https://coredns.kube-system.svc.evil.example.com"
    assert reach(url, ["93.184.216.34"]) is Reach.PUBLIC and reach(url, ["10.0.0.1"]) is Reach.PRIVATE
    assert (
        reach("http://litellm.ai.svc") is Reach.PRIVATE
        and reach("http://litellm.ai.svc.cluster.local") is Reach.PRIVATE
    )


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("search litclaw-system.svc.k8s.example svc.k8s.example k8s.example\nnameserver 10.96.0.10\n", "k8s.example"),
        ("nameserver 10.0.0.1\n\nsearch ns.svc.cluster.local svc.cluster.local. cluster.local\n", "cluster.local"),
        ("search lan\n", "cluster.local"),
        ("", "cluster.local"),
        (None, "cluster.local"),
    ],
)
def test_the_clusters_domain_is_in_the_pods_search_list(tmp_path: Path, text: str | None, domain: str) -> None:
    resolver = tmp_path / "resolv.conf"
    if text is not None:
        resolver.write_text(text)
    assert cluster_domain(resolver) == domain
