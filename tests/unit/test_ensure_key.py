"""An agent's key while something is in the way: a second leader, a cache that is behind, a write without a response."""

import asyncio
import base64
from dataclasses import replace
from typing import cast

import pytest
from litclaw.api.agent import AgentStatus, OpenClawAgent
from litclaw.kube.cache import fingerprint
from litclaw.kube.errors import ConflictError, UnavailableError
from litclaw.litellm.keys import KeyRow, Limits, Mark
from litclaw.reconcile.agent.deletion import finalize_agent
from litclaw.reconcile.core.conditions import Blocked, Conditions, ConditionType
from litclaw.reconcile.keys.due import rotate_annotation_digest
from litclaw.reconcile.keys.ensure import ensure_key
from litclaw.reconcile.keys.retire import MOST_OLD
from litclaw.render.agent.secret import agent_secret
from litclaw.render.metadata import sealed, without_owner
from pydantic import SecretStr

from .scenes import URL, Body, Scene, agent_body, agent_of, key_of_agent, namespace_body, route_body

OLD, NEW = "sk-the-key-that-the-cache-shows", "sk-the-key-that-the-secret-holds"
ROTATE = {"litclaw.dev/rotate": "now"}
AGENT = agent_of(annotations=ROTATE)


def _secret(key: str, version: str, agent: OpenClawAgent = AGENT) -> Body:
    manifest = sealed(agent_secret(agent, key=key, token=fingerprint(key), base_url=URL))
    return {**manifest, "metadata": {**manifest["metadata"], "uid": "s", "resourceVersion": version}}


def _delivered(scene: Scene) -> str:
    """The value in the agent's Secret."""
    [secret] = [body for body in scene.kube.objects.values() if body["kind"] == "Secret"]
    return base64.b64decode(secret["data"]["LITELLM_API_KEY"]).decode()


def _created(scene: Scene) -> str:
    return scene.clock().isoformat()


async def test_a_key_that_another_process_has_delivered_is_not_replaced_by_one_whose_cache_is_behind() -> None:
    scene = Scene(_secret(OLD, "1"))
    scene.kube.objects["Secret", "n", "a-litellm"] = newer = _secret(NEW, "2")
    old = scene.know(key_of_agent(OLD, alias="n/a#1", spend=1.0, created_at=_created(scene)))
    made_for: Body = {"rotate_digest": rotate_annotation_digest(AGENT), "replaces": old.short, "grace": 3600}
    new = scene.create(key_of_agent(NEW, generation=2, spend=1.0, created_at=_created(scene), **made_for))

    with pytest.raises(ConflictError):
        await ensure_key(scene.context, AGENT, scene.access())
    assert scene.kube.objects["Secret", "n", "a-litellm"] == newer and new.token in scene.proxy.rows

    scene.cache.store(newer)
    for token in list(scene.proxy.rows):
        scene.session.table.put(cast(KeyRow, await scene.session.client.key(token)))
    row, _ = await ensure_key(scene.context, AGENT, scene.access())
    assert row.token == new.token and row.alias == AGENT.alias
    assert set(scene.proxy.rows) == {old.token, new.token}, "the one that was never delivered has gone"
    assert "expires" in scene.proxy.rows[old.token] and "expires" not in scene.proxy.rows[new.token]
    assert scene.kube.objects["Secret", "n", "a-litellm"] == newer


@pytest.mark.parametrize("late_first", [True, False])
async def test_a_write_that_is_carried_out_late_puts_no_ended_key_back(late_first: bool) -> None:
    scene = Scene(_secret(OLD, "1"))
    scene.kube.gives_up.add("Secret")
    with pytest.raises(UnavailableError):
        await ensure_key(scene.context, AGENT, scene.access())
    [token], [late] = scene.proxy.rows, scene.kube.given_up
    if late_first:
        await scene.kube.apply(late)
    # The limits have changed meanwhile, too.
    row, _ = await ensure_key(scene.context, AGENT, scene.access(Limits(rpm_limit=60)))
    if not late_first:
        with pytest.raises(ConflictError):
            await scene.kube.apply(late)
    assert fingerprint(_delivered(scene)) == row.token == token
    assert set(scene.proxy.rows) == {token} and scene.proxy.rows[token]["rpm_limit"] == 60
    assert not scene.session.undelivered


