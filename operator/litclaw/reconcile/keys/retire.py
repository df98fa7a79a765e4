"""Retiring a replaced key: it gets an end at once, the proxy ends it, and we carry over its spend and delete it afterwards.

docs/design/rotation.md gives the reason for each of the times.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import SecretStr

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.litellm.errors import LiteLLMError
from litclaw.litellm.keys import KeyRow, utc
from litclaw.litellm.spend import carried_from, is_before, not_yet_carried
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.core.secret_values import values
from litclaw.reconcile.keys.block import BlockReason, block_key, unblock_key
from litclaw.reconcile.keys.delete import delete_keys
from litclaw.reconcile.keys.due import is_older, runs_for
from litclaw.reconcile.keys.period import without_past
from litclaw.reconcile.proxy.session import ProxySession

MOST_RETIRING = 5
"""An agent may have that many old keys that are still valid; the oldest end at once."""
MOST_OLD = 10
"""An agent may have that many old keys at all, ended ones among them; the next rotation waits."""
_ROUGHLY = timedelta(seconds=5)
_WORTH = Decimal("0.01")
"""Spend of old keys is carried over while they are valid if it exceeds this share of the budget; the rest at their end."""


def ends_at(row: KeyRow) -> datetime | None:
    """When the proxy itself refuses a key."""
    return utc(row.expires) if row.expires is not None else None


def retiring_until(session: ProxySession, uid: str) -> datetime | None:
    """When the last of an agent's old keys ends, if one is still valid."""
    ends = [end for row in session.table.of(uid) if (end := ends_at(row)) and end > session.now()]
    return max(ends, default=None)


async def retire_old_keys(
    context: Context, agent: OpenClawAgent, session: ProxySession, row: KeyRow, value: SecretStr | None = None
) -> float | None:
    """Bring every key of the agent but the live one closer to its end.

    A replaced key gets an end; a surplus key, which no Secret has any more, is deleted; an ended key is deleted when its spend is
    carried over.

    Args:
        row: the live key.
        value: its value, where it has just been written into the Secret.

    Returns:
        Seconds after which to call again, or None.

    Raises:
        Blocked: the new key isn't accepted yet, or somebody has deleted it.
        LiteLLMError: the proxy didn't do it.
    """
    others = [other for other in session.table.of(agent.metadata.uid) if other.token != row.token]
    if not others:
        return None
    replaced = [other for other in others if _is_replaced(row, other)]
    if replaced and not row.blocked:
        await _require_accepted(context, agent, session, value)
    elif replaced:
        replaced = []  # nobody uses a blocked key, so nobody needs the old one meanwhile
    if surplus := [other for other in others if other.expires is None and other not in replaced]:
        await _carry_over(agent, session, row, surplus)
        await delete_keys(session, [other.token for other in surplus])
    if replaced:
        await _set_ends(session, row, replaced)
    await _end_oldest(agent, session, row)
    return await _advance(context, agent, session, row)


def _is_replaced(row: KeyRow, other: KeyRow) -> bool:
    return other.expires is None and row.mark is not None and other.short == row.mark.replaces


async def _require_accepted(
    context: Context, agent: OpenClawAgent, session: ProxySession, value: SecretStr | None
) -> None:
    if value is None:
        found = await values(context, agent.metadata.namespace, agent.secret_name)
        value = (found or {}).get(names.API_KEY)
    if value is None or not await session.client.accepts(value):
        message = "Waits for the proxy to accept the new key; the old one stays valid."
        raise Blocked(
            ConditionType.KEY_READY, "NotAcceptedYet", message, stalled=False, retry=intervals.NEW_KEY_REFUSED
        )


def key_gone(session: ProxySession, row: KeyRow) -> Blocked:
    """Forget a live key that somebody has deleted at the proxy; returns the condition, after which the next pass makes one."""
    session.table.drop([row.token])
    message = f"The key {row.alias!r} was deleted at the proxy just now; another one is created."
    return Blocked(ConditionType.KEY_READY, "KeyGone", message, stalled=False, retry=1.0)


async def _set_ends(session: ProxySession, row: KeyRow, replaced: Sequence[KeyRow]) -> None:
    assert row.mark is not None
    for other in replaced:
        await end_after(session, other, intervals.UPTAKE + row.mark.grace)
    if row.mark.grace == 0:
        session.hurry(intervals.UPTAKE)


def ends_later(session: ProxySession, row: KeyRow, seconds: float) -> bool:
    """True if a key is valid for longer than some seconds. We know the proxy's clock to the second at best."""
    end = ends_at(row)
    return end is None or end > session.now() + timedelta(seconds=seconds) + _ROUGHLY


