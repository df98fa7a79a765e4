"""What can't be brought to its end isn't tried without pause: a pass leaves nothing that wakes the next."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from litclaw.api.base import Condition
from litclaw.reconcile.agent.gateway import stop_gateway
from litclaw.reconcile.core.conditions import Blocked, Conditions

NOW = datetime(2026, 11, 24, tzinfo=UTC)


async def _deleted(replicas: int) -> list[str]:
    deleted: list[str] = []
    body = {
        "kind": "Deployment",
        "metadata": {"namespace": "a", "name": "b", "uid": "u"},
        "spec": {"replicas": replicas},
    }

    async def delete(kind: object, namespace: str, name: str, uid: str) -> None:
        deleted.append(name)

    cache, kube = SimpleNamespace(children=lambda uid: [body]), SimpleNamespace(delete=delete)
    agent = SimpleNamespace(metadata=SimpleNamespace(uid="x"))
    await stop_gateway(cast(Any, SimpleNamespace(cache=cache, kube=kube)), cast(Any, agent))
    return deleted


async def test_a_gateway_that_is_scaled_to_zero_is_not_deleted_and_made_again() -> None:
    assert await _deleted(0) == []
    assert await _deleted(1) == ["b"]


def _told(before: list[dict[str, Any]], generation: int, said: str) -> list[dict[str, Any]]:
    conditions = Conditions(("KeyReady",))
    conditions.blocked(Blocked("KeyReady", "Refused", said, stalled=True))
    return conditions.render([Condition.model_validate(each) for each in before], generation=generation, now=NOW)


def test_which_of_many_faults_is_named_does_not_change_with_each_look() -> None:
    refused = "Deployment a/b is refused by the API server: failed to create typed patch object (a/b): .spec.{}: bad"
    first = _told([], 1, refused.format("x"))
    assert _told(first, 1, refused.format("y")) == first
    assert _told(first, 2, refused.format("y")) != first, "another generation is another resource"
    assert _told(first, 1, refused.format("y").replace("a/b", "a/c")) != first
    assert _told(first, 1, "Deployment a/b is refused by the API server: over quota") != first
