"""The period of a budget, which a key's successor goes on with.

LiteLLM counts most periods by the calendar, so two keys' ends are the same. Those of days other than 1, 7 and 30, and of
several months, it counts from the key's birth (1.106.2, ``duration_parser.py``), and its API sets no date: there the
successor's mark keeps the date, and we start the budget anew.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime

from ..litellm.keys import KeyRow, Limits, taken_over
from .world import RouteState, World

_FROM_BIRTH = re.compile(r"(?P<count>\d+)(?P<unit>d|w|mo)")
_BY_THE_CALENDAR = {("d", 1), ("d", 7), ("d", 30), ("w", 1), ("mo", 1)}


def inherited(before: KeyRow | None, limits: Limits) -> str:
    """For the mark of a key's successor: when its budget starts anew, where LiteLLM would do that later."""
    if before is None or before.limits.budget_duration != limits.budget_duration:
        return ""
    match = _FROM_BIRTH.fullmatch(limits.budget_duration or "")
    if match is None or (match["unit"], int(match["count"])) in _BY_THE_CALENDAR:
        return ""
    return anew_at(before) or ""


def anew_at(row: KeyRow) -> str | None:
    """When a key's budget starts anew."""
    return (row.mark.anew_at if row.mark else "") or row.budget_resets_at


def seconds_until_anew(world: World, row: KeyRow) -> float | None:
    """After how many seconds the budget is to be started anew by us; None: LiteLLM does it."""
    if row.mark is None or not row.mark.anew_at:
        return None
    end = datetime.fromisoformat(row.mark.anew_at)
    return ((end if end.tzinfo else end.replace(tzinfo=UTC)) - world.now()).total_seconds()


async def start_anew(world: World, state: RouteState, row: KeyRow) -> KeyRow:
    """Start the budget anew where that is due and LiteLLM doesn't do it.

    Raises:
        LiteLLMError: the proxy couldn't be told.
    """
    wait = seconds_until_anew(world, row)
    if row.mark is None or wait is None or wait > 0:
        return row
    others = [other for other in state.table.of(row.mark.agent) if other.token != row.token]
    mark = replace(row.mark, anew_at="", taken={**row.mark.taken, **taken_over(others)})
    changes = {"spend": 0.0, "budget_duration": row.limits.budget_duration, "metadata": row.marked(mark)}
    await state.client.update_key(row.token, changes)
    fresh = await state.client.key(row.token) or row
    state.table.put(fresh)
    return fresh
