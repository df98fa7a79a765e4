"""Revocation reaches every key of an agent, whatever its routeRef says now, and whenever the operator is killed.

The crossings of docs/design/revocation.md: objects that change in one commit, at proxies that may be away, in a process that is
replaced by a new one with an empty memory between any two passes.
"""

from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litclaw.kube.cache import fingerprint
from litclaw.kube.errors import KubeError, UnavailableError
from litclaw.kube.objects import condition_of
from litclaw.kube.resources import AGENT, DEPLOYMENT, ROTATION, ROUTE
from litclaw.litellm.errors import UnreachableError
from litclaw.litellm.transport import Response
from litclaw.reconcile.agent.reconcile import reconcile_agent
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.rotation.reconcile import reconcile_rotation
from litclaw.reconcile.rotation.run import LONG
from litclaw.reconcile.route.reconcile import reconcile_route
from pydantic import SecretStr

from .handled import MASTER, Request
from .proxies import Clock, FakeProxy
from .scenes import Body, FakeKube, Proxies, agent_body, context_of, master_key_body, namespace_body, route_body, until

A, B, C = (f"http://10.0.0.{number}:4000" for number in (1, 2, 3))
MASTER_KEYS = [f"sk-{name}-0123456789abcdefghijklmnopqrstuv" for name in ("first", "second")]
LONG_MASTER, ANOTHER = MASTER_KEYS


class TickingClock(Clock):
    """Each look takes a microsecond, as at a real clock: no two things happen at the same moment."""

    def monotonic(self) -> float:
        self._passed += 1e-6
        return super().monotonic()


class World:
    """Some proxies and a cluster, and an operator that may be killed.

    Attributes:
        away: URLs of proxies that don't answer.
        bearers: what each proxy was asked with, by URL.
    """

    def __init__(self, *, kills: bool) -> None:
        self.clock = TickingClock()
        self.kube = FakeKube(namespace_body("n"), namespace_body("m"), master_key_body(LONG_MASTER))
        self.away: set[str] = set()
        self.bearers: dict[str, set[str]] = {}
        self.fakes = {url: FakeProxy(self.clock) for url in (A, B, C)}
        self.kills = kills
        for fake in self.fakes.values():
            fake.models["gpt-4o"] = {}
        self.proxies = Proxies({url: self._handler(url) for url in self.fakes})
        self.context: Context = None  # type: ignore[assignment]

    def _handler(self, url: str) -> Any:
        async def answer(request: Request) -> Response:
            self.bearers.setdefault(url, set()).add(request.bearer)
            if url in self.away:
                raise UnreachableError(f"{url} is away")
            if request.bearer in MASTER_KEYS:  # the fake has one of its own
                request = replace(request, bearer=MASTER.get_secret_value())
            return await self.fakes[url].answer(request)

        return answer

    def put(self, body: Body) -> None:
        """Create or replace an object; status, finalizers and uid stay."""
        meta = body["metadata"]
        key = (body["kind"], meta.get("namespace", ""), meta["name"])
        before = self.kube.objects.get(key)
        if before:
            own = before["metadata"]
            kept = {name: own[name] for name in ("finalizers", "uid", "deletionTimestamp") if name in own}
            version = str(int(own["resourceVersion"]) + 1)
            meta = {**meta, **kept, "resourceVersion": version, "generation": own.get("generation", 1) + 1}
            body = {**body, "metadata": meta, "status": before.get("status", {})}
        self.kube.objects[key] = body
        if self.context:
            self.context.cache.store(body)

    def delete(self, kind: str, name: str, namespace: str = "n", finalizers: tuple[str, ...] | None = None) -> None:
        """Ask for the deletion of an object.

        Args:
            finalizers: replace those that it has; None: they stay.
        """
        key = (kind, namespace, name)
        body = self.kube.objects[key]
        if finalizers is not None:
            body = {**body, "metadata": {**body["metadata"], "finalizers": list(finalizers)}}
        if body["metadata"].get("finalizers"):
            now = self.clock().isoformat()
            meta = {**body["metadata"], "deletionTimestamp": now}
            meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
            self.kube.objects[key] = {**body, "metadata": meta}
            self.context.cache.store(self.kube.objects[key])
        else:
            del self.kube.objects[key]
            self.context.cache.remove(body)

    async def restart(self) -> None:
        """Kill the operator; another process starts."""
        if self.context:
            await self.context.proxies.close()
        self.context = context_of(self.kube, clock=self.clock, connect=self.proxies.connect)
        for body in self.kube.objects.values():
            self.context.cache.store(body)

    async def settle(self, rounds: int = 6, seconds: float = 61.0) -> None:
        """Let passes run, with time in between; where the operator is killed, before each round."""
        for _ in range(rounds):
            if self.kills or not self.context:
                await self.restart()
            for _ in range(3):
                await self._round()
            self.clock.pass_(seconds)

    async def _watch(self) -> None:
        """See which resources are gone, and what has become of the others, such as that a finalizer is removed."""
        for kind in (ROUTE.kind, AGENT.kind):
            for body in list(self.context.cache.all(kind)):
                meta = body["metadata"]
                if (kind, meta["namespace"], meta["name"]) not in self.kube.objects:
                    self.context.cache.remove(body)
                    reconcile = reconcile_route if kind == ROUTE.kind else reconcile_agent
                    await reconcile(self.context, meta["namespace"], meta["name"])
                else:
                    self.context.cache.store(self.kube.objects[kind, meta["namespace"], meta["name"]])

    async def _round(self) -> None:
        await self._watch()
        for kind, namespace, name in list(self.kube.objects):
            if kind == ROUTE.kind:
                with suppress(KubeError):
                    await reconcile_route(self.context, namespace, name)
        await self._read()
        for kind, namespace, name in list(self.kube.objects):
            if kind == ROTATION.kind:
                if run := self.context.runs.get(name):
                    run.next_pass = 0.0
                with suppress(KubeError):
                    await reconcile_rotation(self.context, name)
        for kind, namespace, name in list(self.kube.objects):
            with suppress(KubeError):
                if kind == ROUTE.kind:
                    await reconcile_route(self.context, namespace, name)
                elif kind == AGENT.kind:
                    await reconcile_agent(self.context, namespace, name)

    async def _read(self) -> None:
        for session in self.context.sessions():
            await until(lambda session=session: session.observation is not None)  # type: ignore[misc]
            if session.url in self.away:
                session.observation = await session._observe()
            else:
                session.request_observation()
                with suppress(TimeoutError):
                    await until(lambda session=session: session.keys_read and session.up_to_date, 2)  # type: ignore[misc]
                await session.read_keys()

    def value(self, name: str = "a", namespace: str = "n") -> SecretStr:
        """An agent's key, from its Secret."""
        data = self.kube.objects["Secret", namespace, f"{name}-litellm"]["data"]
        return SecretStr(b64decode(data["LITELLM_API_KEY"]).decode())

    def works(self, key: SecretStr, url: str = A) -> bool:
        """True if a proxy accepts a key."""
        return self.fakes[url].call(key, 0.0, "gpt-4o") == 200

    def status(self, kind: str, name: str) -> Body:
        """An object's status."""
        found: Body = self.kube.objects[kind, "" if kind == ROTATION.kind else "n", name].get("status", {})
        return found

    def events(self, reason: str) -> list[Any]:
        """The events with a reason."""
        return [each for each in self.kube.events if each["reason"] == reason]


