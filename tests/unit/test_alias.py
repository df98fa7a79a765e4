"""The alias of a key: who may have it, and that agents get what another gives up."""

import base64
import re

import pytest
from litclaw.api.agent import OpenClawAgent
from litclaw.kube.cache import fingerprint
from litclaw.litellm.keys import KeyRow, Limits, Mark, new_key
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.keys.alias import LONGEST, given_up
from litclaw.reconcile.keys.ensure import ensure_key

from .scenes import Body, Scene, agent_body, agent_of, key_of_agent

VALID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_\-/.@]{0,253}[a-zA-Z0-9]")
"""LiteLLM 1.106.2, with ``enable_key_alias_format_validation``."""


def namespace_body(name: str) -> Body:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": name, "resourceVersion": "1"}}


def _agent(name: str, alias: str = "", *, namespace: str = "n", asked: str = "", **key: object) -> OpenClawAgent:
    annotations = {"annotations": {"litclaw.dev/rotate": asked}} if asked else {}
    return agent_of(
        name=name, uid=f"{namespace}/{name}", namespace=namespace, key={"alias": alias or None, **key}, **annotations
    )


def _scene(*agents: OpenClawAgent) -> Scene:
    scene = Scene()
    for agent in agents:
        meta = agent.metadata
        scene.put(agent_body(meta.name, meta.uid, namespace=meta.namespace))
    return scene


async def _ensure(scene: Scene, agent: OpenClawAgent, limits: Limits | None = None) -> KeyRow:
    """A pass that succeeds."""
    row, _ = await ensure_key(scene.context, agent, scene.access(limits))
    return row


async def _refused(scene: Scene, agent: OpenClawAgent, reason: str, limits: Limits | None = None) -> None:
    with pytest.raises(Blocked, match=reason):
        await _ensure(scene, agent, limits)


def _live(scene: Scene, agent: OpenClawAgent) -> Body:
    """The key in the agent's Secret, as the proxy has it."""
    secret = scene.kube.objects["Secret", agent.metadata.namespace, agent.secret_name]
    return scene.proxy.rows[fingerprint(base64.b64decode(secret["data"]["LITELLM_API_KEY"]).decode())]


# A proxy that validates aliases


@pytest.mark.parametrize("alias", ["n/a", "a" * LONGEST, "n/" + "x" * 240])
async def test_a_key_is_rotated_where_litellm_validates_aliases(alias: str) -> None:
    scene = _scene(agent := _agent("a", alias))
    scene.proxy.validates_aliases = True
    first = await _ensure(scene, agent)
    second = await _ensure(scene, _agent("a", alias, asked="now"))
    third = await _ensure(scene, _agent("a", alias, asked="again"))
    assert len({first.token, second.token, third.token}) == 3 and third.alias == alias
    aliases = [str(row["key_alias"]) for row in scene.proxy.rows.values()]
    assert len(set(aliases)) == 3 and all(VALID.fullmatch(each) for each in aliases)


async def test_a_lost_secret_is_replaced_where_litellm_validates_aliases() -> None:
    scene = _scene(agent := _agent("a"))
    scene.proxy.validates_aliases = True
    first = await _ensure(scene, agent)
    secret = scene.kube.objects.pop(("Secret", "n", "a-litellm"))
    scene.cache.remove(secret)
    assert (await _ensure(scene, agent)).token != first.token


async def test_names_of_an_earlier_operator_do_not_stop_a_rotation() -> None:
    scene = _scene(agent := _agent("a"))
    first = await _ensure(scene, agent)
    scene.know(
        key_of_agent("sk-an-old-key", agent.metadata.uid, 0, alias="n/a#0.01234567", expires="2026-11-24T11:00:00Z")
    )
    scene.proxy.validates_aliases = True
    assert (await _ensure(scene, _agent("a", asked="now"))).token != first.token


def test_a_name_that_is_given_up_is_that_keys_alone() -> None:
    rows = [key_of_agent(f"sk-{number}", alias="x" * LONGEST) for number in range(2)]
    names = {given_up(row.alias, row) for row in rows}
    assert len(names) == 2 and all(len(name) == LONGEST for name in names)