async def test_a_rotation_whose_write_was_given_up_goes_on_with_the_same_key() -> None:
    scene = Scene(_secret(OLD, "1"))
    limits = Limits(max_budget=10.0)
    old = scene.know(key_of_agent(OLD, spend=1.0, limits=limits, created_at=_created(scene)))

    scene.kube.gives_up.add("Secret")
    with pytest.raises(UnavailableError):
        await ensure_key(scene.context, AGENT, scene.access(limits))
    [made] = scene.proxy.rows.keys() - {old.token}
    row, _ = await ensure_key(scene.context, AGENT, scene.access(limits))
    assert row.token == made and set(scene.proxy.rows) == {old.token, made}, "no third one is created"
    assert "expires" in scene.proxy.rows[old.token], "and the old one has an end, and is accepted until then"
    assert {each["spend"] for each in scene.proxy.rows.values()} == {1.0}, "spend counts once"
    with pytest.raises(ConflictError):
        await scene.kube.apply(scene.kube.given_up[0])


async def test_the_budget_of_a_lost_secret_is_reset_when_the_lost_key_s_would_have_been() -> None:
    scene = Scene()
    limits = Limits(max_budget=5.0, budget_duration="10d")
    end = "2026-11-25T10:00:00Z"
    row = scene.create(key_of_agent(OLD, spend=5.0, limits=limits, created_at=_created(scene)))
    scene.proxy.rows[row.token]["budget_reset_at"] = end
    scene.session.table.put(cast(KeyRow, await scene.session.client.key(row.token)))
    new, _ = await ensure_key(scene.context, agent_of(), scene.access(limits))
    assert new.token != row.token and new.spend == 5.0
    assert new.mark and new.mark.budget_resets_at == end, "the spend is carried, and so is the end of its period"


async def test_of_two_agents_with_one_secret_name_one_has_the_secret_and_the_other_a_condition() -> None:
    first, second = (agent_of(name=name, uid=name, key={"secretName": "same"}) for name in "xy")
    scene = Scene()
    scene.kube.write_seconds = 0.01
    done = await asyncio.gather(
        *(ensure_key(scene.context, agent, scene.access()) for agent in (first, second)), return_exceptions=True
    )
    assert isinstance(done[0], tuple) and isinstance(done[1], ConflictError), done
    with pytest.raises(Blocked, match="NameTaken"):
        await ensure_key(scene.context, second, scene.access())
    row, _ = await ensure_key(scene.context, first, scene.access())
    assert fingerprint(_delivered(scene)) == row.token
    assert set(scene.proxy.rows) == {row.token} and not scene.session.undelivered, "no key is left that nobody has"


async def test_a_first_delivery_that_is_carried_out_late_puts_nothing_back() -> None:
    scene = Scene()
    scene.kube.gives_up.add("Secret")
    with pytest.raises(UnavailableError):
        await ensure_key(scene.context, AGENT, scene.access())
    [late] = scene.kube.given_up
    row, _ = await ensure_key(scene.context, AGENT, scene.access())
    assert fingerprint(_delivered(scene)) == row.token
    with pytest.raises(ConflictError):
        await scene.kube.apply(late)


# A copy of the cluster, with another --cluster-id: it has the same agents, and their Secrets have the original's keys


def _copied(**key: str) -> tuple[Scene, OpenClawAgent, KeyRow]:
    agent = agent_of(key=key)
    scene = Scene(route_body(), _secret(OLD, "1", agent))
    row = key_of_agent(OLD, created_at=_created(scene))
    assert row.mark
    return scene, agent, scene.create(replace(row, mark=replace(row.mark, cluster="original")))


async def test_a_copy_of_the_cluster_leaves_the_originals_keys_alone() -> None:
    scene, agent, theirs = _copied(alias="copy/a")
    before = dict(scene.proxy.rows[theirs.token])
    row, _ = await ensure_key(scene.context, agent, scene.access(Limits(rpm_limit=1)))
    assert scene.proxy.rows[theirs.token] == before and row.token != theirs.token
    assert fingerprint(_delivered(scene)) == row.token
    deleted = agent_body(
        finalizers=["litclaw.dev/finalizer"], deletionTimestamp=_created(scene), status={"key": {"hash": "1"}}
    )
    secret = scene.kube.objects["Secret", "n", "a-litellm"] = _secret(OLD, "5000", agent)
    scene.cache.store(secret)
    scene.put(deleted)
    await finalize_agent(scene.context, deleted)
    assert set(scene.proxy.rows) == {theirs.token}


async def test_an_alias_of_the_originals_is_taken_for_a_copy_of_the_cluster() -> None:
    scene, agent, theirs = _copied()
    before = dict(scene.proxy.rows[theirs.token])
    with pytest.raises(Blocked, match="AliasTaken"):
        await ensure_key(scene.context, agent, scene.access())
    assert scene.proxy.rows == {theirs.token: before} and _delivered(scene) == OLD


# Retained keys


