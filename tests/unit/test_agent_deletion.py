"""The deletion of an agent whose proxy is away, or that is interrupted: it can't hang, and nothing of the agent stays in
memory; a key that it is to retain isn't lost.
"""

from typing import Any

import pytest
from litclaw.kube.cache import fingerprint
from litclaw.kube.errors import UnavailableError
from litclaw.reconcile.agent.deletion import finalize_agent
from litclaw.reconcile.core import intervals
from litclaw.reconcile.keys.ensure import ensure_key
from litclaw.render.agent.secret import agent_secret
from litclaw.render.metadata import sealed
from pydantic import SecretStr

from .scenes import URL, Body, Scene, agent_body, agent_of, key_of_agent, route_body

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


# Retained keys

RETAIN = {"deletionPolicy": "Retain"}
SECRET = ("Secret", "n", "a-litellm")


def _retaining(*bodies: Body, **given: Any) -> tuple[Scene, Body]:
    """An agent that is being deleted and retains its key, with its Secret."""
    manifest = sealed(agent_secret(agent_of(), key=KEY, token=fingerprint(KEY), base_url=URL))
    secret = {**manifest, "metadata": {**manifest["metadata"], "uid": "s", "resourceVersion": "1"}}
    meta: Body = {"finalizers": ["litclaw.dev/finalizer"], "deletionTimestamp": "2026-11-24T10:00:00Z"}
    deleted = agent_body(key=RETAIN, status={"key": {"hash": fingerprint(KEY)[:8]}}, **meta, **given)
    return Scene(deleted, secret, *bodies), deleted


def _is_detached(scene: Scene) -> bool:
    return not scene.kube.objects[SECRET]["metadata"].get("ownerReferences")


@pytest.mark.parametrize("route", ["r", "a-route-that-does-not-exist"])
async def test_a_retained_key_survives_a_deletion_that_is_interrupted_after_its_secret_was_detached(route: str) -> None:
    scene, deleted = _retaining(route_body(), route=route)
    row = scene.know(key_of_agent(KEY))
    scene.kube.gives_up.add("OpenClawAgent")
    with pytest.raises(UnavailableError):
        await finalize_agent(scene.context, deleted)
    assert _is_detached(scene) and scene.cache.get(*SECRET) is None
    assert await finalize_agent(scene.context, deleted) is None
    assert scene.proxy.rows[row.token]["metadata"]["litclaw"]["retained"] == "n/a"
    assert "expires" not in scene.proxy.rows[row.token]


async def test_a_retained_key_whose_proxy_stays_away_keeps_its_secret() -> None:
    scene, deleted = _retaining(route_body())
    scene.know(key_of_agent(KEY))
    scene.proxy.failing.add("/key/update")
    assert await finalize_agent(scene.context, deleted) == intervals.FINALIZER_RETRY
    scene.clock.pass_(intervals.FINALIZER_LIMIT)
    assert await finalize_agent(scene.context, deleted) is None
    assert [event["reason"] for event in scene.kube.events] == ["KeyLeftBehind"] and _is_detached(scene)


async def test_nothing_is_retained_of_a_route_that_is_being_deleted() -> None:
    deleted_route = route_body(finalizers=["litclaw.dev/finalizer"], deletionTimestamp="2026-11-24T10:00:00Z")
    scene, deleted = _retaining(deleted_route)
    scene.know(key_of_agent(KEY))
    assert await finalize_agent(scene.context, deleted) is None
    assert scene.proxy.rows == {} and not _is_detached(scene), "the Secret goes with the agent"
