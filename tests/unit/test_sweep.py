"""The orphan sweep: keys without an owner end, others stay, and the API server isn't asked without need."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from litclaw.kube.cache import fingerprint
from litclaw.kube.errors import UnavailableError
from litclaw.kube.objects import condition_of
from litclaw.litellm.errors import LiteLLMError
from litclaw.litellm.keys import Limits
from litclaw.litellm.transport import Response
from litclaw.reconcile.core import intervals
from litclaw.reconcile.proxy.connection import Connection
from litclaw.reconcile.proxy.room import Room
from litclaw.reconcile.proxy.session import Credentials
from litclaw.reconcile.route.reconcile import reconcile_route
from litclaw.reconcile.route.sweep import sweep, sweeps
from litclaw.render.agent.secret import agent_secret

from .handled import MASTER, Request, answer
from .proxies import FakeProxy
from .scenes import (
    Body,
    Scene,
    agent_body,
    agent_of,
    key_of_agent,
    master_key_body,
    namespace_body,
    offer_of,
    route_body,
    session_of,
    until,
)

OLD, NEW = "sk-the-key-at-the-first-proxy", "sk-the-key-at-the-second-proxy"
OTHER_URL = "http://10.0.0.2:4000"


async def test_keys_of_agents_that_are_gone_end() -> None:
    scene = Scene(agent_body("a", "living"))
    kept, orphan = (
        scene.know(key_of_agent("sk-kept", "living")),
        scene.know(key_of_agent("sk-left", "gone", alias="n/b")),
    )
    await sweep(scene.context, scene.session)
    assert set(scene.proxy.rows) == {kept.token} and scene.session.table.get(orphan.token) is None


async def test_an_agent_that_the_cache_does_not_know_yet_keeps_its_keys() -> None:
    scene = Scene()
    scene.kube.objects["OpenClawAgent", "n", "new"] = agent_body("new", "new")
    scene.know(key_of_agent("sk-new", "new"))
    await sweep(scene.context, scene.session)
    assert len(scene.proxy.rows) == 1 and scene.kube.lists == 1


@pytest.mark.parametrize("mark", [{"retained_for": "n/a"}, {"namespace": "other"}])
async def test_a_key_that_stays_without_an_agent_lists_no_agents(mark: dict[str, Any]) -> None:
    """A retained key, or one of a namespace that another operator serves."""
    scene = Scene(namespace_body())
    scene.context.namespaces = ("n",)
    scene.know(key_of_agent("sk-stays", "gone", **mark))
    for _ in range(5):
        await sweep(scene.context, scene.session)
    assert scene.kube.lists == 0 and len(scene.proxy.rows) == 1


@pytest.mark.parametrize("field", [{"namespace_uid": "new"}, {"created_at": "2026-11-20T10:00:00Z"}, {}])
async def test_a_namespace_of_which_the_cache_has_a_former_one_blocks_no_key(field: dict[str, str]) -> None:
    """The cache of a standby that takes over may be behind, and a namespace may be one that can't be read."""
    scene = Scene(route_body(), namespace_body(uid="old", creationTimestamp="2026-11-24T10:00:00Z"))
    scene.kube.objects["Namespace", "", "n"] = namespace_body(uid="new", creationTimestamp="2026-11-20T10:00:00Z")
    row = scene.know(key_of_agent("sk-stays", "gone", retained_for="n/a", **field))
    await sweep(scene.context, scene.session)
    assert not scene.proxy.rows[row.token].get("blocked")


async def test_of_an_agent_that_is_gone_only_the_retained_key_stays() -> None:
    scene = Scene()
    scene.put(namespace_body())
    stays = scene.know(key_of_agent("sk-stays", "gone", retained_for="n/a"))
    scene.know(key_of_agent("sk-ends", "gone", generation=2, alias="n/a#2"))
    await sweep(scene.context, scene.session)
    assert set(scene.proxy.rows) == {stays.token}


