"""What is read from an object's plain dict, also where a part of it is missing."""

from typing import Any

import pytest
from litclaw.kube.objects import agent_secret_name_of, condition_of, is_deleting, is_released, route_key_of


def agent(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "scout", "namespace": "team-a"}, "spec": spec}


def test_a_condition_is_found_by_its_type() -> None:
    ready = {"type": "Ready", "status": "True"}
    body = {"status": {"conditions": [{"type": "Stalled", "status": "False"}, ready]}}
    assert condition_of(body, "Ready") == ready


@pytest.mark.parametrize(
    "body", [{}, {"status": None}, {"status": {"conditions": None}}, {"status": {"conditions": [{}]}}]
)
def test_a_condition_that_is_missing_is_empty(body: dict[str, Any]) -> None:
    assert condition_of(body, "Ready") == {}


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({"routeRef": {"name": "main", "namespace": "ai"}}, ("ai", "main")),
        ({"routeRef": {"name": "main"}}, ("team-a", "main")),
        ({}, ("team-a", "")),
    ],
)
def test_an_agent_s_route_is_in_its_own_namespace_unless_it_names_another(spec: Any, key: tuple[str, str]) -> None:
    assert route_key_of(agent(**spec)) == key


def test_an_agent_s_secret_has_a_default_name() -> None:
    assert agent_secret_name_of(agent()) == agent_secret_name_of(agent(key={})) == "scout-litellm"
    assert agent_secret_name_of(agent(key={"secretName": "mine"})) == "mine"


def test_an_object_with_a_deletion_timestamp_is_being_deleted() -> None:
    assert not is_deleting(agent())
    assert is_deleting({"metadata": {"deletionTimestamp": "2026-11-24T10:00:00Z"}})


@pytest.mark.parametrize(
    ("finalizers", "released"),
    [([], True), (["other.example/x"], True), (["other.example/x", "litclaw.dev/finalizer"], False), (None, True)],
)
def test_an_object_is_released_when_it_is_deleted_without_our_finalizer(finalizers: Any, released: bool) -> None:
    assert is_released({"metadata": {"deletionTimestamp": "1", "finalizers": finalizers}}) is released
    assert not is_released({"metadata": {"finalizers": finalizers}})