def external(name: str, url: str, allowed: str = "All", **spec: Any) -> Body:
    """A route."""
    return route_body(name, f"uid-{name}", url=url, allowedNamespaces={"from": allowed}, **spec)


def rotation_body(grace: str = "0s", **spec: Any) -> Body:
    """A LiteLLMKeyRotation."""
    meta = {"name": "leak", "uid": "leak", "resourceVersion": "1", "generation": 1}
    return {
        "apiVersion": ROTATION.api_version,
        "kind": ROTATION.kind,
        "metadata": meta,
        "spec": {"gracePeriod": grace, **spec},
    }


def new_world(monkeypatch: pytest.MonkeyPatch, *, kills: bool) -> World:
    """Keys are read all the time, and there is the route ``r``."""
    monkeypatch.setattr(intervals, "HURRY", 0.001)
    monkeypatch.setattr(intervals, "OBSERVE", 0.001)
    found = World(kills=kills)
    found.put(external("r", A))
    return found


@pytest.fixture(params=[False, True], ids=["one process", "killed each time"])
async def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Routes ``r`` and ``s`` to two proxies, and the agent ``a`` with a key by ``r``."""
    found = new_world(monkeypatch, kills=request.param)
    found.put(external("s", B))
    found.put(agent_body(route="r"))
    await found.settle(2)
    assert found.works(found.value()), found.status(AGENT.kind, "a")
    yield found
    await found.context.proxies.close()


def moved(world: World, route: str, **spec: Any) -> None:
    """Let the agent name another route."""
    world.put(agent_body(route=route, **spec))


# Agents that name another route


async def test_an_agent_that_names_no_route_and_is_suspended(world: World) -> None:
    key = world.value()
    moved(world, "nope")
    await world.settle(2)
    assert world.works(key), "it has nothing else"
    moved(world, "nope", suspend=True)
    await world.settle(1)
    assert not world.works(key)
    moved(world, "nope")
    await world.settle(1)
    assert world.works(key), "nothing is lost"


async def test_an_agent_that_names_no_route_and_whose_namespace_is_taken_off(world: World) -> None:
    world.put(namespace_body("other"))
    world.put(agent_body("b", "v", namespace="m", routeRef={"name": "r", "namespace": "n"}))
    await world.settle(2)
    key = world.value("b", "m")
    world.put(agent_body("b", "v", namespace="m", routeRef={"name": "nope", "namespace": "n"}))
    world.put(external("r", A, allowed="Same"))
    await world.settle(1)
    assert not world.works(key)
    world.put(external("r", A))
    await world.settle(1)
    assert world.works(key)


async def test_a_lowered_limit_reaches_the_key_at_the_route_that_it_no_longer_names(world: World) -> None:
    moved(world, "nope", key={"maxBudget": "1", "rpmLimit": 5})
    await world.settle(1)
    [row] = world.fakes[A].rows.values()
    assert (row["max_budget"], row["rpm_limit"]) == (1.0, 5)
    moved(world, "nope", key={"maxBudget": "9"})
    await world.settle(1)
    assert row["max_budget"] == 1.0, "raised where it is accepted only"


async def test_lowered_defaults_reach_an_agent_that_its_route_does_not_accept(world: World) -> None:
    moved(world, "r", models=["unknown"])
    world.put(external("r", A, keyDefaults={"rpmLimit": 3}))
    await world.settle(2)
    [row] = world.fakes[A].rows.values()
    assert row["rpm_limit"] == 3


async def test_a_lowered_limit_reaches_the_replaced_key(world: World) -> None:
    old = world.value()
    spec = {"key": {"maxBudget": "9", "rotation": {"gracePeriod": "5h"}}}
    moved(world, "r", **spec, annotations={"litclaw.dev/rotate": "1"})
    await world.settle(2)
    assert world.works(old) and len(world.fakes[A].rows) == 2
    moved(world, "r", key={**spec["key"], "maxBudget": "1"}, annotations={"litclaw.dev/rotate": "1"})
    await world.settle(1)
    assert [row["max_budget"] for row in world.fakes[A].rows.values()] == [1.0, 1.0]


async def test_an_agent_that_can_not_be_read_is_suspended_all_the_same(world: World) -> None:
    key = world.value()
    moved(world, "r", suspend=True, models="not a list")
    await world.settle(1)
    assert not world.works(key)
    assert condition_of(world.kube.objects[AGENT.kind, "n", "a"], "Ready")["reason"] == "InvalidSpec"


async def test_the_gateway_of_an_agent_that_can_not_be_read_is_stopped_when_it_is_suspended(world: World) -> None:
    gateway = (DEPLOYMENT.kind, "n", "a-openclaw")
    moved(world, "r", gateway={})
    await world.settle(1)
    assert world.kube.objects[gateway]["spec"]["replicas"] == 1
    unreadable: Body = {"gateway": {}, "config": {"extra": {str(number): 0 for number in range(20_001)}}}
    moved(world, "r", **unreadable)
    await world.settle(1)
    running = world.kube.objects[gateway]
    moved(world, "r", **unreadable, suspend=True)
    await world.settle(1)
    assert gateway not in world.kube.objects
    world.context.cache.remove(running)
    moved(world, "r", gateway={})
    await world.settle(1)
    assert world.kube.objects[gateway]["spec"]["replicas"] == 1


async def test_an_agent_whose_namespace_is_being_deleted_is_suspended_all_the_same(world: World) -> None:
    """The deletion of a namespace can hang before it reaches its agents."""
    key = world.value()
    world.put(namespace_body("n", deletionTimestamp="2026-11-24T10:00:00Z"))
    moved(world, "r", suspend=True)
    await world.settle(1)
    assert not world.works(key)


async def test_a_route_that_is_not_ready_revokes_keys(world: World) -> None:
    key = world.value()
    moved(world, "nope", suspend=True)
    body = external("r", A)
    body["spec"]["external"]["masterKeySecretRef"]["name"] = "gone"
    if world.kills:
        world.kills = False  # a process that has never had the master key can't do it
    world.put(body)
    await world.settle(1)
    assert condition_of(world.kube.objects[ROUTE.kind, "n", "r"], "Ready")["reason"] == "SecretNotFound"
    assert not world.works(key)


# Routes that can't be read


async def test_a_route_that_can_not_be_read_does_not_keep_a_suspended_agents_key(world: World) -> None:
    key = world.value()
    world.put(external("r", A, models="no list"))
    await world.restart()
    moved(world, "r", suspend=True)
    await world.settle(2)
    assert condition_of(world.kube.objects[ROUTE.kind, "n", "r"], "Ready")["reason"] == "InvalidSpec"
    assert not world.works(key)
    world.put(external("r", A))
    moved(world, "r")
    await world.settle(2)
    assert world.works(key), "nothing is lost"


async def test_a_route_that_can_not_be_read_sweeps_its_proxy(world: World) -> None:
    world.put(external("aaa", A, models="no list"))
    key = world.value()
    body = world.kube.objects.pop((AGENT.kind, "n", "a"))  # by somebody who has removed the finalizer
    world.context.cache.remove(body)
    world.put(external("r", A, models="no list"))
    await world.settle(3)
    assert not world.works(key)


async def test_a_route_that_can_not_be_read_and_takes_a_namespace_off(world: World) -> None:
    asked: list[Any] = []
    world.context.enqueue = asked.append
    world.put(external("r", A, allowed="Same", models="no list"))
    await reconcile_route(world.context, "n", "r")
    assert (AGENT.kind, "n", "a") in asked
    asked.clear()
    await reconcile_route(world.context, "n", "r")
    assert not asked, "once"


async def test_a_route_that_can_not_be_read_is_deleted(world: World) -> None:
    key = world.value()
    world.put(external("r", A, models="no list"))
    await world.settle(1)
    world.delete(ROUTE.kind, "r")
    await world.settle(2, seconds=1)
    assert (ROUTE.kind, "n", "r") not in world.kube.objects
    assert not world.works(key)


async def test_a_managed_route_that_can_not_be_read(world: World) -> None:
    """With 20,001 values, which the API server accepts."""
    url = "http://big-litellm.n.svc.cluster.local:4000"
    world.fakes[url] = world.fakes[A]
    world.proxies.handlers[url] = world._handler(url)
    env = [{"name": f"A{number}", "value": "x"} for number in range(7_000)]
    body = external("big", A)
    body["spec"] = {**body["spec"], "external": None, "managed": {"database": {"embedded": {}}, "env": env}}
    world.put(body)
    owner = {"kind": ROUTE.kind, "apiVersion": ROUTE.api_version, "name": "big", "uid": "uid-big", "controller": True}
    meta = {"namespace": "n", "resourceVersion": "1", "ownerReferences": [owner]}
    world.put(
        {"apiVersion": "v1", "kind": "Service", "metadata": {**meta, "name": "big-litellm", "uid": "s"}, "spec": {}}
    )
    await world.settle(1)
    assert ("n", "big") not in world.context.routes, "a Secret of that name would be somebody else's"
    secret = master_key_body(LONG_MASTER)
    data = {"LITELLM_MASTER_KEY": next(iter(secret["data"].values()))}
    world.put({**secret, "metadata": {**meta, "name": "big-master-key", "uid": "k"}, "data": data})
    await world.settle(1)
    assert condition_of(world.kube.objects[ROUTE.kind, "n", "big"], "Ready")["reason"] == "InvalidSpec"
    session = world.context.routes["n", "big"].session
    assert session.url == url and session.up_to_date and not session.blocks_spread


async def test_an_agent_that_has_moved_is_deleted(world: World) -> None:
    world.away.add(B)
    moved(world, "s")
    await world.settle(1)
    world.away.clear()
    world.delete(AGENT.kind, "a")
    await world.settle(2)
    assert world.fakes[A].rows == {} and world.fakes[B].rows == {}


OTHERS = "other.example/keep"


@pytest.mark.parametrize("finalizers", [(OTHERS,), (OTHERS, "litclaw.dev/finalizer")])
async def test_an_agent_that_is_deleted_and_kept_by_a_finalizer_of_others(
    world: World, finalizers: tuple[str, ...]
) -> None:
    """Who may edit it has replaced ours, or has added one of his own."""
    key = world.value()
    world.delete(AGENT.kind, "a", finalizers=finalizers)
    await world.settle(1)
    assert not world.works(key) and world.fakes[A].rows == {}
    assert world.kube.objects[AGENT.kind, "n", "a"]["metadata"]["finalizers"] == [OTHERS]


async def is_left_behind(world: World, kind: str, name: str, *, rounds: int) -> None:
    """Delete an object, which a finalizer of others keeps, while its proxy is away until nobody waits for that any longer."""
    world.away.add(A)
    world.delete(kind, name, finalizers=(OTHERS, "litclaw.dev/finalizer"))
    world.kills = False
    await world.settle(rounds)
    assert world.events("KeyLeftBehind")


async def test_the_same_after_its_proxy_was_away_for_too_long(world: World) -> None:
    key = world.value()
    await is_left_behind(world, AGENT.kind, "a", rounds=4)
    assert world.kube.objects[AGENT.kind, "n", "a"]["metadata"]["finalizers"] == [OTHERS]
    world.away.clear()
    await world.settle(1)
    assert not world.works(key), "the event says that it is deleted when the proxy is back"


async def test_the_same_with_an_agent_that_retains_its_key(world: World) -> None:
    """Nobody else knows that it is suspended; and a rotation after a leak ends it."""
    spec: Body = {"namespace": "m", "routeRef": {"name": "r", "namespace": "n"}, **RETAINED}
    world.put(agent_body("k", "kept", **spec))
    await world.settle(2)
    key = world.value("k", "m")
    world.delete(AGENT.kind, "k", "m", finalizers=(OTHERS,))
    await world.settle(1)
    assert world.works(key), "that is what it asks for"
    world.put(external("r", A, allowed="Same"))
    await world.settle(1)
    assert not world.works(key)
    world.put(external("r", A))
    await world.settle(1)
    assert world.works(key)
    world.put(agent_body("k", "kept", **spec, suspend=True))
    await world.settle(1)
    assert not world.works(key)
    world.put(rotation_body())
    await world.settle(4)
    assert world.status(ROTATION.kind, "leak")["phase"] == "Completed"
    rows = world.fakes[A].rows.values()
    assert {row["metadata"]["litclaw"]["agent"]: bool(row.get("expires")) for row in rows} == {"kept": True, "u": False}


async def test_a_route_that_a_finalizer_of_others_keeps_is_gone_for_its_keys(world: World) -> None:
    key = world.value()
    await is_left_behind(world, ROUTE.kind, "r", rounds=6)
    assert world.kube.objects[ROUTE.kind, "n", "r"]
    world.away.clear()
    world.put(external("next", A))
    await world.settle(2)
    assert not world.works(key), "a route to the proxy ends what was left there"


async def test_an_agent_that_moves_while_its_old_route_is_deleted_in_the_same_commit(world: World) -> None:
    key = world.value()
    moved(world, "s")
    world.delete(ROUTE.kind, "r")
    await world.settle(3, seconds=31)
    assert world.fakes[A].rows == {} and not world.works(key)
    assert world.works(world.value(), B) and (ROUTE.kind, "n", "r") not in world.kube.objects


async def test_an_agent_that_moves_before_the_operators_clock_is_set_back(world: World) -> None:
    """Its new key's mark has a time in the future, which decides nothing."""
    key = world.value()
    moved(world, "s")
    await world.settle(1, seconds=1)
    world.clock.now -= timedelta(days=40)
    world.delete(ROUTE.kind, "r")
    await world.settle(2, seconds=31)
    assert world.fakes[A].rows == {} and not world.works(key)
    assert world.works(world.value(), B) and (ROUTE.kind, "n", "r") not in world.kube.objects


