"""A proxy may list any key as its own: those of other proxies, and such with the uid of an agent that never used it.

Neither takes a key of another proxy out of revocation, nor disturbs that agent. One proxy that has two URLs is another matter:
there, no key that its agent uses ends.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from typing import Any

import pytest
from litclaw.kube.cache import fingerprint
from litclaw.kube.objects import condition_of
from litclaw.kube.resources import AGENT, ROTATION, ROUTE
from litclaw.litellm.transport import Response
from litclaw.reconcile.core import intervals
from pydantic import SecretStr

from .handled import Request, answer
from .scenes import Body, agent_body, master_key_body, route_body
from .test_revocation import ANOTHER, RETAINED, A, B, World, external, new_world, rotation_body

EVIL = {"name": "evil", "namespace": "m"}
COMPANYS = {"name": "r", "namespace": "n"}
EVERY_CHANGE = ("/key/block", "/key/update", "/key/delete")


@pytest.fixture(params=[False, True], ids=["one process", "killed each time"])
async def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """The company's route ``n/r``, the route ``m/evil`` of a tenant to his own proxy, and an agent at the first."""
    found = new_world(monkeypatch, kills=request.param)
    found.put(with_master_key("evil", B, namespace="m"))
    found.put({**master_key_body(ANOTHER), "metadata": {**metadata("m2", "m"), "uid": "m2"}})
    found.put({**master_key_body(ANOTHER), "metadata": {**metadata("m2", "n"), "uid": "m3"}})
    found.put(agent_body("b", "v", namespace="m", routeRef=COMPANYS))
    await found.settle(2)
    assert found.works(found.value("b", "m"))
    yield found
    await found.context.proxies.close()


def metadata(name: str, namespace: str) -> Body:
    """Of an object that is new."""
    return {"name": name, "namespace": namespace, "resourceVersion": "1"}


def with_master_key(name: str, url: str, namespace: str = "n") -> Body:
    """A route whose Secret has another master key."""
    body = route_body(name, f"uid-{name}", url=url, allowedNamespaces={"from": "All"})
    body["metadata"]["namespace"] = namespace
    body["spec"]["external"]["masterKeySecretRef"] = {"name": "m2", "key": "k"}
    return body


def lists(world: World, row: Body, fails: tuple[str, ...] = ()) -> None:
    """The tenant's proxy lists a key, whatever becomes of it, and doesn't do some of what it is asked."""
    fake = world.fakes[B]
    before = fake.answer

    async def answer_by_lying(request: Request) -> Response:
        if request.path in fails:
            return answer(500, {})
        if request.path in ("/key/list", "/key/info"):
            fake.rows[row["token"]] = deepcopy(row)
        return await before(request)

    fake.answer = answer_by_lying  # type: ignore[method-assign]


def of_the_agent(world: World, **given: Any) -> Body:
    """The agent's key as the company's proxy has it."""
    row = world.fakes[A].rows[fingerprint(world.value("b", "m").get_secret_value())]
    return {**deepcopy(row), **given}


def moves(world: World, **spec: Any) -> None:
    """The agent names the tenant's route."""
    world.put(agent_body("b", "v", namespace="m", routeRef=EVIL, **spec))


def ready(world: World) -> Body:
    """The agent's condition."""
    found = condition_of(world.kube.objects[AGENT.kind, "m", "b"], "Ready")
    assert found
    return found


# A key of another proxy


async def test_a_key_that_the_next_proxy_claims_ends_where_it_is(world: World) -> None:
    key = world.value("b", "m")
    lists(world, of_the_agent(world))
    moves(world)
    await world.settle(4)
    assert ready(world)["status"] == "True"
    assert not world.works(key) and world.works(world.value("b", "m"), B)


async def test_a_proxy_is_not_asked_for_the_key_that_an_agent_brings(world: World) -> None:
    token = fingerprint(world.value("b", "m").get_secret_value())
    asked = []
    before = world.fakes[B].answer

    async def noted(request: Request) -> Response:
        asked.append(repr(request))
        return await before(request)

    world.fakes[B].answer = noted  # type: ignore[method-assign]
    moves(world)
    await world.settle(3)
    assert asked and not [each for each in asked if token in each]


