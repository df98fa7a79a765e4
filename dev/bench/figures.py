"""What was measured, with what it is measured by: the limit beside it, and the goal."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

Row = tuple[str, str, str, str, str, str, str]
HEADINGS: Row = ("Section", "Figure", "Measured", "Limit beside it", "Ratio", "Goal", "Met")


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        beside: what was measured beside it, in the same unit: the physical limit, or another's figure.
        goal: what the ratio or, where there is none, the value should be, in words.
        met: whether it is; None: there is no goal, or none for this size.
    """

    section: str
    name: str
    value: float
    unit: str
    beside: float | None = None
    goal: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """The value in parts of the limit."""
        return self.value / self.beside if self.beside else None

    def row(self) -> Row:
        """As a line of the table."""
        ratio = f"{self.ratio:.3f}" if self.ratio is not None else ""
        beside = _amount(self.beside, self.unit) if self.beside is not None else ""
        met = {True: "met", False: "not met", None: ""}[self.met]
        return (self.section, self.name, _amount(self.value, self.unit), beside, ratio, self.goal, met)

    def plain(self) -> dict[str, Any]:
        """As it is kept."""
        return {**asdict(self), "ratio": self.ratio}


def at_least(section: str, name: str, value: float, unit: str, beside: float, share: float | None = None) -> Figure:
    """A rate, which is to be a share of what is possible."""
    if share is None:
        return Figure(section, name, value, unit, beside)
    return Figure(section, name, value, unit, beside, f"ratio ≥ {share:g}", value >= share * beside)


def at_most(section: str, name: str, value: float, unit: str, most: float | None = None) -> Figure:
    """An amount, which is to be small."""
    if most is None:
        return Figure(section, name, value, unit)
    return Figure(section, name, value, unit, None, f"≤ {_amount(most, unit)}", value <= most)


def figures_of(kept: Sequence[dict[str, Any]]) -> list[Figure]:
    """Figures as they were kept."""
    return [Figure(**{name: value for name, value in each.items() if name != "ratio"}) for each in kept]


def _amount(value: float, unit: str) -> str:
    digits = 0 if value == int(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()