async def test_an_agent_whose_new_route_is_away_is_waited_for_but_not_for_ever(world: World) -> None:
    key = world.value()
    world.away.add(B)
    moved(world, "s")
    world.delete(ROUTE.kind, "r")
    await world.settle(1, seconds=10)
    assert world.works(key) and (ROUTE.kind, "n", "r") in world.kube.objects, "it has nothing else"
    world.kills = False
    await world.settle(4)
    assert world.fakes[A].rows == {} and (ROUTE.kind, "n", "r") not in world.kube.objects


async def test_an_agent_that_moves_and_is_then_suspended(world: World) -> None:
    key = world.value()
    world.away.add(B)
    moved(world, "s")
    await world.settle(1)
    moved(world, "s", suspend=True)
    await world.settle(1)
    assert not world.works(key)
    world.away.clear()
    await world.settle(3)
    assert world.fakes[A].rows == {} and not world.works(world.value(), B)


async def test_two_routes_to_one_proxy_of_which_one_allows_the_namespace(world: World) -> None:
    world.put(external("open", A))
    world.put(agent_body("b", "v", namespace="m", routeRef={"name": "r", "namespace": "n"}))
    world.put(agent_body("c", "w", namespace="m", routeRef={"name": "open", "namespace": "n"}))
    await world.settle(2)

    def blocked() -> dict[str, bool]:
        rows = world.fakes[A].rows.values()
        return {row["metadata"]["litclaw"]["agent"]: bool(row.get("blocked")) for row in rows}

    world.put(external("r", A, allowed="Same"))
    await world.settle(2)
    assert blocked() == {"u": False, "v": True, "w": False}
    # By naming neither, it gets nothing back: its key was the other route's.
    world.put(agent_body("b", "v", namespace="m", routeRef={"name": "nope", "namespace": "n"}))
    await world.settle(2)
    assert blocked() == {"u": False, "v": True, "w": False}
    world.put(agent_body("b", "v", namespace="m", routeRef={"name": "open", "namespace": "n"}))
    await world.settle(2)
    assert blocked() == {"u": False, "v": False, "w": False}
    world.delete(ROUTE.kind, "r")
    await world.settle(3)
    assert blocked().keys() == {"v", "w"}, "it is the other route's key now"


