"""An agent's spend over several keys: no budget is handed out twice, and no spend is lost."""

from dataclasses import replace
from decimal import Decimal

import pytest
from litclaw.litellm.keys import KeyRow, Limits, Mark
from litclaw.litellm.spend import agent_spend, carried_from, is_before, not_yet_carried


def row(token: str, spend: float, *, carried: dict[str, float] | None = None, generation: str = "") -> KeyRow:
    """A key of one agent. Generations go by the alphabet."""
    carries = {older: (amount, 0) for older, amount in (carried or {}).items()}
    return KeyRow(token, "alias", Limits(), spend, Mark("cluster", "agent", ord(generation or token), carried=carries))


def mark(of: KeyRow) -> Mark:
    """A key's mark."""
    assert of.mark
    return of.mark


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], 0.0),
        ([row("a", 3.5)], 3.5),
        # A new key starts with the spend of the old one, which counts once.
        ([row("a", 3.5), row("b", 3.5, carried={"a": 3.5})], 3.5),
        # Both were used since.
        ([row("a", 4.0), row("b", 3.75, carried={"a": 3.5})], 4.25),
        # The old one is deleted.
        ([row("b", 3.75, carried={"a": 3.5})], 3.75),
        # Two were made and never delivered.
        ([row("a", 4.0), row("b", 3.5, carried={"a": 3.5}), row("c", 4.0, carried={"a": 4.0, "b": 3.5})], 4.0),
        # Two of one generation: the answer to the first was lost, and only one of them was delivered.
        ([row("a", 4.0), row("b", 4.0, carried={"a": 4.0}), row("c", 4.5, carried={"a": 4.0}, generation="b")], 4.5),
        ([row("a", 4.25), row("b", 4.5, carried={"a": 4.0}), row("c", 4.0, carried={"a": 4.0}, generation="b")], 4.75),
        # Both budgets were reset, and both keys were used since.
        ([row("a", 1.0), row("b", 2.0, carried={"a": 48.0})], 3.0),
        # The older one isn't carried, such as a retained key.
        ([row("a", 2.0), row("b", 1.0)], 3.0),
        # A sum of floats would be 0.30000000000000004.
        ([row("a", 0.1), row("b", 0.2)], 0.3),
        # A key without a mark, such as one that somebody made by hand.
        ([replace(row("a", 1.5), mark=None)], 1.5),
    ],
)
def test_each_dollar_of_an_agent_counts_once(rows: list[KeyRow], expected: float) -> None:
    assert agent_spend(rows) == expected
    assert agent_spend(rows[::-1]) == expected


def test_spend_that_is_carried_is_not_carried_again() -> None:
    old, new = row("a", 4.0), row("b", 3.75, carried={"a": 3.5})
    assert not_yet_carried(old, mark(new)) == Decimal("0.5")
    after = replace(new, spend=4.25, mark=replace(mark(new), carried=carried_from([old])))
    assert not_yet_carried(old, mark(after)) == 0 and agent_spend([old, after]) == agent_spend([old, new]) == 4.25


def test_the_end_of_its_period_tells_that_a_budget_was_reset() -> None:
    old = replace(row("a", 10.0), budget_resets_at="2026-11-24T10:00:00Z")
    new = mark(row("b", 10.0))
    new = replace(new, carried=carried_from([old]))
    assert new.carried == {"a": (10.0, 1795514400)}
    same = replace(old, spend=12.0, budget_resets_at="2026-11-24T10:00:00+00:00")
    assert not_yet_carried(same, new) == 2
    assert not_yet_carried(replace(same, budget_resets_at="2026-11-24T11:00:00Z"), new) == 12
    assert not_yet_carried(replace(same, spend=0.5), new) == Decimal("0.5"), "it is less than was carried"


def test_keys_of_one_generation_are_not_before_each_other() -> None:
    assert is_before(row("a", 0), mark(row("b", 0))) and not is_before(row("b", 0), mark(row("a", 0)))
    assert not is_before(row("b", 0), mark(row("c", 0, generation="b")))
    assert not is_before(replace(row("a", 0), mark=None), mark(row("b", 0)))