def taken_off(world: World) -> None:
    """The company's route no longer allows the tenant's namespace."""
    world.put(external("r", A, allowed="Same"))


def suspended(world: World) -> None:
    """The agent is suspended."""
    moves(world, suspend=True)


def leaked(world: World) -> None:
    """A rotation without a grace period."""
    world.put(rotation_body())


def deleted(world: World) -> None:
    """The company's route is deleted."""
    world.delete(ROUTE.kind, "r")


@pytest.mark.parametrize("revoked", [taken_off, suspended, leaked, deleted])
async def test_a_key_that_stays_at_both_is_revoked_where_it_is(world: World, revoked: Callable[[World], None]) -> None:
    """Its author has written the other URL into the Secret, so that it counts as delivered there."""
    key = world.value("b", "m")
    lists(world, of_the_agent(world))
    secret = world.kube.objects["Secret", "m", "b-litellm"]
    world.put({**secret, "data": {**secret["data"], "LITELLM_BASE_URL": b64encode(B.encode()).decode()}})
    moves(world)
    await world.settle(3)
    assert ready(world)["status"] == "True" and world.works(key) and world.value("b", "m") == key
    revoked(world)
    await world.settle(1)
    world.kills = False  # what is waited for, is waited for in one process
    await world.settle(4)
    assert not world.works(key) and not world.events("KeyLeftBehind")


# Keys of an agent that has never used the proxy


async def test_keys_that_another_proxy_invents_do_not_disturb_a_suspension(world: World) -> None:
    lists(world, of_the_agent(world, token="f" * 64), fails=EVERY_CHANGE)
    await world.settle(1)
    world.put(agent_body("b", "v", namespace="m", routeRef=COMPANYS, suspend=True))
    await world.settle(2)
    assert ready(world)["reason"] == "Suspended" and B not in ready(world)["message"]
    assert not world.works(world.value("b", "m"))


async def test_another_proxy_that_blocks_nothing_is_named_in_a_suspension(world: World) -> None:
    forged = of_the_agent(world, token="f" * 64)
    forged["metadata"]["litclaw"]["route"] = "m/evil"
    lists(world, forged, fails=EVERY_CHANGE)
    await world.settle(1)
    world.put(agent_body("b", "v", namespace="m", routeRef=COMPANYS, suspend=True))
    await world.settle(2)
    assert ready(world)["reason"] == "Suspended" and B in ready(world)["message"]
    assert not world.works(world.value("b", "m"))


@pytest.mark.parametrize("route", ["n/r", "m/evil"])
async def test_keys_that_another_proxy_invents_do_not_delay_a_deletion(world: World, route: str) -> None:
    key, forged = world.value("b", "m"), of_the_agent(world, token="f" * 64)
    forged["metadata"]["litclaw"]["route"] = route
    lists(world, forged, fails=EVERY_CHANGE)
    await world.settle(1)
    world.delete(AGENT.kind, "b", "m")
    await world.settle(1, seconds=1)
    assert (AGENT.kind, "m", "b") not in world.kube.objects and not world.events("KeyLeftBehind")
    assert not world.works(key)


@pytest.mark.parametrize("grace", ["0s", "1m"])
async def test_keys_that_another_proxy_invents_do_not_keep_a_rotation_from_its_end(world: World, grace: str) -> None:
    key = world.value("b", "m")
    lists(world, of_the_agent(world, token="f" * 64))
    await world.settle(1)
    world.put(rotation_body(grace, routeRef=COMPANYS))
    await world.settle(12)
    assert world.status(ROTATION.kind, "leak")["phase"] == "Completed" and not world.works(key)


async def test_a_leaked_key_ends_though_another_proxy_does_not_do_it(world: World) -> None:
    key = world.value("b", "m")
    lists(world, of_the_agent(world, token="f" * 64), fails=EVERY_CHANGE)
    world.put(agent_body("b", "v", namespace="m", routeRef={"name": "nope", "namespace": "n"}))
    await world.settle(1)
    world.put(rotation_body())
    await world.settle(3)
    assert not world.works(key)