# A route's former proxies


async def test_a_url_that_is_not_reachable_yet_and_then_a_third(world: World) -> None:
    key = world.value()
    world.away.add(C)
    world.put(external("r", C))
    await world.settle(2)
    assert world.works(key), "it has nothing else"
    assert [each["url"] for each in world.status(ROUTE.kind, "r")["proxies"]] == [A]
    world.put(external("r", B))
    await world.settle(5)
    assert world.fakes[A].rows == {} and world.works(world.value(), B)
    assert [each["url"] for each in world.status(ROUTE.kind, "r")["proxies"]] == [B]


async def test_a_former_proxy_that_is_away_is_waited_for(world: World) -> None:
    world.away.add(A)
    world.put(external("r", B))
    await world.settle(3)
    known = {each["url"]: each for each in world.status(ROUTE.kind, "r")["proxies"]}
    assert known.keys() == {A, B} and known[A]["leftAt"] and "away" in known[A]["message"]
    assert LONG_MASTER not in str(known) and len(world.fakes[A].rows) == 1
    world.away.clear()
    await world.settle(5)
    assert world.fakes[A].rows == {} and not world.events("KeyLeftBehind")
    assert [each["url"] for each in world.status(ROUTE.kind, "r")["proxies"]] == [B]


async def test_a_former_proxy_that_stays_away_is_given_up_with_an_event(world: World) -> None:
    world.away.add(A)
    world.put(external("r", B))
    await world.settle(2)
    world.kills = False
    world.clock.pass_(intervals.FORMER_PROXY_LIMIT)
    await world.settle(1)
    [event] = world.events("KeyLeftBehind")
    assert A in event["message"] and event["involvedObject"]["name"] == "r"
    assert [each["url"] for each in world.status(ROUTE.kind, "r")["proxies"]] == [B]


