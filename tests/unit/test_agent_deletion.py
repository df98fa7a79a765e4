"""The deletion of an agent whose proxy is away: it can't hang, and nothing of the agent stays in memory."""

from litclaw.reconcile.agent.deletion import finalize_agent
from litclaw.reconcile.core import intervals
from litclaw.reconcile.keys.ensure import ensure_key
from pydantic import SecretStr

from .scenes import Scene, agent_body, agent_of, key_of_agent, route_body

KEY = "sk-the-key-of-an-agent"


async def test_it_is_given_up_some_time_after_the_first_attempt_and_its_undelivered_key_is_forgotten() -> None:
    deleted = agent_body(
        finalizers=["litclaw.dev/finalizer"], deletionTimestamp="2026-11-20T10:00:00Z", status={"key": {"hash": "1"}}
    )
    scene = Scene(route_body(), deleted)
    row = scene.know(key_of_agent(KEY))
    scene.session.undelivered["u"] = (row.token, SecretStr(KEY))
    scene.proxy.failing |= {"/key/block", "/key/delete"}
    assert await finalize_agent(scene.context, deleted) == intervals.FINALIZER_RETRY, "the first attempt isn't the last"
    scene.clock.pass_(intervals.FINALIZER_LIMIT)
    assert await finalize_agent(scene.context, deleted) is None
    assert not scene.session.undelivered and not scene.context.attempts
    assert [event["reason"] for event in scene.kube.events] == ["KeyLeftBehind"]


async def test_a_generation_that_somebody_has_written_into_the_status_does_not_spoil_later_keys() -> None:
    scene = Scene()
    agent = agent_of(status={"key": {"generation": 2**63 - 1}, "conditions": []})
    row, _ = await ensure_key(scene.context, agent, scene.access())
    assert row.mark and row.mark.generation < 2**31
