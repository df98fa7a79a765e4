"""What a proxy tells about its models: the same, whichever of its processes answers."""

import itertools
from typing import Any

import pytest
from litclaw.api.agent import OpenClawAgent
from litclaw.api.models import OpenClawModel
from litclaw.litellm.model_info import models_of
from litclaw.render.openclaw.config import default_model, model_facts

DEPLOYMENTS: list[dict[str, Any]] = [
    {"id": "1", "mode": "chat", "max_input_tokens": 200_000, "supports_vision": True, "input_cost_per_token": 1e-06},
    {"id": "2", "mode": "chat", "max_input_tokens": 128_000, "supports_vision": True, "supports_reasoning": True},
    {
        "id": "3",
        "max_input_tokens": None,
        "max_output_tokens": 4096,
        "supports_vision": None,
        "input_cost_per_token": 3e-06,
    },
]


def response(*infos: Any) -> dict[str, Any]:
    return {"data": [{"model_name": "m", "model_info": info} for info in infos]}


def test_a_model_with_several_deployments_has_what_each_of_them_has() -> None:
    found = [models_of(response(*order)) for order in itertools.permutations(DEPLOYMENTS)]
    assert all(each == found[0] for each in found)
    assert found[0]["m"] == {
        "mode": "chat",
        "max_input_tokens": 128_000,
        "max_output_tokens": 4096,
        "supports_vision": False,
        "supports_reasoning": False,
        "input_cost_per_token": 3e-06,
    }


def test_numbers_that_are_none_decide_nothing() -> None:
    odd = [
        {"max_tokens": float("nan"), "input_cost_per_token": float("inf")},
        {"max_tokens": True},
        {"max_tokens": 10**400},
    ]
    for order in itertools.permutations(odd):
        assert models_of(response(*order)) == {"m": {"max_tokens": 10**400}}, (
            "which is no length either, but that is decided elsewhere"
        )


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": 7}, {"data": [1, [], {}, {"model_name": ""}]}])
def test_what_is_no_model_is_left_out(body: dict[str, Any]) -> None:
    assert models_of(body) == {}


def test_of_one_deployment_everything_is_taken_as_it_is() -> None:
    assert models_of(response({"id": "1", "max_tokens": "many"})) == {"m": {"id": "1", "max_tokens": "many"}}
    assert models_of(response("text")) == {"m": {}}


# The model that an agent uses by default

MODES = {"embed": "embedding", "gpt": "chat", "own": None, "painter": "image_generation", "thinker": "responses"}


def default(*names: str, before: str = "", **spec: Any) -> str:
    """The default of an agent that may use some models of `MODES`.

    Args:
        before: the one in its status.
    """
    body = {"metadata": {"name": "a"}, "spec": {"routeRef": {"name": "r"}, **spec}, "status": {"defaultModel": before}}
    facts = [model_facts(name, OpenClawModel(), {"mode": MODES[name]}) for name in names]
    return default_model(OpenClawAgent.model_validate(body), facts)


def test_it_answers_chats() -> None:
    assert default("embed", "painter", "thinker") == "thinker"
    assert default("embed", "own") == "own", "a mode that the proxy doesn't know may be chat"
    assert default("embed", "gpt", models=["embed", "gpt"]) == "gpt"
    assert default("embed", "painter") == "embed", "there is nothing better"
    assert default("embed", "gpt", defaultModel="embed") == "embed", "its owner says so"


def test_once_chosen_it_stays_while_it_exists() -> None:
    assert default("gpt", "own", before="own") == "own"
    assert default("gpt", "thinker", before="own") == "gpt", "it is gone"
    assert default("embed", "gpt", before="embed") == "gpt", "an earlier release has chosen it"
    assert default("gpt", "own", before="own", models=["gpt", "own"]) == "gpt", "its owner gives the order"
    assert default("gpt", "own", before="own", defaultModel="gpt") == "gpt"