async def test_after_a_long_outage_a_former_proxy_is_not_given_up_at_once(world: World) -> None:
    world.away.add(A)
    world.put(external("r", B))
    await world.settle(2)
    world.clock.pass_(intervals.FORMER_PROXY_LIMIT)
    await world.restart()
    await world.settle(1)
    assert not world.events("KeyLeftBehind")


async def test_a_route_that_comes_back_to_its_former_proxy_keeps_the_key(world: World) -> None:
    key = world.value()
    world.away.add(C)
    world.put(external("r", C))
    await world.settle(2)
    world.put(external("r", A))
    await world.settle(3)
    assert world.works(key) and world.value().get_secret_value() == key.get_secret_value()
    [known] = world.status(ROUTE.kind, "r")["proxies"]
    assert known["url"] == A and "leftAt" not in known


async def test_a_master_key_is_not_sent_to_the_former_proxy_when_the_secret_has_another_one(world: World) -> None:
    world.away.add(A)
    world.put(external("r", B))
    await world.settle(1)
    world.put(master_key_body(ANOTHER))
    await world.restart()
    world.away.clear()
    await world.settle(1)
    assert ANOTHER in world.bearers[B] and ANOTHER not in world.bearers[A]
    known = {each["url"]: each for each in world.status(ROUTE.kind, "r")["proxies"]}
    assert "any more" in known[A]["message"]


