"""The period of a budget, which a key's successor continues.

LiteLLM counts days, weeks, months and even parts of a day or an hour by the calendar and the clock, so two keys' periods
end together. It counts other periods from the key's creation or from the current time (1.106.2, ``duration_parser.py``),
and its API can't set a date. There the successor's mark keeps the date, and we reset the budget. LiteLLM resets budgets by
a job every ten minutes, so a period may be over while the key still shows the old spend.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from litclaw.litellm.keys import KeyRow, Limits, utc
from litclaw.litellm.spend import agent_spend, carried_from, is_before, spend_since_reset
from litclaw.reconcile.proxy.session import ProxySession

_BY_THE_CALENDAR = {"daily", "weekly", "monthly", "1d", "7d", "30d", "1w", "1mo"}
_BY_THE_CLOCK = {"h": 24, "m": 60, "s": 60}
"""Units of which a number that divides this one ends at the same times for every key."""
_LENGTH = re.compile(r"(\d+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def inherited_reset(now: datetime, predecessors: Sequence[KeyRow], limits: Limits) -> str:
    """For the mark of a new key: when its budget resets, where LiteLLM would reset it later.

    Args:
        now: the time by the proxy's clock. LiteLLM resets budgets by that clock; ours may be far ahead.
        predecessors: the agent's other keys, of which the newest decides.
    """
    newest = _newest(predecessors, limits)
    duration = limits.budget_duration
    if newest is None or duration is None or _ends_for_all_keys(duration) or period_is_over(now, newest):
        return ""
    return budget_resets_at(newest) or ""


def shared_reset(now: datetime, predecessors: Sequence[KeyRow], limits: Limits) -> str | None:
    """For a new key: when LiteLLM resets its budget, as known from a predecessor. `/key/generate` doesn't return the date.

    Args:
        now: the time by the proxy's clock.
        predecessors: the agent's other keys.

    Returns:
        The date, if the period is counted by the calendar; None: unknown until the keys are read again.
    """
    newest = _newest(predecessors, limits)
    duration = limits.budget_duration
    if newest is None or duration is None or not _ends_for_all_keys(duration) or period_is_over(now, newest):
        return None
    return newest.budget_resets_at


def _ends_for_all_keys(duration: str) -> bool:
    """True if periods of that length end at the same times, whenever a key was created."""
    if duration in _BY_THE_CALENDAR:
        return True
    length = _LENGTH.fullmatch(duration)
    return length is not None and length[2] in _BY_THE_CLOCK and _BY_THE_CLOCK[length[2]] % int(length[1]) == 0


def _newest(predecessors: Sequence[KeyRow], limits: Limits) -> KeyRow | None:
    """The newest of an agent's keys, if it has the same budget period."""
    newest = max(predecessors, key=lambda row: row.mark.generation if row.mark else 0, default=None)
    return newest if newest and newest.limits.budget_duration == limits.budget_duration else None


def period_is_over(now: datetime, row: KeyRow) -> bool:
    """True if a key's period is over, though it still shows the spend of that period.

    Args:
        now: the time by the proxy's clock.
    """
    end = budget_resets_at(row)
    return end is not None and utc(end) <= now


def spend_of_period(now: datetime, rows: Sequence[KeyRow]) -> float:
    """The spend of an agent's keys together, in US dollars, without that of a period that is over.

    Args:
        now: the time by the proxy's clock.
    """
    newest = max(rows, key=lambda row: row.mark.generation if row.mark else 0, default=None)
    if newest is None or newest.mark is None:
        return newest.spend if newest else 0.0
    if not period_is_over(now, newest):
        return agent_spend([without_past(now, row) for row in rows])
    mark = newest.mark
    return float(sum((spend_since_reset(row, mark) for row in rows if is_before(row, mark)), Decimal(0)))


def without_past(now: datetime, row: KeyRow) -> KeyRow:
    """An old key without spend of a period that is over. LiteLLM resets no key that has expired.

    Args:
        now: the time by the proxy's clock.
    """
    return replace(row, spend=0.0) if row.budget_resets_at and utc(row.budget_resets_at) <= now else row


def budget_resets_at(row: KeyRow) -> str | None:
    """When a key's budget is reset."""
    return our_reset(row) or row.budget_resets_at


def our_reset(row: KeyRow) -> str:
    """When we reset a key's budget; empty: LiteLLM does it.

    If LiteLLM was faster, because no operator ran, its next date is a whole period or more after ours; until then it is
    less. The budget isn't reset again.
    """
    ours = row.mark.budget_resets_at if row.mark else ""
    length = _LENGTH.fullmatch(row.limits.budget_duration or "")
    if not ours or not length or row.budget_resets_at is None:
        return ours
    try:
        next_one = utc(ours) + timedelta(seconds=int(length[1]) * _SECONDS[length[2]])
    except OverflowError:
        return ours  # a period of thousands of years, which a proxy may show
    return "" if utc(row.budget_resets_at) >= next_one else ours


def seconds_until_reset(now: datetime, row: KeyRow) -> float | None:
    """Seconds until we reset the budget; None: LiteLLM does it.

    Args:
        now: the time by the proxy's clock.
    """
    ours = our_reset(row)
    return (utc(ours) - now).total_seconds() if ours else None


async def reset_budget_if_due(session: ProxySession, row: KeyRow) -> KeyRow:
    """Reset the budget where that is due and LiteLLM doesn't do it.

    Raises:
        LiteLLMError: the proxy didn't do it.
    """
    now = session.now()
    if row.mark is None or not _is_due(now, row):
        return row
    # LiteLLM may have reset it since the table was read, or we have, and the response was lost.
    rows = await session.table.refresh_agent(session.client, row.mark.agent)
    live = session.table.get(row.token)
    if live is None or live.mark is None or not _is_due(now, live):
        return live or row
    others = [other for other in rows if other.token != row.token]
    mark = replace(live.mark, budget_resets_at="", carried={**live.mark.carried, **carried_from(others)})
    changes = {
        "spend": spend_of_period(now, rows),
        "budget_duration": live.limits.budget_duration,
        "metadata": live.marked(mark),
    }
    await session.client.update_key(row.token, changes)
    fresh = await session.client.key(row.token) or live
    session.table.put(fresh)
    return fresh


def _is_due(now: datetime, row: KeyRow) -> bool:
    wait = seconds_until_reset(now, row)
    return wait is not None and wait <= 0
