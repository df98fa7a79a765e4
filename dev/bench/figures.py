"""Measured values, each with what was measured beside it and with its goal."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

HEADINGS = ("Section", "Figure", "Measured", "Beside it", "Ratio", "Goal", "Met")
_MEASURED = HEADINGS.index("Measured")


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Attributes:
        beside: a value measured beside it, in the same unit: the machine's limit, another operator's, or another size's.
        goal: the goal of the ratio or of the value, in words; empty: none.
        met: whether the goal is met; None: there is no goal, or none for this size.
    """

    section: str
    name: str
    value: float
    unit: str
    beside: float | None = None
    goal: str = ""
    met: bool | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Identifies the figure across runs."""
        return (self.section, self.name)

    @property
    def ratio(self) -> float | None:
        """The value divided by the one beside it."""
        return self.value / self.beside if self.beside else None

    def row(self) -> tuple[str, ...]:
        """One line of the table, as in `HEADINGS`."""
        ratio = f"{self.ratio:.3f}" if self.ratio is not None else ""
        beside = _amount(self.beside, self.unit) if self.beside is not None else ""
        met = {True: "met", False: "not met", None: ""}[self.met]
        return (self.section, self.name, _amount(self.value, self.unit), beside, ratio, self.goal, met)

    def plain(self) -> dict[str, Any]:
        """The figure as JSON."""
        return {**asdict(self), "ratio": self.ratio}


def at_least(section: str, name: str, value: float, unit: str, beside: float, share: float | None = None) -> Figure:
    """A value with a lower limit: ``share`` of the value beside it; None: no goal."""
    if share is None:
        return Figure(section, name, value, unit, beside)
    return Figure(section, name, value, unit, beside, f"ratio ≥ {share:g}", value >= share * beside)


def at_most(
    section: str, name: str, value: float, unit: str, most: float | None = None, beside: float | None = None
) -> Figure:
    """A value with an upper limit; None: no goal. The value beside it, if given, is for comparison only."""
    if most is None:
        return Figure(section, name, value, unit, beside)
    return Figure(section, name, value, unit, beside, f"≤ {_amount(most, unit)}", value <= most)


def at_most_times(
    section: str, name: str, value: float, unit: str, beside: float, times: float | None = None
) -> Figure:
    """A value with an upper limit: ``times`` the value beside it; None: no goal."""
    if times is None:
        return Figure(section, name, value, unit, beside)
    return Figure(section, name, value, unit, beside, f"ratio ≤ {times:g}", value <= times * beside)


def figures_of(kept: Sequence[dict[str, Any]]) -> list[Figure]:
    """Figures from their JSON."""
    return [Figure(**{name: value for name, value in each.items() if name != "ratio"}) for each in kept]


def headings(has_before: bool) -> list[str]:
    """The table's headings, with a column for an earlier run where there is one."""
    found = list(HEADINGS)
    if has_before:
        found.insert(_MEASURED, "Before")
    return found


def rows(figures: Sequence[Figure], before: Sequence[Figure] | None = None) -> list[list[str]]:
    """The table's lines.

    Args:
        before: an earlier run's figures. A figure that it lacks has an empty cell.
    """
    earlier = {each.key: each for each in before or ()}
    found = []
    for figure in figures:
        line = list(figure.row())
        if before is not None:
            line.insert(_MEASURED, _earlier(earlier.get(figure.key)))
        found.append(line)
    return found


def _earlier(figure: Figure | None) -> str:
    if figure is None:
        return ""
    amount = _amount(figure.value, figure.unit)
    return amount if figure.ratio is None else f"{amount} ({figure.ratio:.3f})"


def _amount(value: float, unit: str) -> str:
    digits = 0 if value == int(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def quantile(ordered: list[float], share: float) -> float:
    """The nearest-rank quantile of sorted values."""
    return ordered[max(1, math.ceil(len(ordered) * share)) - 1]