async def test_a_former_proxy_that_somebody_has_written_into_the_status_gets_no_master_key(world: World) -> None:
    body = world.kube.objects[ROUTE.kind, "n", "r"]
    [known] = body["status"]["proxies"]
    forged = {**known, "url": C, "leftAt": "2026-11-24T10:00:00Z"}
    meta = {**body["metadata"], "resourceVersion": str(int(body["metadata"]["resourceVersion"]) + 1)}
    body = {**body, "metadata": meta, "status": {**body["status"], "proxies": [known, forged]}}
    world.kube.objects[ROUTE.kind, "n", "r"] = body
    await world.restart()
    await world.settle(2)
    assert not world.fakes[C].calls


async def test_a_route_deleted_after_its_url_has_changed_ends_the_keys_at_both(world: World) -> None:
    world.away.add(A)
    world.put(external("r", B))
    await world.settle(2)
    world.delete(ROUTE.kind, "r")
    world.away.clear()
    await world.settle(2)
    assert world.fakes[A].rows == {} and world.fakes[B].rows == {}
    assert (ROUTE.kind, "n", "r") not in world.kube.objects


async def test_a_route_deleted_while_its_proxy_is_down(world: World) -> None:
    key = world.value()
    world.away.add(A)
    world.delete(ROUTE.kind, "r")
    world.kills = False
    await world.settle(4)
    assert (ROUTE.kind, "n", "r") not in world.kube.objects and world.events("KeyLeftBehind")
    world.away.clear()
    assert world.works(key)
    world.put(external("next", A))
    await world.settle(2)
    assert not world.works(key), "a route to the proxy ends what was left there"


# Retained keys


RETAINED: dict[str, Any] = {"key": {"deletionPolicy": "Retain"}}


async def retained(world: World, namespace: str = "n") -> SecretStr:
    """The key of a deleted agent that keeps it."""
    world.put(agent_body("k", "kept", namespace=namespace, routeRef={"name": "r", "namespace": "n"}, **RETAINED))
    await world.settle(2)
    key = world.value("k", namespace)
    world.delete(AGENT.kind, "k", namespace)
    await world.settle(2)
    assert (AGENT.kind, namespace, "k") not in world.kube.objects and world.works(key)
    return key


async def test_a_retained_key_of_a_namespace_that_is_taken_off_is_blocked(world: World) -> None:
    key = await retained(world, "m")
    world.put(external("r", A, allowed="Same"))
    await world.settle(1)
    assert not world.works(key)
    world.put(external("r", A))
    await world.settle(1)
    assert world.works(key)


async def test_a_retained_key_of_a_namespace_that_is_gone_is_blocked_for_good(world: World) -> None:
    key = await retained(world, "m")
    body = world.kube.objects.pop(("Namespace", "", "m"))
    world.context.cache.remove(body)
    await world.settle(1)
    assert not world.works(key)
    world.put(namespace_body("m", uid="another"))
    await world.settle(1)
    assert not world.works(key), "the key isn't known to who makes that namespace later"


async def test_a_retained_key_of_a_namespace_that_is_gone_and_made_again_between_two_looks(world: World) -> None:
    key = await retained(world, "m")
    world.context.cache.remove(world.kube.objects.pop(("Namespace", "", "m")))
    world.put(namespace_body("m", uid="another", creationTimestamp=world.clock().isoformat()))
    await world.settle(1)
    assert not world.works(key), "the key isn't known to who has made it"
    assert world.works(world.value())


@pytest.mark.parametrize(("later", "works"), [(timedelta(hours=1), True), (timedelta(days=2), False)])
async def test_the_same_with_a_key_that_does_not_say_which_namespace_it_was(
    world: World, later: timedelta, works: bool
) -> None:
    """Its mark is of an earlier release. The clocks of operator and API server may differ."""
    key = await retained(world, "m")
    [row] = [row for row in world.fakes[A].rows.values() if row["metadata"]["litclaw"]["agent"] == "kept"]
    del row["metadata"]["litclaw"]["namespace_uid"]
    await world.settle(1)
    world.context.cache.remove(world.kube.objects.pop(("Namespace", "", "m")))
    world.put(namespace_body("m", uid="another", creationTimestamp=(world.clock() + later).isoformat()))
    await world.settle(1)
    assert world.works(key) is works


