"""The end of a key that another has replaced: given at once, carried out by the proxy, and settled by us afterwards.

docs/design/rotation.md says why each of the times is what it is.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import SecretStr

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.kube.resources import ROUTE
from litclaw.litellm.errors import LiteLLMError
from litclaw.litellm.keys import KeyRow, carried_from, is_before, not_yet_carried, utc
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.core import secret_values as secrets
from litclaw.reconcile.core.conditions import KEY_READY, Blocked
from litclaw.reconcile.keys.due import is_older, runs_for
from litclaw.reconcile.keys.end import end_keys

UPTAKE_SECONDS = 90
"""A kubelet refreshes mounted Secrets every 60 to 90 s: its sync period of 1 min, with up to half of it for jitter."""
SETTLE_SECONDS = 90
"""Replicas without Redis learn of a key's end after up to 60 s, and spend is booked 10 to 15 s late (both measured)."""
_HURRY_SECONDS = 5.0
_ROUGHLY = timedelta(seconds=5)
_WORTH = Decimal("0.01")
"""What share of the budget old keys may spend before that is taken over while they live; the rest is at their end."""


def ends_at(row: KeyRow) -> datetime | None:
    """When the proxy itself refuses a key."""
    if row.expires is None:
        return None
    return utc(row.expires)


def retiring_until(context: Context, state: RouteState, uid: str) -> datetime | None:
    """When the last of an agent's old keys ends, if one still lives."""
    ends = [end for row in state.table.of(uid) if (end := ends_at(row)) and end > state.now(context)]
    return max(ends, default=None)


async def retire_old_keys(
    context: Context, agent: OpenClawAgent, state: RouteState, row: KeyRow, value: SecretStr | None = None
) -> float | None:
    """See to every key of the agent's but the live one: an end for what was replaced, and the end of what has none.

    Args:
        row: the live key.
        value: its value, where it has been written into the Secret just now.

    Returns:
        After how many seconds to look requeue_after, or None.

    Raises:
        Blocked: the new key isn't accepted yet.
        LiteLLMError: the proxy couldn't be told.
    """
    others = [other for other in state.table.of(agent.metadata.uid) if other.token != row.token]
    if not others:
        return None
    replaced = [other for other in others if _is_replaced(row, other)]
    if replaced and not row.blocked:
        await _see_accepted(context, agent, state, value)
    elif replaced:
        replaced = []  # nobody calls with a key that is held back, so nobody needs the old one
    surplus = [other.token for other in others if other.expires is None and other not in replaced]
    if surplus:
        await end_keys(state, surplus)
    if replaced:
        await _give_ends(context, agent, state, row, replaced)
    return await _go_on(context, agent, state, row)


def _is_replaced(row: KeyRow, other: KeyRow) -> bool:
    return other.expires is None and row.mark is not None and other.short == row.mark.replaces


async def _see_accepted(context: Context, agent: OpenClawAgent, state: RouteState, value: SecretStr | None) -> None:
    if value is None:
        held = await secrets.values(context, agent.metadata.namespace, agent.secret_name)
        value = (held or {}).get(names.API_KEY)
    if value is None or not await state.client.accepts(value):
        message = "Waits for the proxy to accept the new key; the old one goes on."
        raise Blocked(KEY_READY, "NotAcceptedYet", message, stalled=False, retry=2.0)


async def _give_ends(
    context: Context, agent: OpenClawAgent, state: RouteState, row: KeyRow, replaced: Sequence[KeyRow]
) -> None:
    assert row.mark is not None
    for other in replaced:
        await _end_in(context, state, other, UPTAKE_SECONDS + row.mark.grace)
    if row.mark.grace == 0:
        state.hurry_until = context.now() + timedelta(seconds=UPTAKE_SECONDS)
        context.enqueue_after((ROUTE.kind, *agent.route_key), _HURRY_SECONDS)


