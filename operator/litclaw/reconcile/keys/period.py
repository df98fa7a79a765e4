"""The period of a budget, which a key's successor goes on with.

LiteLLM counts days, weeks and months by the calendar, so two keys' ends are the same. Other periods it counts from the
key's birth or from what the clock shows then (1.106.2, ``duration_parser.py``), and its API sets no date: there the
successor's mark keeps the date, and we start the budget anew. LiteLLM starts budgets anew by a job every ten minutes, so a
period may be over and a key not know it yet.
"""

from dataclasses import replace
from datetime import datetime

from litclaw.litellm.keys import KeyRow, Limits, carried_from, utc
from litclaw.reconcile.context import Context, RouteState

_BY_THE_CALENDAR = {"daily", "weekly", "monthly", "24h", "1d", "7d", "30d", "1w", "1mo"}


def inherited(now: datetime, before: KeyRow | None, limits: Limits) -> str:
    """For the mark of a key's successor: when its budget starts anew, where LiteLLM might do that later.

    Args:
        now: by the proxy's clock, here as in what follows: by ours a period may seem to be over long before it is.
    """
    if before is None or before.limits.budget_duration != limits.budget_duration:
        return ""
    if limits.budget_duration in (None, *_BY_THE_CALENDAR) or is_over(now, before):
        return ""
    return anew_at(before) or ""


def is_over(now: datetime, row: KeyRow) -> bool:
    """Whether a key's period is over, though it still shows what was spent in it."""
    end = anew_at(row)
    return end is not None and utc(end) <= now


def anew_at(row: KeyRow) -> str | None:
    """When a key's budget starts anew."""
    return (row.mark.anew_at if row.mark else "") or row.budget_resets_at


def seconds_until_reset(now: datetime, row: KeyRow) -> float | None:
    """After how many seconds the budget is to be started anew by us; None: LiteLLM does it."""
    if row.mark is None or not row.mark.anew_at:
        return None
    return (utc(row.mark.anew_at) - now).total_seconds()


async def reset_budget_if_due(context: Context, state: RouteState, row: KeyRow) -> KeyRow:
    """Start the budget anew where that is due and LiteLLM doesn't do it.

    Raises:
        LiteLLMError: the proxy couldn't be told.
    """
    wait = seconds_until_reset(state.now(context), row)
    if row.mark is None or wait is None or wait > 0:
        return row
    others = [other for other in state.table.of(row.mark.agent) if other.token != row.token]
    mark = replace(row.mark, anew_at="", taken={**row.mark.taken, **carried_from(others)})
    changes = {"spend": 0.0, "budget_duration": row.limits.budget_duration, "metadata": row.marked(mark)}
    await state.client.update_key(row.token, changes)
    fresh = await state.client.key(row.token) or row
    state.table.put(fresh)
    return fresh