async def test_a_route_that_forbids_retained_keys_ends_them(world: World) -> None:
    key = await retained(world)
    world.put(external("r", A, keyLimits={"retain": "Forbid"}))
    await world.settle(1)
    assert not world.works(key)
    world.put(
        agent_body("k", "next", routeRef={"name": "r", "namespace": "n"}, key={**RETAINED["key"], "secretName": "k2"})
    )
    await world.settle(2)
    ready = condition_of(world.kube.objects[AGENT.kind, "n", "k"], "KeyReady")
    assert ready["status"] == "True" and "forbids" in ready["message"]
    world.delete(AGENT.kind, "k")
    await world.settle(2)
    assert {row["metadata"]["litclaw"]["agent"] for row in world.fakes[A].rows.values()} == {"u"}


async def test_an_agent_that_is_deleted_with_its_namespace_retains_nothing(world: World) -> None:
    world.put(agent_body("k", "kept", namespace="m", routeRef={"name": "r", "namespace": "n"}, **RETAINED))
    await world.settle(2)
    world.put(namespace_body("m", deletionTimestamp="2026-11-24T10:00:00Z"))
    world.delete(AGENT.kind, "k", "m")
    await world.settle(2)
    assert {row["metadata"]["litclaw"]["agent"] for row in world.fakes[A].rows.values()} == {"u"}


async def test_the_end_of_a_route_is_the_end_of_its_retained_keys(world: World) -> None:
    key = await retained(world)
    world.delete(ROUTE.kind, "r")
    await world.settle(2)
    assert not world.works(key) and world.fakes[A].rows == {}


# Rotations


async def test_a_rotation_without_grace_reaches_moved_and_retained_keys(world: World) -> None:
    kept = await retained(world)
    key = world.value()
    moved(world, "nope")
    await world.settle(1)
    world.put(rotation_body())
    await world.settle(3)
    assert not world.works(kept) and not world.works(key)
    status = world.status(ROTATION.kind, "leak")
    assert status["phase"] in ("Failed", "Running") and status["failures"][0]["agent"] == "n/a"
    assert (status["total"], status["rotated"], status["failed"]) == (2, 1, 1), "the retained key, and the agent once"


async def test_a_rotation_with_grace_ends_a_retained_key_after_it_and_leaves_one_that_can_not_be_replaced(
    world: World,
) -> None:
    kept, key = await retained(world), world.value()
    moved(world, "nope")
    await world.settle(1)
    world.put(rotation_body("5m"))
    await world.settle(2)
    assert world.works(kept) and world.works(key)
    await world.settle(5)
    assert not world.works(kept) and world.works(key)


async def test_a_rotation_of_one_route_reaches_its_keys_only(world: World) -> None:
    kept = await retained(world)
    key = world.value()
    world.put(rotation_body(routeRef={"name": "s", "namespace": "n"}))
    await world.settle(3)
    assert world.works(kept) and world.works(key)
    assert world.status(ROTATION.kind, "leak")["phase"] == "Completed"


async def test_an_error_in_the_agent_does_not_keep_a_leaked_key(world: World) -> None:
    key = world.value()
    moved(world, "r", models=["unknown"])
    await world.settle(1)
    world.put(rotation_body())
    await world.settle(2)
    assert not world.works(key)
    moved(world, "r")
    await world.settle(2)
    assert world.works(world.value())


async def test_a_leaked_key_at_a_route_that_is_not_usable(world: World) -> None:
    key = world.value()
    world.kills = False  # a process that has never had the master key can't do it
    body = external("r", A)
    body["spec"]["external"]["masterKeySecretRef"]["name"] = "gone"
    world.put(body)
    await world.settle(1)
    world.put(rotation_body())
    await world.settle(2)
    assert world.works(key), "the route may be usable again in a moment"
    await world.settle(2)
    assert not world.works(key)
    assert "lose their old keys" in world.status(ROTATION.kind, "leak")["conditions"][0]["message"]
    world.put(external("r", A))
    await world.settle(5)
    assert world.works(world.value()) and world.status(ROTATION.kind, "leak")["phase"] == "Completed"


async def test_a_leaked_key_of_an_agent_that_names_a_model_which_the_proxy_lacks(world: World) -> None:
    key = world.value()
    world.put(external("r", A, models=[{"name": "gpt-4o"}, {"name": "lost"}]))
    moved(world, "r", models=["lost"])
    await world.settle(1)
    world.put(rotation_body())
    world.kills = False
    await world.settle(5)
    assert not world.works(key)


@pytest.mark.parametrize("path", ["/key/generate", "/key/info"])
async def test_a_leaked_key_at_a_proxy_that_creates_none(world: World, path: str) -> None:
    key = world.value()
    world.fakes[A].failing.add(path)
    world.put(rotation_body())
    world.kills = False
    await world.settle(2)
    assert world.works(key), "it may be over in a moment"
    await world.settle(3)
    assert not world.works(key)
    world.fakes[A].failing.clear()
    await world.settle(5)
    assert world.works(world.value()) and world.status(ROTATION.kind, "leak")["phase"] == "Completed"


