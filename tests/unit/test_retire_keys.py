"""The end of a key that was replaced: when it comes, and what becomes of the spend until then."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from litclaw.api.route import KeyDefaults
from litclaw.kube.cache import fingerprint
from litclaw.litellm.errors import LiteLLMError
from litclaw.litellm.keys import KeyRow, Limits, Mark
from litclaw.litellm.transport import Response
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.keys.block import BlockReason, block_key
from litclaw.reconcile.keys.due import next_rotation, rotation_due
from litclaw.reconcile.keys.period import inherited_reset, period_is_over, reset_budget_if_due
from litclaw.reconcile.keys.retire import MOST_RETIRING, retire_old_keys, retiring_until
from litclaw.reconcile.rotation.run import RotationRun
from litclaw.render.metadata import encode

from .handled import Request
from .scenes import Scene, agent_of, key_of_agent

NEW, OLD = "sk-the-new-key-of-the-agent", "sk-the-old-key-of-the-agent"
NEW_TOKEN, OLD_TOKEN = fingerprint(NEW), fingerprint(OLD)


class Rotated(Scene):
    """An agent whose Secret has a new key, beside the one that it replaces."""

    def __init__(self, *, grace: int, budget: float | None = None) -> None:
        super().__init__()
        self.agent = agent_of()
        meta = {"namespace": "n", "name": "a-litellm", "uid": "s", "resourceVersion": "1"}
        self.put({"kind": "Secret", "metadata": meta, "data": encode({"LITELLM_API_KEY": NEW})})
        limits = Limits(max_budget=budget)
        old = key_of_agent(OLD, alias="n/a#1", limits=limits, spend=1.0, created_at=self.clock().isoformat())
        self.clock.pass_(60)
        new = key_of_agent(
            NEW,
            generation=2,
            limits=limits,
            spend=1.0,
            created_at=self.clock().isoformat(),
            replaces=old.short,
            grace=grace,
            carried={old.short: (1.0, 0)},
        )
        self.know(old)
        self.know(new)

    def row(self, token: str = NEW_TOKEN) -> KeyRow:
        """A key as the table has it."""
        return cast(KeyRow, self.session.table.get(token))

    def mark(self) -> Mark:
        """The new key's."""
        return cast(Mark, self.row().mark)

    async def retire(self) -> float | None:
        """One pass over the keys."""
        return await retire_old_keys(self.context, self.agent, self.session, self.row())

    async def show(self, token: str, **fields: Any) -> None:
        """Change a key at the proxy, and read it."""
        self.proxy.rows[token].update(fields)
        self.session.table.put(cast(KeyRow, await self.session.client.key(token)))


@pytest.fixture
def scene() -> Iterator[Rotated]:
    yield Rotated(grace=3600)


async def test_the_old_key_gets_its_end_at_once_and_is_deleted_well_after_it(scene: Rotated) -> None:
    requeue_after = await scene.retire()
    ends = scene.clock() + timedelta(seconds=90 + 3600)
    assert scene.proxy.rows[OLD_TOKEN]["expires"] == ends.isoformat()
    assert not scene.proxy.rows[OLD_TOKEN].get("blocked")
    assert requeue_after and requeue_after == pytest.approx(90 + 3600 + 90 + 1)
    calls = list(scene.proxy.calls)
    await scene.retire()
    assert scene.proxy.calls == calls, "a pass in between calls nothing"
    scene.clock.pass_(requeue_after)
    assert await scene.retire() is None
    assert list(scene.proxy.rows) == [NEW_TOKEN] and scene.session.table.of("u") == [scene.row()]


async def test_an_operator_whose_clock_is_ahead_leaves_the_old_key_its_time(scene: Rotated) -> None:
    scene.proxy.dated = True
    scene.context.now = lambda: scene.clock() + timedelta(days=40)
    await scene.retire()
    await scene.show(OLD_TOKEN)  # as the proxy shows its end
    await scene.retire()
    assert set(scene.proxy.rows) == {OLD_TOKEN, NEW_TOKEN}
    until = retiring_until(scene.session, "u")
    assert until and until.isoformat() == scene.proxy.rows[OLD_TOKEN]["expires"]
    scene.clock.pass_(90 + 3600 + 91)
    await scene.show(OLD_TOKEN)
    await scene.retire()
    assert list(scene.proxy.rows) == [NEW_TOKEN]