async def test_a_proxy_that_does_not_do_it_or_agents_that_can_t_be_listed_end_no_key() -> None:
    scene = Scene()
    row = scene.know(key_of_agent("sk-left", "gone"))
    scene.proxy.failing.add("/key/delete")
    with pytest.raises(LiteLLMError):
        await sweep(scene.context, scene.session)
    assert scene.session.table.get(row.token), "it is tried again"

    async def away(*_: object, **__: object) -> Any:
        raise UnavailableError(0, "Unreachable", "")

    scene.proxy.failing.clear()
    scene.kube.uids = away  # type: ignore[method-assign]
    other = scene.know(key_of_agent("sk-other", "another", alias="n/b"))
    with pytest.raises(UnavailableError):
        await sweep(scene.context, scene.session)
    assert {row.token, other.token} == set(scene.proxy.rows)


async def test_what_is_interrupted_has_ended_ten_keys_at_a_time() -> None:
    """A pass ends keys for some seconds only, and the next one goes on with those that are left."""
    scene = Scene()
    for number in range(250):
        scene.know(key_of_agent(f"sk-left-{number}", f"gone-{number}", alias=f"n/{number}"))

    async def fails_later(request: Request) -> Response:
        if scene.proxy.counts["/key/block"] == 155:
            scene.proxy.failing.add("/key/block")
        return await scene.proxy.answer(request)

    scene.answer_by(fails_later)
    with pytest.raises(LiteLLMError):
        await sweep(scene.context, scene.session)
    assert len(scene.proxy.rows) == len(scene.session.table) == 100
    scene.proxy.failing.clear()
    scene.proxy.counts.clear()
    await sweep(scene.context, scene.session)
    assert not scene.proxy.rows


async def test_a_key_that_the_proxy_deletes_and_goes_on_listing_costs_one_list_of_agents() -> None:
    scene = Scene()
    scene.create(key_of_agent("sk-stays", "gone"))

    async def keeps(request: Request) -> Response:
        return answer(200, {"deleted_keys": []}) if request.path == "/key/delete" else await scene.proxy.answer(request)

    scene.answer_by(keeps)
    for _ in range(5):
        await scene.read()
        await sweep(scene.context, scene.session)
    assert scene.kube.lists == 1 and scene.session.gone == {"gone"}
    scene.create(key_of_agent("sk-more", "another"))
    await scene.read()
    await sweep(scene.context, scene.session)
    assert scene.kube.lists == 2, "of another agent it isn't known yet"
    scene.proxy.rows.clear()
    await scene.read()
    await scene.read()
    assert not scene.session.gone


async def test_at_a_slow_proxy_each_pass_goes_on_where_the_last_one_has_stopped() -> None:
    scene = Scene()
    for number in range(30):
        scene.know(key_of_agent(f"sk-left-{number}", f"gone-{number}", alias=f"n/{number}"))
    calls = 0
    asked: list[str] = []

    async def slow(request: Request) -> Response:
        nonlocal calls
        calls += 1
        if calls > 7:  # what a pass has time for
            raise TimeoutError
        asked.extend([request.body["key"]] if request.path == "/key/block" else [])
        return await scene.proxy.answer(request)

    scene.answer_by(slow)
    for _ in range(5):
        calls = 0
        with contextlib.suppress(TimeoutError):
            await sweep(scene.context, scene.session)
    assert not scene.proxy.rows and len(asked) == 30, "each key is blocked once"


async def test_a_tenants_retained_keys_hide_no_key_of_another_namespace() -> None:
    victim = agent_body("victim", "victim", route="nope", suspend=True)
    scene = Scene(namespace_body(), namespace_body("m"), victim, route_body(allowedNamespaces={"from": "All"}))
    scene.session._room = lambda session: Room((), 32, {"victim"})
    hidden = scene.create(key_of_agent("sk-victim", "victim"))
    models = Limits(models=tuple(f"provider/some-model-{number}" for number in range(60)))
    for number in range(150):
        marked = {"namespace": "m", "retained_for": f"m/x{number}", "route": "n/r"}
        scene.create(key_of_agent(f"sk-{number}", f"gone-{number}", limits=models, **marked))
    scene.proxy.rows = dict(reversed(scene.proxy.rows.items()))  # LiteLLM lists the newest first
    await scene.read()
    assert scene.session.left_out > 0
    await sweep(scene.context, scene.session)
    assert scene.proxy.rows[hidden.token]["blocked"]


