"""The period of a budget, which a key's successor continues.

LiteLLM counts days, weeks and months by the calendar, so two keys' periods end together. It counts other periods from the
key's creation or from the current time (1.106.2, ``duration_parser.py``), and its API can't set a date. There the
successor's mark keeps the date, and we reset the budget. LiteLLM resets budgets by a job every ten minutes, so a period may
be over while the key still shows the old spend.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from litclaw.litellm.keys import KeyRow, Limits, utc
from litclaw.litellm.spend import carried_from
from litclaw.reconcile.proxy.session import ProxySession

_BY_THE_CALENDAR = {"daily", "weekly", "monthly", "24h", "1d", "7d", "30d", "1w", "1mo"}


def inherited_reset(now: datetime, predecessors: Sequence[KeyRow], limits: Limits) -> str:
    """For the mark of a new key: when its budget resets, where LiteLLM would reset it later.

    Args:
        now: the time by the proxy's clock. LiteLLM resets budgets by that clock; ours may be far ahead.
        predecessors: the agent's other keys, of which the newest decides.
    """
    newest = _newest(predecessors, limits)
    if newest is None or limits.budget_duration in (None, *_BY_THE_CALENDAR) or period_is_over(now, newest):
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
    if newest is None or limits.budget_duration not in _BY_THE_CALENDAR or period_is_over(now, newest):
        return None
    return newest.budget_resets_at


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


def budget_resets_at(row: KeyRow) -> str | None:
    """When a key's budget is reset."""
    return (row.mark.budget_resets_at if row.mark else "") or row.budget_resets_at


def seconds_until_reset(now: datetime, row: KeyRow) -> float | None:
    """Seconds until we reset the budget; None: LiteLLM does it.

    Args:
        now: the time by the proxy's clock.
    """
    if row.mark is None or not row.mark.budget_resets_at:
        return None
    return (utc(row.mark.budget_resets_at) - now).total_seconds()


async def reset_budget_if_due(session: ProxySession, row: KeyRow) -> KeyRow:
    """Reset the budget where that is due and LiteLLM doesn't do it.

    Raises:
        LiteLLMError: the proxy didn't do it.
    """
    wait = seconds_until_reset(session.now(), row)
    if row.mark is None or wait is None or wait > 0:
        return row
    others = [other for other in session.table.of(row.mark.agent) if other.token != row.token]
    mark = replace(row.mark, budget_resets_at="", carried={**row.mark.carried, **carried_from(others)})
    changes = {"spend": 0.0, "budget_duration": row.limits.budget_duration, "metadata": row.marked(mark)}
    await session.client.update_key(row.token, changes)
    fresh = await session.client.key(row.token) or row
    session.table.put(fresh)
    return fresh