async def test_an_operator_whose_clock_is_ahead_resets_no_budget_early(scene: Rotated) -> None:
    scene.proxy.dated = True
    resets = (scene.clock() + timedelta(days=6)).isoformat()
    mark = replace(scene.mark(), budget_resets_at=resets)
    scene.proxy.rows[NEW_TOKEN].update(budget_duration="14d", metadata=scene.row().marked(mark))
    await scene.show(NEW_TOKEN)
    scene.context.now = lambda: scene.clock() + timedelta(days=40)
    assert (await reset_budget_if_due(scene.session, scene.row())).spend == 1.0


async def test_without_an_accepted_new_key_the_old_one_has_no_end(scene: Rotated) -> None:
    del scene.proxy.rows[NEW_TOKEN]
    with pytest.raises(Blocked, match="NotAcceptedYet"):
        await scene.retire()
    assert "expires" not in scene.proxy.rows[OLD_TOKEN]


async def test_with_no_grace_period_it_ends_when_the_new_one_is_in_use() -> None:
    leak = Rotated(grace=0)
    await leak.retire()
    assert leak.row(OLD_TOKEN).expires == (leak.clock() + timedelta(seconds=90)).isoformat()
    assert leak.session.hurry_until == leak.clock.monotonic() + 90, "the keys are read more often"
    leak.clock.pass_(20)
    await leak.show(NEW_TOKEN, last_active=leak.clock().isoformat())
    await leak.retire()
    assert leak.proxy.rows[OLD_TOKEN]["blocked"]
    assert leak.row(OLD_TOKEN).expires == (leak.clock() + timedelta(seconds=1)).isoformat()


def _begin(scene: Rotated, grace: int) -> None:
    """Begin a rotation of all keys."""
    run = RotationRun(
        ("LiteLLMKeyRotation", "", "all"),
        not_before=scene.clock(),
        grace=grace,
        limit=1,
        stop=0,
        enqueue=lambda request: None,
        monotonic=scene.clock.monotonic,
    )
    run.plan({"u": ("OpenClawAgent", "n", "a")}, {}, suspended=False)
    scene.context.runs["leak"] = run


async def test_a_rotation_without_grace_moves_up_the_end_of_keys_that_have_a_longer_one(scene: Rotated) -> None:
    await scene.retire()
    scene.clock.pass_(60)
    _begin(scene, grace=0)
    assert rotation_due(scene.context, scene.agent, KeyDefaults(), scene.row()) == 0
    await scene.retire()
    assert scene.row(OLD_TOKEN).expires == (scene.clock() + timedelta(seconds=90)).isoformat()


async def test_spend_of_the_old_key_is_added_to_the_live_one_once(scene: Rotated) -> None:
    await scene.retire()
    await scene.show(OLD_TOKEN, spend=3.0)
    await scene.retire()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 1.0, "without a budget it is added at the end"
    scene.clock.pass_(90 + 3600 + 91)
    await scene.retire()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 3.0 and list(scene.proxy.rows) == [NEW_TOKEN]


async def test_with_a_budget_it_is_added_at_once_and_old_keys_stop_when_the_budget_is_spent() -> None:
    scene = Rotated(grace=3600, budget=10)
    await scene.retire()
    await scene.show(OLD_TOKEN, spend=10.5)
    await scene.retire()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 10.5 and not scene.proxy.rows[OLD_TOKEN].get("blocked")
    await scene.retire()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 10.5, "once"
    assert scene.proxy.rows[OLD_TOKEN]["blocked"]