# Names that agents exchange


async def test_two_agents_swap_their_aliases() -> None:
    scene = _scene(_agent("a"), _agent("b"))
    a, b = await _ensure(scene, _agent("a", "n/x")), await _ensure(scene, _agent("b", "n/y"))
    await _refused(scene, _agent("a", "n/y"), "AliasTaken")
    assert (await _ensure(scene, _agent("b", "n/x"))).token == b.token
    assert (await _ensure(scene, _agent("a", "n/y"))).token == a.token
    assert [scene.proxy.rows[row.token]["key_alias"] for row in (a, b)] == ["n/y", "n/x"]


async def test_two_agents_swap_their_aliases_while_both_are_rotated() -> None:
    scene = _scene(_agent("a"), _agent("b"))
    await _ensure(scene, _agent("a", "n/x"))
    await _ensure(scene, _agent("b", "n/y"))
    a, b = _agent("a", "n/y", asked="now"), _agent("b", "n/x", asked="now")
    await _refused(scene, a, "AliasTaken")
    await _ensure(scene, b)
    await _ensure(scene, a)
    assert (_live(scene, a)["key_alias"], _live(scene, b)["key_alias"]) == ("n/y", "n/x")


async def test_an_alias_that_another_agent_keeps_stays_with_it_and_limits_are_corrected_all_the_same() -> None:
    scene = _scene(_agent("a"), _agent("b"))
    a, b = await _ensure(scene, _agent("a", "n/x")), await _ensure(scene, _agent("b", "n/y"))
    for _ in range(2):
        await _refused(scene, _agent("a", "n/y"), "AliasTaken", Limits(rpm_limit=5))
    assert scene.proxy.rows[a.token]["rpm_limit"] == 5 and scene.proxy.rows[b.token]["key_alias"] == "n/y"
    assert (await _ensure(scene, _agent("a", "n/x"), Limits(rpm_limit=5))).token == a.token, "it may go back"
    assert scene.proxy.rows[a.token]["key_alias"] == "n/x"


# Names of namespaces


async def test_a_namespace_that_comes_later_stops_no_agent_that_has_its_name() -> None:
    scene = _scene(agent := _agent("a", "foo/x"))
    first = await _ensure(scene, agent)
    scene.cache.store(namespace_body("foo"))
    assert (await _ensure(scene, agent)).token == first.token
    rotated = await _ensure(scene, _agent("a", "foo/x", asked="now"))
    assert rotated.token != first.token and rotated.alias == "foo/x"


async def test_no_agent_gets_a_name_of_another_namespace() -> None:
    scene = _scene(_agent("a"), _agent("b"))
    scene.cache.store(namespace_body("foo"))
    await _refused(scene, _agent("a", "foo/x"), "AliasReserved")
    assert scene.proxy.rows == {}
    before = await _ensure(scene, _agent("b", "n/b"))
    await _refused(scene, _agent("b", "foo/x"), "AliasReserved")
    assert scene.proxy.rows[before.token]["key_alias"] == "n/b"


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
async def test_a_namespaces_own_agent_gets_its_name_from_whoever_had_it_before(policy: str) -> None:
    squatter, owner = _agent("a", "foo/x", deletionPolicy=policy), _agent("x", namespace="foo")
    scene = _scene(squatter, owner)
    squatted = await _ensure(scene, squatter)
    scene.cache.store(namespace_body("foo"))
    assert (await _ensure(scene, owner)).alias == "foo/x"
    await _refused(scene, squatter, "AliasTaken")
    await _ensure(scene, owner)
    assert _live(scene, owner)["key_alias"] == "foo/x"
    assert _live(scene, squatter)["token"] == squatted.token, "its key works on"
    assert "expires" not in scene.proxy.rows[squatted.token]


async def test_a_key_of_another_cluster_keeps_its_name() -> None:
    scene = _scene(agent := _agent("a"))
    theirs = Mark("another cluster", "uid", 1, namespace="m")
    await scene.session.client.generate_key(new_key(), alias="n/a", limits=Limits(), mark=theirs, metadata={})
    await _refused(scene, agent, "AliasTaken")
