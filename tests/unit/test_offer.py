"""What a route offers its agents: they are reconciled when it changes, and not otherwise."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from litclaw.kube.objects import condition_of
from litclaw.net.address import Reach
from litclaw.reconcile.core import intervals
from litclaw.reconcile.proxy.offer import MOST_MODELS
from litclaw.reconcile.proxy.session import ProxySession
from litclaw.reconcile.route import reconcile
from litclaw.reconcile.route.reconcile import reconcile_route

from .scenes import MODEL, Body, Scene, agent_body, master_key_body, offer_of, route_body, until

AGENTS = [("OpenClawAgent", "n", "a"), ("OpenClawAgent", "n", "b")]


def test_equal_offers_are_equal_whatever_they_are_made_of() -> None:
    assert offer_of("a", "b") == offer_of("a", "b") and offer_of("a", "b") is not offer_of("a", "b")
    assert offer_of("a") != offer_of("b") and offer_of() != replace(offer_of(), usable=False)


def test_agents_are_enqueued_if_what_they_see_has_changed() -> None:
    scene = Scene(agent_body("a", "u"), agent_body("b", "v"), agent_body("c", "w", route="other"))
    key = ("n", "r")
    scene.context.enqueue_agents_if_changed(key, ("All", offer_of()))
    assert scene.enqueued == AGENTS, "the first one, after the start of the process"
    scene.enqueued.clear()
    scene.context.enqueue_agents_if_changed(key, ("All", offer_of()))
    assert scene.enqueued == []
    scene.context.enqueue_agents_if_changed(key, ("Same", offer_of()))
    scene.context.enqueue_agents_if_changed(key, ("Same", offer_of("another")))
    assert scene.enqueued == [*AGENTS, *AGENTS]
    scene.context.enqueue_agents_if_changed(key, None)
    scene.context.enqueue_agents_if_changed(key, ("Same", offer_of("another")))
    assert scene.enqueued == [*AGENTS, *AGENTS, *AGENTS, *AGENTS], "a route that comes back is another one"


# By the route's own pass


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """A route that is ready, with two agents. Its session observes when it is asked to."""
    monkeypatch.setattr(intervals, "OBSERVE", 60.0)
    found = Scene(agent_body("a", "u"), agent_body("b", "v"), route_body())
    found.kube.objects["Secret", "n", "m"] = master_key_body()
    found.context.routes.clear()
    found.proxy.models = {MODEL: {"max_input_tokens": 1000}}
    await reconcile_route(found.context, "n", "r")
    await until(lambda: session_of(found).keys_read)
    await reconciled(found)
    assert condition_of(body_of(found), "Ready")["status"] == "True"
    yield found
    await found.context.proxies.close()


def session_of(scene: Scene) -> ProxySession:
    [session] = scene.context.proxies
    return session


def body_of(scene: Scene) -> Body:
    found = scene.cache.get("LiteLLMRoute", "n", "r")
    assert found
    return found


async def reconciled(scene: Scene) -> list[Any]:
    """One pass after a fresh observation; returns the agents that are enqueued."""
    session = session_of(scene)
    before = session.observation
    session.request_observation()
    await until(lambda: session.observation is not before)
    scene.enqueued.clear()
    await reconcile_route(scene.context, "n", "r")
    return [request for request in scene.enqueued if request[0] == "OpenClawAgent"]


async def test_a_pass_that_finds_the_same_enqueues_no_agents(scene: Scene) -> None:
    assert await reconciled(scene) == [] and await reconciled(scene) == []


async def test_a_model_that_changes_at_the_proxy_enqueues_the_agents(scene: Scene) -> None:
    scene.proxy.models = {MODEL: {"max_input_tokens": 2000}}
    assert await reconciled(scene) == AGENTS and await reconciled(scene) == []


async def test_a_proxy_that_goes_away_and_comes_back_enqueues_the_agents_each_time(scene: Scene) -> None:
    scene.proxy.database = False
    assert await reconciled(scene) == AGENTS
    connection = scene.context.routes["n", "r"]
    assert connection.offer and not connection.usable and connection.offer.models, "its agents keep what they have"
    assert await reconciled(scene) == []
    scene.proxy.database = True
    assert await reconciled(scene) == AGENTS and connection.usable


async def test_changed_defaults_of_the_route_enqueue_the_agents(scene: Scene) -> None:
    meta = {**body_of(scene)["metadata"], "resourceVersion": "2000", "generation": 2}
    scene.put({**body_of(scene), "spec": route_body(keyDefaults={"rpmLimit": 60})["spec"], "metadata": meta})
    await reconcile_route(scene.context, "n", "r")  # the proxy is observed for it
    assert await reconciled(scene) == AGENTS
    connection = scene.context.routes["n", "r"]
    assert connection.offer and connection.offer.key_defaults.rpm_limit == 60


async def test_names_that_agents_cannot_use_are_left_out_and_counted(scene: Scene) -> None:
    scene.proxy.models = {MODEL: {}, "${SLACK_BOT_TOKEN}": {}, "two\nlines": {}, "x" * 129: {}}
    assert await reconciled(scene) == AGENTS
    offer = scene.context.routes["n", "r"].offer
    assert offer and [facts.name for facts in offer.models] == [MODEL]
    served = condition_of(body_of(scene), "ModelsReady")
    assert served["status"] == "True" and served["message"].startswith("Of the proxy's models, 3 are left out")
    assert "SLACK" not in served["message"]


async def test_a_proxy_whose_names_all_are_left_out_has_no_models(scene: Scene) -> None:
    scene.proxy.models = {"${SLACK_BOT_TOKEN}": {}}
    await reconciled(scene)
    found = condition_of(body_of(scene), "ModelsReady")
    assert (found["status"], found["reason"]) == ("False", "NoModels") and "1 is left out" in found["message"]


async def test_the_order_of_the_proxys_models_is_none_of_the_routes(scene: Scene) -> None:
    scene.proxy.models = {name: {} for name in ("c", "a", "b")}
    assert await reconciled(scene) == AGENTS
    offer = scene.context.routes["n", "r"].offer
    assert offer and [facts.name for facts in offer.models] == ["a", "b", "c"]
    scene.proxy.models = dict(reversed(scene.proxy.models.items()))
    assert await reconciled(scene) == [], "another worker of the proxy has answered"


async def test_a_name_with_private_and_public_addresses_in_turn_changes_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Reach.PRIVATE]

    async def locate(*_: object) -> tuple[Reach, bool]:
        return found[-1], True

    monkeypatch.setattr(reconcile, "locate", locate)
    found.append(Reach.PUBLIC)
    assert await reconciled(scene) == []
    connection = scene.context.routes["n", "r"]
    assert connection.offer and connection.offer.reach is Reach.PRIVATE
    connection.offer = replace(connection.offer, reach=Reach.PUBLIC)
    assert await reconciled(scene) == AGENTS
    found.append(Reach.PRIVATE)
    assert await reconciled(scene) == AGENTS, "a public one that turns out to be private is"


async def test_the_number_of_models_is_bounded_whatever_their_order(scene: Scene) -> None:
    names = [f"m-{number:04}" for number in range(MOST_MODELS + 50)]
    scene.proxy.models = {name: {} for name in reversed(names)}
    await reconciled(scene)
    offer = scene.context.routes["n", "r"].offer
    assert offer and [facts.name for facts in offer.models] == names[:MOST_MODELS]
    assert "50 are left out" in condition_of(body_of(scene), "ModelsReady")["message"]