async def test_old_keys_are_accepted_again_when_there_is_budget_again() -> None:
    scene = Rotated(grace=3600, budget=10.0)
    await scene.retire()
    await scene.show(NEW_TOKEN, spend=11.0)
    await scene.retire()
    assert scene.proxy.rows[OLD_TOKEN]["blocked"]
    scene.session.table.put(replace(scene.row(), limits=Limits(max_budget=20.0)))
    await scene.retire()
    assert not scene.proxy.rows[OLD_TOKEN]["blocked"] and scene.row(OLD_TOKEN).mark
    calls = len(scene.proxy.calls)
    await scene.retire()
    assert len(scene.proxy.calls) == calls, "nothing is left to do"


async def test_old_keys_are_accepted_again_when_the_agent_goes_on() -> None:
    scene = Rotated(grace=3600)
    await scene.retire()
    await block_key(scene.session, scene.row(OLD_TOKEN), BlockReason.SUSPENDED)
    scene.agent = agent_of(suspend=True)
    await scene.retire()
    assert scene.proxy.rows[OLD_TOKEN]["blocked"]
    scene.agent = agent_of()
    await scene.retire()
    assert not scene.proxy.rows[OLD_TOKEN]["blocked"]


async def test_an_old_key_that_somebody_else_has_blocked_stays_blocked(scene: Rotated) -> None:
    await scene.retire()
    await scene.show(OLD_TOKEN, blocked=True)
    await scene.retire()
    assert scene.proxy.rows[OLD_TOKEN]["blocked"]


async def test_a_key_that_turns_up_late_has_no_spend_of_its_own() -> None:
    scene = Rotated(grace=3600, budget=10)
    late = fingerprint("sk-made-late-for-the-same-agent")

    async def meanwhile(request: Request) -> Response:
        """A request that was given up is carried out, and the table read, in the middle of the pass."""
        if request.path == "/key/info" and late not in scene.proxy.rows:
            scene.proxy.rows[late] = {**scene.proxy.rows[NEW_TOKEN], "token": late, "key_alias": "a#2"}
            await scene.read()
        return await scene.proxy.answer(request)

    scene.answer_by(meanwhile)
    await scene.retire()
    assert late in scene.proxy.rows and scene.proxy.rows[NEW_TOKEN]["spend"] == 1.0
    assert scene.session.table.spend(["u"]) == 1.0
    await scene.retire()
    assert set(scene.proxy.rows) == {OLD_TOKEN, NEW_TOKEN} and scene.proxy.rows[NEW_TOKEN]["spend"] == 1.0


async def test_an_addition_whose_response_was_lost_is_not_made_again(scene: Rotated) -> None:
    await scene.retire()
    await scene.show(OLD_TOKEN, spend=3.0)
    scene.clock.pass_(90 + 3600 + 91)
    scene.proxy.lost.add("/key/update")
    with pytest.raises(LiteLLMError):
        await scene.retire()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 3.0 and scene.session.table.get(NEW_TOKEN) is None
    scene.proxy.lost.clear()
    await scene.show(NEW_TOKEN)
    await scene.retire()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 3.0 and list(scene.proxy.rows) == [NEW_TOKEN]


async def test_an_end_is_moved_up_once_whatever_the_proxys_clock_shows() -> None:
    leak = Rotated(grace=0)
    await leak.retire()
    await leak.show(NEW_TOKEN, last_active=leak.clock().isoformat())
    await leak.retire()
    ahead = (leak.clock() + timedelta(seconds=60)).isoformat()
    await leak.show(OLD_TOKEN, expires=ahead)
    await leak.retire()
    assert leak.proxy.rows[OLD_TOKEN]["expires"] == ahead


async def test_killed_between_adding_and_deleting_nothing_is_added_twice(scene: Rotated) -> None:
    await scene.retire()
    await scene.show(OLD_TOKEN, spend=3.0)
    scene.clock.pass_(90 + 3600 + 91)
    old = dict(scene.proxy.rows[OLD_TOKEN])
    await scene.retire()
    scene.proxy.rows[OLD_TOKEN] = old
    await scene.show(OLD_TOKEN)
    await scene.show(NEW_TOKEN)
    await scene.retire()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 3.0 and list(scene.proxy.rows) == [NEW_TOKEN]


