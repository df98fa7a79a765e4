"""A resource that can't become ready isn't reconciled without pause: a pass leaves nothing that enqueues it again."""

from datetime import UTC, datetime

from litclaw.api.base import Condition
from litclaw.kube.cache import Cache
from litclaw.reconcile.agent.gateway import stop_gateway
from litclaw.reconcile.core.conditions import Blocked, Conditions, ConditionType
from litclaw.render.metadata import owned_object

from .scenes import Body, FakeKube, agent_body, agent_of, context_of

NOW = datetime(2026, 11, 24, tzinfo=UTC)


async def _deleted(replicas: int) -> list[str]:
    agent, cache, kube = agent_of(), Cache(), FakeKube()
    body = owned_object(agent, "apps/v1", "Deployment", "b", component="gateway")
    cache.store(
        {**body, "metadata": {**body["metadata"], "uid": "d", "resourceVersion": "1"}, "spec": {"replicas": replicas}}
    )
    await stop_gateway(context_of(kube, cache), agent_body())
    return kube.deleted


async def test_a_gateway_that_is_scaled_to_zero_is_not_deleted_and_created_again() -> None:
    assert await _deleted(0) == []
    assert await _deleted(1) == ["b"]


def _rendered(before: list[Body], generation: int, message: str) -> list[Body]:
    conditions = Conditions((ConditionType.KEY_READY,))
    conditions.set_blocked(Blocked(ConditionType.KEY_READY, "Refused", message, stalled=True))
    return conditions.render([Condition.model_validate(each) for each in before], generation=generation, now=NOW)


def test_the_one_of_many_faults_that_is_named_does_not_change_with_each_pass() -> None:
    refused = "Deployment a/b is refused by the API server: failed to create typed patch object (a/b): .spec.{}: bad"
    first = _rendered([], 1, refused.format("x"))
    assert _rendered(first, 1, refused.format("y")) == first
    assert _rendered(first, 2, refused.format("y")) != first, "another generation is another resource"
    assert _rendered(first, 1, refused.format("y").replace("a/b", "a/c")) != first
    assert _rendered(first, 1, "Deployment a/b is refused by the API server: over quota") != first