# An agent that has moved to another proxy


def moved(**spec: Any) -> tuple[Scene, FakeProxy]:
    """An agent with a key at the proxy of ``n/r``, which names ``n/other`` now and has a key at its proxy in its Secret."""
    manifest = agent_secret(agent_of(), key=NEW, token="t", base_url=OTHER_URL)
    secret = {**manifest, "metadata": {**manifest["metadata"], "uid": "s", "resourceVersion": "1"}}
    scene = Scene(agent_body(route="other", **spec), secret)
    other = FakeProxy(scene.clock)
    session = session_of(other.answer, scene.clock, Credentials(OTHER_URL, MASTER))
    session.routes.add(("n", "other"))
    scene.context.routes["n", "other"] = Connection(session, offer_of(url=OTHER_URL))
    scene.know(key_of_agent(OLD))
    row = key_of_agent(NEW)
    assert row.mark
    other.rows[row.token] = {"token": row.token, "key_alias": row.alias, "metadata": row.marked(row.mark)}
    session.table.put(row)
    scene.clock.pass_(1)
    scene.session.table.read_began = scene.clock.monotonic()
    return scene, other


async def test_its_keys_end_when_it_has_got_its_key_at_the_other_one() -> None:
    scene, other = moved()
    await sweep(scene.context, scene.session)
    assert not scene.proxy.rows and set(other.rows) == {fingerprint(NEW)}
    await sweep(scene.context, scene.context.routes["n", "other"].session)
    assert set(other.rows) == {fingerprint(NEW)}


_DELETED = {"deletionTimestamp": "2026-11-24T10:00:00Z", "finalizers": ["litclaw.dev/finalizer"]}


@pytest.mark.parametrize("lacks", ["the route", "its proxy", "the key", "the Secret", "it is deleted"])
async def test_its_keys_stay_as_long_as_it_lacks_something_there(lacks: str) -> None:
    scene, _ = moved(**(_DELETED if lacks == "it is deleted" else {}))
    connection = scene.context.routes["n", "other"]
    if lacks == "the route":
        del scene.context.routes["n", "other"]
    if lacks == "its proxy":
        connection.offer = offer_of(usable=False)
    if lacks == "the key":
        connection.session.table.drop([fingerprint(NEW)])
    if lacks == "the Secret":
        scene.cache.remove(next(scene.cache.all("Secret")))
        del scene.kube.objects["Secret", "n", "a-litellm"]
    await sweep(scene.context, scene.session)
    assert set(scene.proxy.rows) == {fingerprint(OLD)}


async def test_the_proxy_that_an_agent_has_left_is_not_asked_for_its_new_key() -> None:
    scene, _ = moved()
    await sweep(scene.context, scene.session)
    assert scene.proxy.counts["/key/info"] == 0


async def test_its_keys_stay_until_the_keys_were_read_after_it_got_its_new_one() -> None:
    """One proxy may have two URLs, and only a later read shows that."""
    scene, _ = moved()
    table = scene.context.routes["n", "other"].session.table
    table.drop([fingerprint(NEW)])
    scene.clock.pass_(1)
    table.put(key_of_agent(NEW))
    await sweep(scene.context, scene.session)
    assert set(scene.proxy.rows) == {fingerprint(OLD)}
    scene.clock.pass_(1)
    await scene.read()
    await sweep(scene.context, scene.session)
    assert not scene.proxy.rows


async def test_a_key_of_a_route_that_has_had_no_pass_yet_is_left_alone() -> None:
    """It may be one to the same proxy; and a mark without a route doesn't say which one it is."""
    closed = {"allowedNamespaces": {"from": "Same"}}
    scene = Scene(route_body("r", "r", **closed), route_body("other", "o"), agent_body(route="other"))
    scene.know(key_of_agent(OLD, route="n/gone"))
    scene.know(key_of_agent(NEW, generation=2))
    await sweep(scene.context, scene.session)
    assert len(scene.proxy.rows) == 2 and not any(row.get("blocked") for row in scene.proxy.rows.values())


