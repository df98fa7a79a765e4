"""The deletion of an external route: the keys of its agents end with it, also one that is being created just now."""

from datetime import timedelta
from typing import Any

import pytest
from litclaw.reconcile.core import intervals
from litclaw.reconcile.proxy.connection import Connection
from litclaw.reconcile.proxy.room import Room
from litclaw.reconcile.route.deletion import finalize_route
from litclaw.reconcile.route.reconcile import reconcile_route

from .scenes import Body, Scene, agent_body, key_of_agent, master_key_body, offer_of, route_body

DELETED_AT = "2026-11-24T09:59:00Z"
KEY = "sk-the-key-of-an-agent"


def deleted(**given: Any) -> Body:
    """A route that is being deleted, and waits for us."""
    return route_body(finalizers=["litclaw.dev/finalizer"], deletionTimestamp=DELETED_AT, **given)


def deleting(*bodies: Body) -> Scene:
    """A scene with such a route and an agent that has got a key by it."""
    return Scene(deleted(), agent_body(status={"key": {"hash": "12345678"}}), *bodies)


def gone(scene: Scene) -> bool:
    """True if the finalizer is removed, so that the route is gone."""
    return ("LiteLLMRoute", "n", "r") not in scene.kube.objects


async def test_a_key_that_is_being_created_is_waited_for_and_ends_with_the_route() -> None:
    scene = deleting()
    await scene.read()
    scene.connection.keys_in_creation = 1
    assert await finalize_route(scene.context, deleted()) == intervals.KEY_IN_CREATION
    assert not scene.kube.applied and not gone(scene), "a key is being created"
    assert not scene.connection.usable, "and no other is begun"

    # It was created, and the response was lost.
    scene.create(key_of_agent(KEY))
    scene.connection.keys_in_creation = 0
    assert await finalize_route(scene.context, deleted()) is None
    assert scene.proxy.rows == {} and gone(scene)


async def test_keys_of_another_route_s_agents_at_the_same_proxy_stay() -> None:
    scene = deleting(agent_body("b", "v", route="other"))
    scene.session.routes.add(("n", "other"))
    scene.context.routes["n", "other"] = Connection(scene.session, offer_of())
    scene.know(key_of_agent(KEY))
    stays = scene.know(key_of_agent("sk-of-another-agent", "v", alias="n/b"))
    await scene.read()
    assert await finalize_route(scene.context, deleted()) is None
    assert set(scene.proxy.rows) == {stays.token} and gone(scene)


async def test_keys_that_had_no_room_in_memory_end_with_the_route_too() -> None:
    scene = deleting()
    scene.session._room = lambda session: Room((), 1_000)
    for number in range(1_500):
        scene.create(key_of_agent(f"sk-{number}", f"gone-{number}", retained_for=f"n/a{number}", route="n/r"))
    await scene.read()
    assert await finalize_route(scene.context, deleted()) == intervals.FINALIZER_RETRY and not gone(scene)
    assert await finalize_route(scene.context, deleted()) is None
    assert scene.proxy.rows == {} and gone(scene)


async def test_a_route_that_this_process_has_not_reached_yet_is_reached_for_its_deletion() -> None:
    scene = deleting()
    scene.context.routes.clear()
    scene.kube.objects["Secret", "n", "m"] = master_key_body()
    scene.create(key_of_agent(KEY))
    assert await reconcile_route(scene.context, "n", "r") is None
    assert scene.proxy.rows == {} and gone(scene) and not scene.context.routes
    await scene.context.proxies.close()


async def test_a_proxy_that_is_away_delays_the_deletion_for_a_limited_time() -> None:
    scene = deleting()
    scene.know(key_of_agent(KEY))
    await scene.read()
    scene.proxy.failing.add("/key/list")
    scene.clock.pass_(2 * intervals.FINALIZER_LIMIT)  # no operator ran meanwhile
    assert await finalize_route(scene.context, deleted()) == intervals.FINALIZER_RETRY and not gone(scene)
    scene.clock.pass_(intervals.FINALIZER_LIMIT - 1)
    assert await finalize_route(scene.context, deleted()) == 1.0 and not gone(scene)
    scene.clock.pass_(1)
    assert await finalize_route(scene.context, deleted()) is None and gone(scene)
    [event] = scene.kube.events
    assert event["reason"] == "KeyLeftBehind" and len(scene.proxy.rows) == 1
    assert not scene.context.attempts


