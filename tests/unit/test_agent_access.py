"""What an agent is told of models that its route hasn't, or hasn't yet."""

from typing import Any

import pytest
from litclaw.api.agent import OpenClawAgent
from litclaw.api.models import OpenClawModel
from litclaw.kube.cache import Cache
from litclaw.reconcile.agent.accept import accept
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.proxy.key_table import KeyTable
from litclaw.render.openclaw.config import model_facts


def context(given: list[str], offered: list[str]) -> Context:
    """A route that has been given models, of which its proxy offers some."""
    cache = Cache()
    meta = {"name": "main", "namespace": "ai", "uid": "uid-main", "resourceVersion": "1"}
    models = [{"name": name} for name in given]
    cache.observe({"kind": "LiteLLMRoute", "metadata": meta, "spec": {"managed": {}, "models": models}})
    found = Context(kube=None, cache=cache, cluster="", wake=lambda _: None, enqueue_after=lambda *_: None)  # type: ignore[arg-type]
    facts = tuple(model_facts(name, OpenClawModel(), {}) for name in offered)
    found.routes["ai", "main"] = RouteState(client=None, secrets=(None, "", None), table=KeyTable(""), facts=facts)  # type: ignore[arg-type]
    return found


def agent(**spec: Any) -> OpenClawAgent:
    meta = {"name": "scout", "namespace": "ai", "uid": "uid-scout"}
    return OpenClawAgent.model_validate({"metadata": meta, "spec": {"routeRef": {"name": "main"}, **spec}})


@pytest.mark.parametrize("spec", [{"models": ["new"]}, {"imageModel": {"name": "new"}}, {"fallbackModels": ["new"]}])
def test_a_model_that_the_proxy_is_about_to_offer_is_waited_for(spec: dict[str, Any]) -> None:
    with pytest.raises(Blocked) as told:
        accept(context(["old", "new"], ["old"]), agent(**spec))
    assert (told.value.reason, told.value.stalled) == ("RouteNotReady", False)
    assert "whose proxy doesn't offer model 'new' yet" in told.value.message


def test_a_model_that_the_route_has_not_is_for_somebody_to_mend() -> None:
    with pytest.raises(Blocked) as told:
        accept(context(["old"], ["old"]), agent(models=["new"]))
    assert (told.value.reason, told.value.stalled) == ("ModelNotFound", True)


def test_the_models_of_an_agent_are_all_of_the_route_s_or_those_that_it_names() -> None:
    there = context(["a", "b", "coming"], ["a", "b"])
    assert [each.name for each in accept(there, agent()).models] == ["a", "b"]
    assert [each.name for each in accept(there, agent(models=["b"])).models] == ["b"]
