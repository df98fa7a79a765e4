"""What an agent gets of its route's models, and what happens where the route lacks one, or lacks it yet."""

from typing import Any

import pytest
from litclaw.reconcile.agent.accept import accept
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.conditions import Blocked

from .scenes import Scene, agent_of, offer_of, route_body


def context(given: list[str], offered: list[str]) -> Context:
    """A route that has been given models, of which its proxy offers some."""
    scene = Scene(route_body(models=[{"name": name} for name in given]))
    scene.connection.offer = offer_of(*offered)
    return scene.context


@pytest.mark.parametrize("spec", [{"models": ["new"]}, {"imageModel": {"name": "new"}}, {"fallbackModels": ["new"]}])
def test_a_model_that_the_proxy_is_about_to_offer_is_waited_for(spec: dict[str, Any]) -> None:
    with pytest.raises(Blocked) as raised:
        accept(context(["old", "new"], ["old"]), agent_of(**spec))
    assert (raised.value.reason, raised.value.stalled) == ("RouteNotReady", False)
    assert "whose proxy doesn't offer model 'new' yet" in raised.value.message


def test_a_model_that_the_route_lacks_needs_a_person_to_act() -> None:
    with pytest.raises(Blocked) as raised:
        accept(context(["old"], ["old"]), agent_of(models=["new"]))
    assert (raised.value.reason, raised.value.stalled) == ("ModelNotFound", True)


def test_the_models_of_an_agent_are_all_of_the_route_s_or_those_that_it_names() -> None:
    there = context(["a", "b", "coming"], ["a", "b"])
    assert [each.name for each in accept(there, agent_of()).models] == ["a", "b"]
    assert [each.name for each in accept(there, agent_of(models=["b"])).models] == ["b"]


def test_a_namespace_that_comes_with_its_agents_needs_nobody_to_act() -> None:
    chosen = {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}
    there = Scene(route_body(allowedNamespaces=chosen)).context
    agent = agent_of(namespace="new", routeRef={"name": "r", "namespace": "n"})
    with pytest.raises(Blocked, match="hasn't seen namespace new yet") as raised:
        accept(there, agent)
    assert (raised.value.reason, raised.value.stalled) == ("NamespaceUnknown", False)
    there.namespaces = ("n", "new")
    with pytest.raises(Blocked, match="can't read those of new") as raised:
        accept(there, agent)
    assert (raised.value.reason, raised.value.stalled) == ("NamespaceUnknown", True), "it may not read it"


def test_a_route_that_offers_nothing_yet_is_waited_for() -> None:
    scene = Scene(route_body())
    scene.connection.offer = None
    with pytest.raises(Blocked) as raised:
        accept(scene.context, agent_of())
    assert (raised.value.reason, raised.value.stalled) == ("RouteNotReady", False)


def test_a_route_that_is_not_usable_still_accepts_so_that_keys_are_kept_as_they_are() -> None:
    scene = Scene(route_body())
    scene.connection.offer = offer_of(usable=False)
    assert accept(scene.context, agent_of()).connection is scene.connection