def _retained(agent: OpenClawAgent) -> Scene:
    """The key and the Secret of a deleted agent of the same name, which had ``deletionPolicy: Retain``."""
    manifest = sealed(without_owner(agent_secret(agent, key=OLD, token=fingerprint(OLD), base_url=URL)))
    scene = Scene()
    metadata = {**manifest["metadata"], "uid": "s", "resourceVersion": "2"}
    scene.kube.objects["Secret", "n", "a-litellm"] = {**manifest, "metadata": metadata}
    scene.kube.objects["OpenClawAgent", "n", "a"] = {
        "kind": "OpenClawAgent",
        "metadata": {"uid": "new", "namespace": "n"},
    }
    scene.know(key_of_agent(OLD, "old", spend=1.0, retained_for="n/a", created_at=_created(scene)))
    return scene


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
async def test_a_retained_key_is_adopted_with_its_secret(policy: str) -> None:
    agent = agent_of(uid="new", key={"deletionPolicy": policy})
    scene = _retained(agent)
    row, _ = await ensure_key(scene.context, agent, scene.access())
    assert row.token == fingerprint(OLD) and row.mark
    assert (row.mark.agent, row.mark.retained_for) == ("new", "n/a" if policy == "Retain" else "")
    [reference] = scene.kube.objects["Secret", "n", "a-litellm"]["metadata"]["ownerReferences"]
    assert reference["uid"] == "new" and _delivered(scene) == OLD


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
async def test_a_key_that_may_outlive_its_agent_says_which_namespace_it_is_of(policy: str) -> None:
    """A mark of an earlier release is completed once; and a cache that lacks the namespace changes nothing."""
    agent = agent_of(uid="new", key={"deletionPolicy": policy})
    scene = _retained(agent)
    await ensure_key(scene.context, agent, scene.access())
    scene.put(namespace_body(uid="here"))
    scene.proxy.counts.clear()
    for _ in range(3):
        row, _ = await ensure_key(scene.context, agent, scene.access())
    assert row.mark and row.mark.namespace_uid == ("here" if policy == "Retain" else "")
    assert scene.proxy.counts["/key/update"] == (policy == "Retain")
    scene.cache.remove(namespace_body(uid="here"))
    again, _ = await ensure_key(scene.context, agent, scene.access())
    assert again == row


async def test_an_adoption_that_is_interrupted_goes_on() -> None:
    agent = agent_of(uid="new")
    scene = _retained(agent)
    scene.kube.gives_up.add("Secret")
    with pytest.raises(UnavailableError):
        await ensure_key(scene.context, agent, scene.access())
    mark = cast(Mark, cast(KeyRow, scene.session.table.get(fingerprint(OLD))).mark)
    assert mark.agent == "new", "the key was adopted, and the Secret wasn't"
    row, _ = await ensure_key(scene.context, agent, scene.access())
    assert row.token == fingerprint(OLD) and set(scene.proxy.rows) == {row.token}
    assert scene.kube.objects["Secret", "n", "a-litellm"]["metadata"]["ownerReferences"]


async def test_a_secret_with_somebody_else_s_key_is_not_adopted() -> None:
    agent = agent_of(uid="new")
    scene = _retained(agent)
    scene.session.table.drop([fingerprint(OLD)])
    scene.proxy.rows.clear()
    with pytest.raises(Blocked, match="NameTaken"):
        await ensure_key(scene.context, agent, scene.access())
    assert not scene.proxy.rows, "and no key is left"


async def test_a_new_agent_s_secret_isn_t_read_before_it_is_created() -> None:
    scene = Scene()
    await ensure_key(scene.context, AGENT, scene.access())
    assert not scene.kube.reads and _delivered(scene)


async def test_where_a_name_is_taken_no_key_is_created_again_and_again() -> None:
    scene = Scene()
    foreign = {
        "kind": "Secret",
        "metadata": {"name": "a-litellm", "namespace": "n", "uid": "s", "resourceVersion": "2"},
    }
    scene.kube.objects["Secret", "n", "a-litellm"] = foreign
    seen = {"type": "KeyReady", "status": "False", "reason": "NameTaken", "lastTransitionTime": "2026-11-24T10:00:00Z"}
    seen |= {"message": "", "observedGeneration": 1}
    for agent in (AGENT, AGENT.model_copy(update={"status": AgentStatus.model_validate({"conditions": [seen]})})):
        with pytest.raises(Blocked, match="NameTaken"):
            await ensure_key(scene.context, agent, scene.access())
        assert not scene.proxy.rows and not scene.session.table.of("a") and not scene.session.undelivered
    assert [call for call in scene.proxy.calls if "/key/generate" in call] == ["POST /key/generate"]
    assert scene.kube.objects["Secret", "n", "a-litellm"] == foreign


# How many old keys there may be