async def _end_in(context: Context, state: RouteState, row: KeyRow, seconds: float) -> None:
    """Have the proxy refuse a key after some seconds, whether or not we are there to see it; with 0, now."""
    await state.client.update_key(row.token, {"duration": f"{max(1, round(seconds))}s"})
    if seconds <= 0 and not row.blocked:
        await state.client.block_key(row.token)
        row = replace(row, blocked=True)
    state.table.put(replace(row, expires=(state.now(context) + timedelta(seconds=max(1, seconds))).isoformat()))


async def _go_on(context: Context, agent: OpenClawAgent, state: RouteState, row: KeyRow) -> float | None:
    """What has an end already: moved up where that is due, settled when it is over."""
    now = state.now(context)
    over: list[KeyRow] = []
    requeue_after: list[float] = []
    spent = row.limits.max_budget is not None and row.spend >= row.limits.max_budget
    for other in state.table.of(agent.metadata.uid):
        end = ends_at(other)
        if other.token == row.token or end is None:
            continue
        if await _moved_up(context, agent, state, row, other):
            requeue_after.append(_HURRY_SECONDS)
            continue
        if spent and not other.blocked:
            await state.client.block_key(other.token)
            state.table.put(replace(other, blocked=True))
        settled = end + timedelta(seconds=SETTLE_SECONDS)
        if settled <= now:
            over.append(other)
        else:
            requeue_after.append((settled - now).total_seconds() + 1)
    await _take_over(agent, state, row, over)
    if over:
        tokens = [other.token for other in over]
        await state.client.delete_keys(tokens)
        state.table.drop(tokens)
        for token in tokens:
            state.moved_up.pop(token, None)
    return min(requeue_after, default=None)


async def _moved_up(context: Context, agent: OpenClawAgent, state: RouteState, row: KeyRow, other: KeyRow) -> bool:
    """Have an old key end sooner, where it was to live for longer than what is now wanted; once for each shorter time.

    Its end is by the proxy's clock, which is known to the second at best.
    """
    assert row.mark is not None
    runs = [each for each in runs_for(context, agent.metadata.uid) if is_older(context, other, each.not_before)]
    graces = [run.grace for run in runs]
    if row.used and other.short == row.mark.replaces and row.mark.grace == 0:
        graces.append(0)
    if not graces:
        return False
    wanted = min(graces) + (UPTAKE_SECONDS if min(graces) or not row.used else 0)
    end = ends_at(other)
    if end is None or end <= state.now(context) + timedelta(seconds=wanted) + _ROUGHLY:
        return False
    if wanted >= state.moved_up.get(other.token, wanted + 1):
        return False
    await _end_in(context, state, other, wanted)
    state.moved_up[other.token] = wanted
    return True


async def _take_over(agent: OpenClawAgent, state: RouteState, row: KeyRow, over: Sequence[KeyRow]) -> None:
    """Add to the live key what the others have spent beside it, where it is their last hour or worth a call."""
    assert row.mark is not None
    mark = row.mark
    others = [other for other in state.table.of(agent.metadata.uid) if is_before(other, mark)]
    beside = sum((not_yet_carried(other, mark) for other in others), Decimal(0))
    worth = Decimal(str(row.limits.max_budget)) * _WORTH if row.limits.max_budget is not None else None
    if not over and (worth is None or beside <= worth):
        return
    # The mark as the proxy has it: the answer to the last update may have been lost.
    live = await state.client.key(row.token)
    if live is None or live.mark is None:
        return  # the next look finds that
    fresh = await _fresh(state, others)
    beside = sum((not_yet_carried(other, live.mark) for other in fresh), Decimal(0))
    if not beside:
        state.table.put(live)
        return
    mark = replace(live.mark, taken={**live.mark.taken, **carried_from(fresh)})
    spend = float(Decimal(str(live.spend)) + beside)
    try:
        await state.client.update_key(row.token, {"spend": spend, "metadata": live.marked(mark)})
    except LiteLLMError:
        state.table.drop([row.token])  # whether it is done isn't known, so the next look reads it
        raise
    state.table.put(replace(live, spend=spend, mark=mark))


async def _fresh(state: RouteState, rows: Sequence[KeyRow]) -> list[KeyRow]:
    found = [await state.client.key(row.token) for row in rows]
    return [row for row in found if row]