async def end_after(session: ProxySession, row: KeyRow, seconds: float) -> None:
    """Make the proxy refuse a key after some seconds, whether or not this process lives; with 0, now.

    Raises:
        LiteLLMError: the proxy didn't do it.
    """
    if seconds <= 0 and not row.blocked:
        await session.client.block_key(row.token)
        row = replace(row, blocked=True)
    await session.client.update_key(row.token, {"duration": f"{max(1, round(seconds))}s"})
    session.table.put(replace(row, expires=(session.now() + timedelta(seconds=max(1, seconds))).isoformat()))


async def _end_oldest(agent: OpenClawAgent, session: ProxySession, row: KeyRow) -> None:
    """End the oldest keys that are still valid, where there are more than `MOST_RETIRING`."""
    now = session.now()
    valid = [
        other
        for other in session.table.of(agent.metadata.uid)
        if other.token != row.token and (end := ends_at(other)) and end > now + _ROUGHLY
    ]
    for other in valid[: max(0, len(valid) - MOST_RETIRING)]:
        await end_after(session, other, 0)


async def _advance(context: Context, agent: OpenClawAgent, session: ProxySession, row: KeyRow) -> float | None:
    """For the keys that have an end: move it up where that is due; delete the key well after it."""
    now = session.now()
    over: list[KeyRow] = []
    requeue_after: list[float] = []
    spent = row.limits.max_budget is not None and row.spend >= row.limits.max_budget
    for other in session.table.of(agent.metadata.uid):
        end = ends_at(other)
        if other.token == row.token or end is None:
            continue
        if await _move_end_up(context, agent, session, row, other):
            requeue_after.append(intervals.HURRY)
            continue
        if spent and not other.blocked:
            await block_key(session, other, BlockReason.SPENT)
        elif not spent and not agent.spec.suspend and end > now + _ROUGHLY:
            await unblock_key(session, other)  # there is budget again, or the agent goes on
        settled = end + timedelta(seconds=intervals.SETTLE)
        if settled <= now:
            over.append(other)
        else:
            requeue_after.append((settled - now).total_seconds() + 1)
    await _carry_over(agent, session, row, over)
    if over:
        tokens = [other.token for other in over]
        await session.client.delete_keys(tokens)
        session.table.drop(tokens)
        for token in tokens:
            session.ends_moved_up.pop(token, None)
    return min(requeue_after, default=None)


async def _move_end_up(
    context: Context, agent: OpenClawAgent, session: ProxySession, row: KeyRow, other: KeyRow
) -> bool:
    """Move an old key's end up if a shorter time is wanted now; once for each shorter time.

    The end is by the proxy's clock, which we know to the second at best.
    """
    assert row.mark is not None
    graces = [run.grace for run in runs_for(context, agent.metadata.uid) if is_older(context, other, run.not_before)]
    if row.used and other.short == row.mark.replaces and row.mark.grace == 0:
        graces.append(0)
    if not graces:
        return False
    wanted = min(graces) + (intervals.UPTAKE if min(graces) or not row.used else 0)
    if not ends_later(session, other, wanted):
        return False
    if wanted >= session.ends_moved_up.get(other.token, wanted + 1):
        return False
    await end_after(session, other, wanted)
    session.ends_moved_up[other.token] = wanted
    return True


async def _carry_over(agent: OpenClawAgent, session: ProxySession, row: KeyRow, over: Sequence[KeyRow]) -> None:
    """Add to the live key the spend of the others, if one of them is over or their spend is worth a call."""
    assert row.mark is not None
    mark = row.mark
    others = [other for other in session.table.of(agent.metadata.uid) if is_before(other, mark)]
    beside = sum((not_yet_carried(other, mark) for other in others), Decimal(0))
    worth = Decimal(str(row.limits.max_budget)) * _WORTH if row.limits.max_budget is not None else None
    if not over and (worth is None or beside <= worth):
        return
    # The mark as the proxy has it: the response to the last update may have been lost.
    live = await session.client.key(row.token)
    if live is None or live.mark is None:
        raise key_gone(session, row)  # the others' spend is known from them alone, so they stay
    fresh = await _fresh(session, others)
    now = session.now()
    beside = sum((not_yet_carried(without_past(now, other), live.mark) for other in fresh), Decimal(0))
    if not beside:
        session.table.put(live)
        return
    mark = replace(live.mark, carried={**live.mark.carried, **carried_from(fresh)})
    spend = float(Decimal(str(live.spend)) + beside)
    try:
        await session.client.update_key(row.token, {"spend": spend, "metadata": live.marked(mark)})
    except LiteLLMError:
        session.table.drop([row.token])  # the outcome is unknown, so the next pass reads the key
        raise
    session.table.put(replace(live, spend=spend, mark=mark))


async def _fresh(session: ProxySession, rows: Sequence[KeyRow]) -> list[KeyRow]:
    found = [await session.client.key(row.token) for row in rows]
    return [row for row in found if row]