async def test_a_blocked_key_needs_no_old_one_beside_it(scene: Rotated) -> None:
    await scene.show(NEW_TOKEN, blocked=True)
    await scene.retire()
    assert list(scene.proxy.rows) == [NEW_TOKEN]


async def test_at_most_so_many_old_keys_are_valid_and_the_oldest_end_at_once(scene: Rotated) -> None:
    later = (scene.clock() + timedelta(hours=300)).isoformat()
    old = [
        scene.know(key_of_agent(f"sk-old-{number}", generation=number - 9, alias=f"old-{number}", expires=later)).token
        for number in range(MOST_RETIRING + 2)
    ]
    await scene.retire()
    blocked = {token for token, row in scene.proxy.rows.items() if row.get("blocked")}
    assert blocked == set(old[:3]), "the key that was replaced last counts too"
    soon = scene.clock() + timedelta(seconds=1)
    assert {scene.proxy.rows[token]["expires"] for token in blocked} == {soon.isoformat()}
    assert {scene.proxy.rows[token]["expires"] for token in old[3:]} == {later}
    calls = len(scene.proxy.calls)
    await scene.retire()
    assert len(scene.proxy.calls) == calls


async def test_a_period_that_litellm_would_start_over_goes_on(scene: Rotated) -> None:
    fortnight = Limits(max_budget=5, budget_duration="14d")
    end = "2026-11-30T00:00:00+00:00"
    before = replace(scene.row(OLD_TOKEN), limits=fortnight, budget_resets_at=end)
    assert inherited_reset(scene.clock(), [before], fortnight) == end
    assert inherited_reset(scene.clock(), [before], replace(fortnight, budget_duration="7d")) == ""
    assert inherited_reset(scene.clock(), [], fortnight) == "", "an agent's first key"
    newest = replace(scene.row(), limits=fortnight, budget_resets_at="2026-12-01T00:00:00+00:00")
    assert inherited_reset(scene.clock(), [newest, before], fortnight) == newest.budget_resets_at
    monthly = replace(before, limits=replace(fortnight, budget_duration="monthly"))
    assert inherited_reset(scene.clock(), [monthly], monthly.limits) == "", "LiteLLM counts it by the calendar"
    over = replace(before, budget_resets_at="2026-11-24T09:55:00+00:00")
    assert period_is_over(scene.clock(), over) and inherited_reset(scene.clock(), [over], fortnight) == ""
    mark = replace(scene.mark(), budget_resets_at=end)
    scene.proxy.rows[NEW_TOKEN].update(budget_duration="14d", metadata=scene.row().marked(mark))
    await scene.show(NEW_TOKEN)
    assert (await reset_budget_if_due(scene.session, scene.row())).spend == 1.0
    scene.clock.pass_(6 * 24 * 3600)
    fresh = await reset_budget_if_due(scene.session, scene.row())
    assert (fresh.spend, cast(Mark, fresh.mark).budget_resets_at) == (0.0, "")
    assert scene.proxy.rows[NEW_TOKEN]["budget_duration"] == "14d", "set again, it counts from now"


def test_ten_thousand_agents_of_one_day_are_not_rotated_in_one_minute(scene: Rotated) -> None:
    agent = agent_of(key={"rotation": {"interval": "720h"}})
    keys = [replace(scene.row(), token=fingerprint(str(number))) for number in range(10_000)]
    turns = sorted(cast(Any, next_rotation(agent, KeyDefaults(), key)) for key in keys)
    assert scene.clock() + timedelta(hours=648) <= turns[0] <= turns[-1] <= scene.clock() + timedelta(hours=720)
    most = max(sum(1 for t in turns[at : at + 100] if t - turns[at] < timedelta(minutes=1)) for at in range(9_900))
    assert most < 20