# One proxy with two URLs


def is_one(world: World) -> None:
    """The second URL leads to the company's proxy."""
    world.fakes[B] = world.fakes[A]


async def settles_with_a_key(world: World, rounds: int) -> SecretStr:
    """Let passes run. The key in the Secret works at any time."""
    for _ in range(rounds):
        await world.settle(1, seconds=31)
        assert world.works(world.value("b", "m"))
    return world.value("b", "m")


async def test_an_agent_that_moves_to_another_url_keeps_its_key(world: World) -> None:
    is_one(world)
    key = world.value("b", "m")
    world.put(external("back", B))
    moved_to = {"name": "back", "namespace": "n"}
    world.put(agent_body("b", "v", namespace="m", routeRef=moved_to))
    assert await settles_with_a_key(world, 4) == key
    world.delete(ROUTE.kind, "r")
    assert await settles_with_a_key(world, 4) == key and len(world.fakes[A].rows) == 1


async def test_an_agent_that_moves_to_a_route_with_another_master_key_has_a_key_all_the_time(world: World) -> None:
    """Such as one of a proxy admin. Nothing shows that it is one proxy until the agent has got a key there."""
    is_one(world)
    key = world.value("b", "m")
    moves(world)
    await settles_with_a_key(world, 1)
    assert world.works(key), "its pods may still use it"
    world.delete(ROUTE.kind, "r")
    await settles_with_a_key(world, 1)
    world.kills = False
    await settles_with_a_key(world, 8)
    [row] = world.fakes[A].rows.values()
    assert row["metadata"]["litclaw"]["route"] == "m/evil" and not world.events("KeyLeftBehind")


async def test_an_agent_at_the_second_url_is_looked_after_there(world: World) -> None:
    is_one(world)
    moves(world)
    key = await settles_with_a_key(world, 8)
    taken_off(world)
    await settles_with_a_key(world, 2)
    world.put(rotation_body())
    await settles_with_a_key(world, 1)
    assert world.works(key), "it is replaced first"
    await settles_with_a_key(world, 8)
    assert not world.works(key) and world.status(ROTATION.kind, "leak")["phase"] == "Completed"


async def test_a_url_and_a_master_key_that_change_together_cost_no_agent_its_key(world: World) -> None:
    is_one(world)
    world.kills = False  # nobody knows the former master key in another process
    world.put(with_master_key("r", B))
    await settles_with_a_key(world, 4)
    world.clock.pass_(intervals.FORMER_PROXY_LIMIT)
    await settles_with_a_key(world, 4)
    known = {each["url"]: each for each in world.status(ROUTE.kind, "r")["proxies"]}
    assert "may be the same one" in known[A]["message"]


async def test_a_former_proxy_is_left_though_the_current_one_lists_its_keys(world: World) -> None:
    world.kills = False
    key = world.value("b", "m")
    lists(world, of_the_agent(world))
    world.put(with_master_key("r", B))
    await world.settle(5)
    assert not world.works(key) and world.works(world.value("b", "m"), B)


async def test_a_key_that_an_agent_retains_stays_at_both_urls(world: World) -> None:
    """It is deleted while its old key is in the grace period, which the other route's session looks after."""
    is_one(world)
    world.put(agent_body("b", "v", namespace="m", routeRef=COMPANYS, **RETAINED))
    await world.settle(2)
    moves(world, **RETAINED)
    await settles_with_a_key(world, 2)
    key = world.value("b", "m")
    assert len(world.fakes[A].rows) == 2, "the old one is in its grace period"
    world.delete(AGENT.kind, "b", "m")
    await world.settle(3, seconds=5)
    assert (AGENT.kind, "m", "b") not in world.kube.objects
    assert world.works(key)


async def test_a_leaked_key_is_replaced_first_though_the_former_url_lists_it_too(world: World) -> None:
    is_one(world)
    world.kills = False
    world.put(with_master_key("r", B))
    key = await settles_with_a_key(world, 4)
    world.put(rotation_body())
    await settles_with_a_key(world, 1)
    assert world.works(key), "its pods have the new one in up to 90 s"