@pytest.mark.parametrize("days", [-40, 40])
async def test_a_clock_that_somebody_sets_does_not_change_for_how_long_a_deletion_waits(days: int) -> None:
    scene = deleting()
    scene.know(key_of_agent(KEY))
    await scene.read()
    scene.proxy.failing.add("/key/list")
    assert await finalize_route(scene.context, deleted()) == intervals.FINALIZER_RETRY
    scene.clock.now += timedelta(days=days)
    scene.clock.pass_(intervals.FINALIZER_LIMIT - 1)
    assert await finalize_route(scene.context, deleted()) == 1.0 and not gone(scene)
    scene.clock.pass_(1)
    assert await finalize_route(scene.context, deleted()) is None and gone(scene)


@pytest.mark.parametrize("status", [{}, {"key": {}}])
async def test_without_any_key_the_proxy_is_not_asked(status: Body) -> None:
    scene = Scene(deleted(), agent_body(status=status))
    assert await finalize_route(scene.context, deleted()) is None
    assert gone(scene) and not scene.proxy.calls


async def test_keys_of_agents_that_name_another_route_by_now_end_too() -> None:
    scene = Scene(deleted(), agent_body(route="nope", status={"key": {"hash": "12345678"}}))
    scene.know(key_of_agent(KEY))
    await scene.read()
    assert await finalize_route(scene.context, deleted()) is None
    assert scene.proxy.rows == {} and gone(scene)


async def test_an_agent_whose_move_the_cache_has_not_shown_yet_keeps_its_key_until_it_has_another() -> None:
    """Both are in one commit, and the watch of routes is faster than that of agents."""
    scene = deleting(route_body("other", "o"))
    row = scene.know(key_of_agent(KEY, route="n/r"))
    await scene.read()
    moved = agent_body(route="other", resourceVersion="2", status={"key": {"hash": "12345678"}})
    scene.kube.objects["OpenClawAgent", "n", "a"] = moved
    for _ in range(2):
        assert await finalize_route(scene.context, deleted()) == intervals.FINALIZER_RETRY
        assert row.token in scene.proxy.rows and not gone(scene)
        scene.cache.store(moved)
    scene.clock.pass_(intervals.FINALIZER_LIMIT)
    assert await finalize_route(scene.context, deleted()) is None
    assert scene.proxy.rows == {} and gone(scene)


async def test_an_agent_whose_move_the_cache_shows_while_the_agents_are_listed_keeps_its_key_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = deleting(route_body("other", "o"))
    row = scene.know(key_of_agent(KEY, route="n/r"))
    await scene.read()
    moved = agent_body(route="other", resourceVersion="2", status={"key": {"hash": "12345678"}})
    scene.kube.objects["OpenClawAgent", "n", "a"] = moved
    listed = scene.kube.metadata

    async def event_comes_meanwhile(*given: Any) -> list[Body]:
        scene.cache.store(moved)
        return await listed(*given)

    monkeypatch.setattr(scene.kube, "metadata", event_comes_meanwhile)
    assert await finalize_route(scene.context, deleted()) == intervals.FINALIZER_RETRY
    assert row.token in scene.proxy.rows and not gone(scene)


async def test_keys_that_another_route_has_created_at_the_proxy_stay() -> None:
    """A proxy with two URLs: the other route has a session of its own, or isn't connected yet."""
    scene = Scene(deleted(), route_body("other", "o"), agent_body(route="other"))
    scene.know(key_of_agent(KEY, route="n/other"))
    kept = scene.know(key_of_agent("sk-kept", "gone", alias="n/k", retained_for="n/k", route="n/other"))
    ended = scene.know(key_of_agent("sk-ended", "gone", alias="n/e", retained_for="n/e", route="n/r"))
    await scene.read()
    assert await finalize_route(scene.context, deleted()) is None
    assert kept.token in scene.proxy.rows and ended.token not in scene.proxy.rows and len(scene.proxy.rows) == 2


async def test_a_route_without_our_finalizer_is_left_alone() -> None:
    scene = deleting()
    scene.know(key_of_agent(KEY))
    assert await finalize_route(scene.context, route_body(deletionTimestamp=DELETED_AT)) is None
    assert not scene.kube.applied and len(scene.proxy.rows) == 1
