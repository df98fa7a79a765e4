"""The end of a key that was replaced: when it comes, and what becomes of what was spent meanwhile."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from litclaw.api.agent import OpenClawAgent
from litclaw.kube.cache import Cache, fingerprint
from litclaw.kube.client import Kube
from litclaw.litellm.errors import LiteLLMError
from litclaw.litellm.keys import KeyRow, Limits, Mark
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.keys.due import due, next_rotation
from litclaw.reconcile.keys.period import inherited, is_over, reset_budget_if_due
from litclaw.reconcile.keys.retire import retire_old_keys, retiring_until
from litclaw.reconcile.proxy.key_table import KeyTable
from litclaw.reconcile.rotation.run import RotationRun
from pydantic import SecretStr

from .proxies import MASTER, Clock, FakeProxy

NEW, OLD = "sk-the-new-key-of-the-agent", "sk-the-old-key-of-the-agent"
NEW_TOKEN, OLD_TOKEN = fingerprint(NEW), fingerprint(OLD)


class Scene:
    """An agent whose Secret holds a new key, beside the one that it replaces."""

    def __init__(self, *, grace: int, budget: float | None = None) -> None:
        self.clock = Clock()
        self.proxy = FakeProxy(self.clock)
        secret = {"data": {"LITELLM_API_KEY": base64.b64encode(NEW.encode()).decode()}}

        async def get(*_: object) -> dict[str, Any]:
            return secret

        kube = cast(Kube, SimpleNamespace(get=get))
        self.woken: list[object] = []
        self.context = Context(
            kube=kube,
            cache=Cache(),
            cluster="c",
            wake=self.woken.append,
            enqueue_after=lambda key, _: self.woken.append(key),
            now=self.clock,
        )
        self.state = RouteState(self.proxy.client(), (MASTER, "", None), KeyTable("c"), usable=True)
        self.agent = OpenClawAgent.model_validate(
            {"metadata": {"name": "a", "namespace": "n", "uid": "u"}, "spec": {"routeRef": {"name": "r"}}}
        )
        limits = Limits(max_budget=budget)
        old = KeyRow(OLD_TOKEN, "a#1", limits, 1.0, Mark("c", "u", 1, made=self.clock().isoformat()))
        self.clock.pass_(60)
        taken = {old.short: (1.0, 0)}
        mark = Mark("c", "u", 2, made=self.clock().isoformat(), replaces=old.short, grace=grace, taken=taken)
        for row in (old, KeyRow(NEW_TOKEN, "a", limits, 1.0, mark)):
            self.proxy.rows[row.token] = {
                "token": row.token,
                "key_alias": row.alias,
                "spend": row.spend,
                "max_budget": budget,
                "metadata": row.marked(cast(Mark, row.mark)),
            }
            self.state.table.put(row)

    def row(self, token: str = NEW_TOKEN) -> KeyRow:
        """A key as the table has it."""
        return cast(KeyRow, self.state.table.get(token))

    async def settle(self) -> float | None:
        """One pass over the keys."""
        return await retire_old_keys(self.context, self.agent, self.state, self.row())

    async def see(self, token: str, **fields: Any) -> None:
        """Have the proxy show something of a key."""
        self.proxy.rows[token].update(fields)
        self.state.table.put(cast(KeyRow, await self.state.client.key(token)))


@pytest.fixture
def scene() -> Iterator[Scene]:
    yield Scene(grace=3600)


async def test_the_old_key_gets_its_end_at_once_and_is_deleted_well_after_it(scene: Scene) -> None:
    requeue_after = await scene.settle()
    ends = scene.clock() + timedelta(seconds=90 + 3600)
    assert scene.proxy.rows[OLD_TOKEN]["expires"] == ends.isoformat() and not scene.proxy.rows[OLD_TOKEN].get("blocked")
    assert requeue_after == pytest.approx(90 + 3600 + 90 + 1)
    calls = list(scene.proxy.calls)
    await scene.settle()
    assert scene.proxy.calls == calls, "a pass in between asks for nothing"
    scene.clock.pass_(requeue_after)
    assert await scene.settle() is None
    assert list(scene.proxy.rows) == [NEW_TOKEN] and scene.state.table.of("u") == [scene.row()]


async def test_an_operator_whose_clock_is_ahead_lets_the_old_key_live_for_its_time(scene: Scene) -> None:
    scene.proxy.dated = True
    scene.context.now = lambda: scene.clock() + timedelta(days=40)
    await scene.settle()
    await scene.see(OLD_TOKEN)  # as the proxy shows its end
    await scene.settle()
    assert set(scene.proxy.rows) == {OLD_TOKEN, NEW_TOKEN}
    until = retiring_until(scene.context, scene.state, "u")
    assert until and until.isoformat() == scene.proxy.rows[OLD_TOKEN]["expires"]
    scene.clock.pass_(90 + 3600 + 91)
    await scene.see(OLD_TOKEN)
    await scene.settle()
    assert list(scene.proxy.rows) == [NEW_TOKEN]


async def test_an_operator_whose_clock_is_ahead_starts_no_budget_anew(scene: Scene) -> None:
    scene.proxy.dated = True
    resets = (scene.clock() + timedelta(days=6)).isoformat()
    mark = replace(cast(Mark, scene.row().mark), anew_at=resets)
    scene.proxy.rows[NEW_TOKEN].update(budget_duration="14d", metadata=scene.row().marked(mark))
    await scene.see(NEW_TOKEN)
    scene.context.now = lambda: scene.clock() + timedelta(days=40)
    assert (await reset_budget_if_due(scene.context, scene.state, scene.row())).spend == 1.0


async def test_without_an_accepted_new_key_the_old_one_has_no_end(scene: Scene) -> None:
    del scene.proxy.rows[NEW_TOKEN]
    with pytest.raises(Blocked, match="NotAcceptedYet"):
        await scene.settle()
    assert "expires" not in scene.proxy.rows[OLD_TOKEN]


async def test_for_a_leak_it_ends_when_the_new_one_is_seen_in_use(scene: Scene) -> None:
    leak = Scene(grace=0)
    await leak.settle()
    assert leak.row(OLD_TOKEN).expires == (leak.clock() + timedelta(seconds=90)).isoformat()
    assert leak.woken == [("LiteLLMRoute", "n", "r")], "the keys are read more often"
    leak.clock.pass_(20)
    await leak.see(NEW_TOKEN, last_active=leak.clock().isoformat())
    await leak.settle()
    assert leak.proxy.rows[OLD_TOKEN]["blocked"]
    assert leak.row(OLD_TOKEN).expires == (leak.clock() + timedelta(seconds=1)).isoformat()


async def test_a_leak_moves_the_end_of_keys_that_still_live_out_a_longer_time(scene: Scene) -> None:
    await scene.settle()
    scene.clock.pass_(60)
    run = RotationRun(
        ("LiteLLMKeyRotation", "", "all"),
        not_before=scene.clock(),
        grace=0,
        limit=1,
        stop=0,
        wake=lambda key: None,
        now=Clock(),
    )
    run.plan({"u": ("OpenClawAgent", "n", "a")}, {}, resting=False)
    scene.context.runs["leak"] = run
    assert due(scene.context, scene.agent, scene.state, scene.row()) == 0
    await scene.settle()
    assert scene.row(OLD_TOKEN).expires == (scene.clock() + timedelta(seconds=90)).isoformat()


async def test_what_is_spent_beside_the_live_key_is_added_once(scene: Scene) -> None:
    await scene.settle()
    await scene.see(OLD_TOKEN, spend=3.0)
    await scene.settle()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 1.0, "without a budget it has time until the end"
    scene.clock.pass_(90 + 3600 + 91)
    await scene.settle()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 3.0 and list(scene.proxy.rows) == [NEW_TOKEN]


async def test_of_a_budget_it_is_added_at_once_and_old_keys_stop_when_it_is_spent() -> None:
    scene = Scene(grace=3600, budget=10)
    await scene.settle()
    await scene.see(OLD_TOKEN, spend=10.5)
    await scene.settle()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 10.5 and not scene.proxy.rows[OLD_TOKEN].get("blocked")
    await scene.settle()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 10.5, "once"
    assert scene.proxy.rows[OLD_TOKEN]["blocked"]


async def test_a_key_that_turns_up_late_has_spent_nothing_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(grace=3600, budget=10)
    late, accepts = fingerprint("sk-made-late-for-the-same-agent"), scene.state.client.accepts

    async def meanwhile(value: SecretStr) -> bool:
        """A request that was given up is carried out, and the table read, in the middle of the pass."""
        if late not in scene.proxy.rows:
            scene.proxy.rows[late] = {**scene.proxy.rows[NEW_TOKEN], "token": late, "key_alias": "a#2"}
            await scene.state.table.refresh(scene.state.client)
        return await accepts(value)

    monkeypatch.setattr(scene.state.client, "accepts", meanwhile)
    await scene.settle()
    assert late in scene.proxy.rows and scene.proxy.rows[NEW_TOKEN]["spend"] == 1.0
    assert scene.state.table.spend == 1.0
    await scene.settle()
    assert set(scene.proxy.rows) == {OLD_TOKEN, NEW_TOKEN} and scene.proxy.rows[NEW_TOKEN]["spend"] == 1.0


async def test_an_addition_whose_answer_was_lost_is_not_made_again(scene: Scene) -> None:
    await scene.settle()
    await scene.see(OLD_TOKEN, spend=3.0)
    scene.clock.pass_(90 + 3600 + 91)
    scene.proxy.lost.add("/key/update")
    with pytest.raises(LiteLLMError):
        await scene.settle()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 3.0 and scene.state.table.get(NEW_TOKEN) is None
    scene.proxy.lost.clear()
    await scene.see(NEW_TOKEN)
    await scene.settle()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 3.0 and list(scene.proxy.rows) == [NEW_TOKEN]


async def test_an_end_is_moved_up_once_whatever_the_proxys_clock_shows(scene: Scene) -> None:
    leak = Scene(grace=0)
    await leak.settle()
    await leak.see(NEW_TOKEN, last_active=leak.clock().isoformat())
    await leak.settle()
    ahead = (leak.clock() + timedelta(seconds=60)).isoformat()
    await leak.see(OLD_TOKEN, expires=ahead)
    await leak.settle()
    assert leak.proxy.rows[OLD_TOKEN]["expires"] == ahead


async def test_killed_between_adding_and_deleting_nothing_is_added_twice(scene: Scene) -> None:
    await scene.settle()
    await scene.see(OLD_TOKEN, spend=3.0)
    scene.clock.pass_(90 + 3600 + 91)
    old = dict(scene.proxy.rows[OLD_TOKEN])
    await scene.settle()
    scene.proxy.rows[OLD_TOKEN] = old
    await scene.see(OLD_TOKEN)
    await scene.see(NEW_TOKEN)
    await scene.settle()
    assert scene.proxy.rows[NEW_TOKEN]["spend"] == 3.0 and list(scene.proxy.rows) == [NEW_TOKEN]


async def test_a_key_that_is_held_back_needs_no_old_one_beside_it(scene: Scene) -> None:
    await scene.see(NEW_TOKEN, blocked=True)
    await scene.settle()
    assert list(scene.proxy.rows) == [NEW_TOKEN]


async def test_a_period_that_litellm_would_start_over_goes_on(scene: Scene) -> None:
    fortnight = Limits(max_budget=5, budget_duration="14d")
    before = replace(scene.row(OLD_TOKEN), limits=fortnight, budget_resets_at="2026-11-30T00:00:00+00:00")
    assert inherited(scene.clock(), before, fortnight) == before.budget_resets_at
    assert inherited(scene.clock(), before, replace(fortnight, budget_duration="7d")) == ""
    monthly = replace(before, limits=replace(fortnight, budget_duration="monthly"))
    assert inherited(scene.clock(), monthly, monthly.limits) == "", "LiteLLM counts it by the calendar"
    over = replace(before, budget_resets_at="2026-11-24T09:55:00+00:00")
    assert is_over(scene.clock(), over) and inherited(scene.clock(), over, fortnight) == ""
    mark = replace(cast(Mark, scene.row().mark), anew_at=before.budget_resets_at or "")
    scene.proxy.rows[NEW_TOKEN].update(budget_duration="14d", metadata=scene.row().marked(mark))
    await scene.see(NEW_TOKEN)
    assert (await reset_budget_if_due(scene.context, scene.state, scene.row())).spend == 1.0
    scene.clock.pass_(6 * 24 * 3600)
    fresh = await reset_budget_if_due(scene.context, scene.state, scene.row())
    assert (fresh.spend, cast(Mark, fresh.mark).anew_at) == (0.0, "")
    assert scene.proxy.rows[NEW_TOKEN]["budget_duration"] == "14d", "said again, it counts from now"


def test_ten_thousand_agents_of_one_day_are_not_rotated_in_one_minute(scene: Scene) -> None:
    body = {"metadata": {"name": "a"}, "spec": {"routeRef": {"name": "r"}, "key": {"rotation": {"interval": "720h"}}}}
    agent = OpenClawAgent.model_validate(body)
    keys = [replace(scene.row(), token=fingerprint(str(number))) for number in range(10_000)]
    turns = sorted(cast(Any, next_rotation(agent, scene.state, key)) for key in keys)
    assert scene.clock() + timedelta(hours=648) <= turns[0] <= turns[-1] <= scene.clock() + timedelta(hours=720)
    most = max(sum(1 for t in turns[at : at + 100] if t - turns[at] < timedelta(minutes=1)) for at in range(9_900))
    assert most < 20
