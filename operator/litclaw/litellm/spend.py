"""Budget arithmetic over an agent's keys.

A new key starts with the spend of the older ones, so that a rotation doesn't hand out the budget twice; its mark records
how much of each older key's spend it carries. All amounts are US dollars.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from litclaw.litellm.keys import Carried, KeyRow, Mark, utc


def agent_spend(rows: Sequence[KeyRow]) -> float:
    """The spend of an agent's keys together in this budget period.

    The newest key's spend includes the carried spend of every older one. A key that was made and never delivered (the
    operator died in between) has no spend of its own, so it counts for nothing. Keys of one generation are retries of one
    mint whose answer was lost: they start with the same spend and at most one was delivered, so only the highest counts.
    """
    if not rows:
        return 0.0
    newest = max(rows, key=lambda row: (row.mark.generation if row.mark else 0, row.spend))
    mark = newest.mark
    if mark is None:
        return newest.spend
    older = sum((not_yet_carried(row, mark) for row in rows if is_before(row, mark)), Decimal(0))
    return float(_exact(newest.spend) + older)


def not_yet_carried(row: KeyRow, mark: Mark) -> Decimal:
    """The part of an older key's spend that a newer key, by its mark, doesn't carry."""
    carried, period_end = mark.carried.get(row.short, (0.0, 0))
    spend = _exact(row.spend)
    if period_end != _period_end(row) or spend < _exact(carried):
        return spend  # the older key's budget was reset since, and its spend began at 0
    return spend - _exact(carried)


def spend_since_reset(row: KeyRow, mark: Mark) -> Decimal:
    """An older key's spend if its budget was reset since a newer key, by its mark, carried it; else 0."""
    _, period_end = mark.carried.get(row.short, (0.0, 0))
    return _exact(row.spend) if period_end != _period_end(row) else Decimal(0)


def carried_from(rows: Iterable[KeyRow]) -> dict[str, Carried]:
    """`Mark.carried` of a key that carries the whole spend of these keys."""
    return {row.short: (row.spend, _period_end(row)) for row in rows}


def is_before(row: KeyRow, mark: Mark) -> bool:
    """True if a key is of an earlier generation than the key with that mark, so that both may have spend of their own."""
    return row.mark is not None and row.mark.generation < mark.generation


def _period_end(row: KeyRow) -> int:
    """The end of a key's budget period, in seconds since 1970; 0: the budget has no period."""
    return int(utc(row.budget_resets_at).timestamp()) if row.budget_resets_at else 0


def _exact(amount: float) -> Decimal:
    return Decimal(str(amount))