@pytest.mark.parametrize("error", [RuntimeError("nobody expected it"), UnavailableError(503, "Webhook", "it is away")])
async def test_a_leaked_key_of_an_agent_whose_pass_fails(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object) -> None:
        raise error

    key = world.value()
    monkeypatch.setattr("litclaw.reconcile.agent.reconcile.ensure_key", fail)
    world.put(rotation_body())
    world.kills = False
    await world.settle(5)
    assert not world.works(key)


async def test_failures_do_not_stop_a_rotation_after_a_leak(world: World) -> None:
    """Whoever may edit agents could stop the rotation of everybody's keys by a few errors."""
    for number in range(6):
        world.put(agent_body(f"0{number}", f"u{number}", route="r", models=["unknown"], status={"key": {"hash": "x"}}))
    key = world.value()
    world.put(rotation_body(maxConcurrent=1))
    world.kills = False
    await world.settle(5)
    assert not world.works(key) and world.works(world.value())
    assert world.status(ROTATION.kind, "leak")["failed"] == 6


async def test_a_leaked_key_whose_proxy_was_away_is_replaced(world: World) -> None:
    key = world.value()
    world.kills = False
    world.put(rotation_body())
    world.away.add(A)
    await world.settle(5)
    world.away.clear()
    await world.settle(1, seconds=30)
    assert world.works(world.value()), "time in which it was away doesn't count"
    assert world.value() != key
    await world.settle(3)
    assert not world.works(key)


@pytest.mark.parametrize("queued", [1, LONG + 10])
async def test_a_leaked_key_whose_successor_is_not_accepted_yet_stays_until_pods_have_that(
    world: World, monkeypatch: pytest.MonkeyPatch, queued: float
) -> None:
    async def not_yet(*_: object) -> bool:
        return False

    world.kills = False
    key = world.value()
    world.put(rotation_body())
    await rotates_until_its_turn(world)
    assert world.context.runs["leak"].in_progress == 1
    world.clock.pass_(queued)  # the queue is long, such as after a restart
    await world.context.routes["n", "r"].session.read_keys()
    await rotates_until_its_turn(world)
    monkeypatch.setattr("litclaw.litellm.client.LiteLLM.accepts", not_yet)
    await reconcile_agent(world.context, "n", "a")
    assert world.value() != key and world.works(key)


async def rotates_until_its_turn(world: World) -> None:
    """Passes of the rotation until the agent's turn has begun."""
    for _ in range(2):
        if run := world.context.runs.get("leak"):
            run.next_pass = 0.0
        await reconcile_rotation(world.context, "leak")


async def test_a_retained_key_stays_though_another_url_of_its_proxy_still_lists_an_old_one(world: World) -> None:
    world.kills = False
    world.fakes[B] = world.fakes[A]
    world.put(agent_body("b", "v", routeRef={"name": "r", "namespace": "n"}, **RETAINED))
    await world.settle(2, seconds=1)
    world.put(rotation_body("1s"))
    await world.settle(2, seconds=1)
    key = world.value("b")
    home, other = (world.context.routes["n", name].session for name in ("r", "s"))
    for session in (home, other):
        await session.read_keys()
    [old] = [row.token for row in home.table.of("v") if row.token != fingerprint(key.get_secret_value())]
    await home.client.delete_keys([old])
    home.table.drop([old])
    world.delete(AGENT.kind, "b")
    await reconcile_agent(world.context, "n", "b")
    assert other.table.get(old) is None and world.works(key)


async def test_an_error_in_the_agent_does_not_keep_a_key_of_the_route_that_it_no_longer_names(world: World) -> None:
    """Both routes lead to one proxy."""
    world.put(external("open", A))
    await world.settle(1)
    key = world.value()
    moved(world, "open", models=["unknown"])
    await world.settle(1)
    world.put(rotation_body(routeRef={"name": "r", "namespace": "n"}))
    await world.settle(3)
    assert not world.works(key)
    assert world.status(ROTATION.kind, "leak")["failures"][0]["agent"] == "n/a"


async def test_a_rotation_of_one_route_leaves_an_agent_alone_that_has_its_key_by_another_to_the_same_proxy(
    world: World,
) -> None:
    world.put(external("open", A))
    moved(world, "open")
    await world.settle(2)
    key = world.value()
    world.put(rotation_body(routeRef={"name": "r", "namespace": "n"}))
    await world.settle(3)
    assert world.works(key) and world.status(ROTATION.kind, "leak")["phase"] == "Completed"


@pytest.mark.parametrize(
    "forged",
    [
        {"phase": "Completed"},
        {"phase": "Completed", "startedAt": "2026-01-01T00:00:00Z", "completedAt": "2026-01-01T00:00:00Z"},
    ],
)
async def test_a_status_does_not_cancel_a_rotation_that_has_not_begun(world: World, forged: Body) -> None:
    key = world.value()
    body = rotation_body()
    world.put({**body, "metadata": {**body["metadata"], "creationTimestamp": "2026-11-24T10:00:00Z"}, "status": forged})
    await world.settle(4)
    assert not world.works(key) and world.works(world.value())


def test_every_crossing_has_a_row_in_the_page() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "design" / "revocation.md").read_text()
    defined = [
        name for name in globals() if name.startswith("test_") and name != "test_every_crossing_has_a_row_in_the_page"
    ]
    assert not [name for name in defined if f"`{name}`" not in page]