async def test_a_secret_that_is_refused_costs_one_key_and_not_one_a_minute() -> None:
    scene = Scene()
    scene.kube.refuses["Secret"] = "exceeded quota: none, requested: count/secrets=1"
    status: Body = {}
    for _ in range(5):
        with pytest.raises(Blocked, match="Refused: Secret n/a-litellm is refused") as blocked:
            await ensure_key(scene.context, agent_of(status=status), scene.access())
        conditions = Conditions((ConditionType.KEY_READY,))
        conditions.set_blocked(blocked.value)
        status = {"conditions": conditions.render([], generation=1, now=scene.clock())}
    generated = [call for call in scene.proxy.calls if "/key/generate" in str(call)]
    assert len(generated) == 1 and not scene.proxy.rows
    scene.kube.refuses.clear()
    await ensure_key(scene.context, agent_of(status=status), scene.access())
    assert len(scene.proxy.rows) == 1 and _delivered(scene)


async def test_too_many_old_keys_delay_the_next_rotation() -> None:
    scene = Scene(_secret(OLD, "1"))
    live = scene.know(key_of_agent(OLD, generation=100, created_at=_created(scene)))
    for number in range(MOST_OLD):
        scene.know(
            key_of_agent(
                f"sk-old-{number}", generation=number + 1, alias=f"old-{number}", expires="2026-11-24T10:30:00Z"
            )
        )
    row, again = await ensure_key(scene.context, AGENT, scene.access())
    assert row.token == live.token and again and len(scene.proxy.rows) == MOST_OLD + 1, "it waits"
    oldest = fingerprint("sk-old-0")
    del scene.proxy.rows[oldest]
    scene.session.table.drop([oldest])
    row, _ = await ensure_key(scene.context, AGENT, scene.access())
    assert row.token != live.token and len(scene.proxy.rows) == MOST_OLD + 1


async def test_rotations_in_a_loop_leave_a_bounded_number_of_keys() -> None:
    scene, agent = Scene(), agent_of(key={"rotation": {"gracePeriod": "720h"}})
    await ensure_key(scene.context, agent, scene.access())
    for number in range(3 * MOST_OLD):
        scene.clock.pass_(3)
        rotate = {"litclaw.dev/rotate": str(number)}
        agent = agent_of(key={"rotation": {"gracePeriod": "720h"}}, annotations=rotate)
        await ensure_key(scene.context, agent, scene.access())
    assert len(scene.proxy.rows) <= MOST_OLD + 1


# What LiteLLM obeys

STEERING = {"opted_out_global_guardrails": ["pii"], "allow_client_pricing_override": True}


async def test_nothing_of_the_owners_metadata_is_where_litellm_obeys_it() -> None:
    scene, agent = Scene(), agent_of(key={"metadata": STEERING})
    row, _ = await ensure_key(scene.context, agent, scene.access())
    stored = scene.proxy.rows[row.token]["metadata"]
    assert stored.keys() == {"litclaw", "litclaw_metadata"} and stored["litclaw_metadata"] == STEERING
    calls = len(scene.proxy.calls)
    await ensure_key(scene.context, agent, scene.access())
    assert len(scene.proxy.calls) == calls, "it is as it should be"


async def _with_flat_metadata(agent: OpenClawAgent) -> tuple[Scene, Body]:
    """A key of an earlier operator: its owner's metadata is at the top level, and it may call every route."""
    scene = Scene(_secret(OLD, "1", agent))
    old = scene.create(key_of_agent(OLD, created_at=_created(scene)))
    row = scene.proxy.rows[old.token]
    row.update(allowed_routes=[], metadata={**row["metadata"], **STEERING})
    await scene.read()
    return scene, row


@pytest.mark.parametrize("metadata", [STEERING, {}])
async def test_an_existing_key_is_corrected_without_a_new_one(metadata: Body) -> None:
    agent = agent_of(key={"metadata": metadata})
    scene, row = await _with_flat_metadata(agent)
    await ensure_key(scene.context, agent, scene.access())
    stored = row["metadata"]
    assert not STEERING.keys() & stored.keys() and stored.get("litclaw_metadata", {}) == metadata
    assert row["allowed_routes"] == ["llm_api_routes"] and len(scene.proxy.rows) == 1


async def test_a_key_may_call_the_routes_of_models_only() -> None:
    scene = Scene()
    row, _ = await ensure_key(scene.context, agent_of(), scene.access())
    assert scene.proxy.rows[row.token]["allowed_routes"] == ["llm_api_routes"]
    assert await scene.session.client.accepts(SecretStr(_delivered(scene))), "refused for its route, but known"


async def test_a_release_that_shows_no_routes_gets_no_update_each_time() -> None:
    scene = Scene()
    row, _ = await ensure_key(scene.context, agent_of(), scene.access())
    del scene.proxy.rows[row.token]["allowed_routes"]
    await scene.read()
    updates = scene.proxy.counts["/key/update"]
    await ensure_key(scene.context, agent_of(), scene.access())
    assert scene.proxy.counts["/key/update"] == updates