async def test_a_secret_that_the_cache_lacks_is_read() -> None:
    scene, _ = moved()
    scene.cache.remove(next(scene.cache.all("Secret")))
    await sweep(scene.context, scene.session)
    assert not scene.proxy.rows


async def test_its_keys_stay_where_the_other_route_leads_to_the_same_proxy() -> None:
    scene, other = moved()
    other.rows = scene.proxy.rows  # one proxy with two URLs
    scene.create(key_of_agent(NEW))
    await scene.read()
    await sweep(scene.context, scene.session)
    assert set(scene.proxy.rows) == {fingerprint(OLD), fingerprint(NEW)}
    shared, _ = moved()
    shared.context.routes["n", "other"].session = shared.session  # or one session
    await sweep(shared.context, shared.session)
    assert set(shared.proxy.rows) == {fingerprint(OLD)}


# Which pass sweeps


def test_one_of_several_routes_to_a_proxy_sweeps_and_it_is_one_that_gets_that_far() -> None:
    scene = Scene()
    keys = [("a", "z"), ("n", "b"), ("n", "r")]
    for key in keys:
        scene.context.routes[key] = Connection(scene.session, offer_of())
        scene.session.routes.add(key)
    assert [key for key in keys if sweeps(scene.context, key)] == [("a", "z")]
    scene.context.routes["a", "z"].offer = offer_of(usable=False)
    assert [key for key in keys if sweeps(scene.context, key)] == [("n", "b")]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Two routes to one proxy, which has the key of an agent that is gone."""
    found = Scene(route_body(), route_body("second", "second"))
    found.kube.objects["Secret", "n", "m"] = master_key_body()
    found.context.routes.clear()
    found.proxy.models["m"] = {}
    found.create(key_of_agent("sk-left", "gone"))
    yield found
    await found.context.proxies.close()


async def reconciled(scene: Scene, name: str) -> Body:
    """The route after passes that it takes to observe the proxy."""
    await reconcile_route(scene.context, "n", name)
    [session] = scene.context.proxies
    await until(lambda: session.keys_read)
    await reconcile_route(scene.context, "n", name)
    found = scene.cache.get("LiteLLMRoute", "n", name)
    assert found
    return found


async def test_a_route_s_pass_sweeps_its_proxy(scene: Scene) -> None:
    body = await reconciled(scene, "r")
    assert condition_of(body, "Ready")["status"] == "True" and not scene.proxy.rows


async def test_a_model_that_is_missing_at_the_proxy_stops_no_sweep(scene: Scene) -> None:
    scene.put(route_body(models=[{"name": "missing"}, {"name": "m"}], resourceVersion="2"))
    body = await reconciled(scene, "r")
    assert condition_of(body, "ModelsReady")["reason"] == "ModelNotFound" and not scene.proxy.rows


async def test_the_pass_of_another_route_to_the_proxy_does_not_sweep_too(scene: Scene) -> None:
    await reconciled(scene, "r")
    scene.create(key_of_agent("sk-left-too", "gone"))
    [session] = scene.context.proxies
    await session.table.refresh(session.client)
    body = await reconciled(scene, "second")
    assert condition_of(body, "Ready")["status"] == "True" and len(scene.proxy.rows) == 1
    await reconcile_route(scene.context, "n", "r")
    assert not scene.proxy.rows
    assert len(scene.proxies.connections) == 2, "the test's own session, and that of both routes"


async def test_a_proxy_that_ends_keys_slowly_does_not_hold_its_route_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "SWEEP_LIMIT", 0.1)
    scene.proxy.hanging.add("/key/block")
    body = await reconciled(scene, "r")
    assert condition_of(body, "Ready")["status"] == "True" and scene.proxy.rows
    scene.proxy.hanging.clear()
    await reconciled(scene, "r")
    assert not scene.proxy.rows
