"""Tables without borders, as kubectl prints them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from litclaw.cli.terminal import Screen, Styled, columns_of, fold

_GAP = 2
_LEAST_WIDTH = 8

Cell = str | Styled


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: its heading.
        right: whether cells are aligned to the right, as numbers are.
        wraps: whether cells may take several lines on a narrow screen.
    """

    name: str
    right: bool = False
    wraps: bool = False


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], screen: Screen, *, spare: Sequence[str] = ()
) -> Iterator[str]:
    """The lines of a table that fits the screen: it lacks as many spare columns as necessary, then cells wrap.

    Args:
        rows: one cell per column.
        spare: names of columns that may be left out, the first one first.
    """
    cells = [[_printable(cell) for cell in row] for row in [[Styled(each.name, "bold") for each in columns], *rows]]
    widths = [max(columns_of(cell.text) for cell in column) for column in zip(*cells, strict=True)]
    kept = _kept(columns, widths, screen.width, spare)
    shown = [columns[index] for index in kept]
    fitting = _shrunk(shown, [widths[index] for index in kept], screen.width)
    for row in cells:
        yield from _lines([row[index] for index in kept], shown, fitting, screen)


def _printable(cell: Cell) -> Styled:
    """A cell without control characters, which would break its line."""
    text, style = cell if isinstance(cell, Styled) else (cell, "")
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return Styled(text, style)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _kept(columns: Sequence[Column], widths: Sequence[int], limit: int | None, spare: Sequence[str]) -> list[int]:
    """Indices of the columns that are shown."""
    kept = list(range(len(columns)))
    for name in spare:
        if limit is None or _total([widths[index] for index in kept]) <= limit:
            break
        kept = [index for index in kept if columns[index].name != name]
    return kept


def _shrunk(columns: Sequence[Column], widths: Sequence[int], limit: int | None) -> list[int]:
    """Widths that fit the limit, as far as cells may wrap: the widest column gives way."""
    found = list(widths)
    wrapping = [index for index, column in enumerate(columns) if column.wraps and widths[index] > _LEAST_WIDTH]
    while limit is not None and wrapping and _total(found) > limit:
        widest = max(wrapping, key=found.__getitem__)
        if found[widest] <= _LEAST_WIDTH:
            break
        found[widest] -= 1
    return found


def _lines(row: Sequence[Styled], columns: Sequence[Column], widths: Sequence[int], screen: Screen) -> Iterator[str]:
    folded = [fold(cell.text, width) for cell, width in zip(row, widths, strict=True)]
    for texts in zip_longest(*folded, fillvalue=""):
        line = ""
        for text, cell, column, width in zip(texts, row, columns, widths, strict=True):
            blanks = " " * (width - columns_of(text))
            painted = screen.paint(text, cell.style)
            line += f"{blanks}{painted}" if column.right else f"{painted}{blanks}"
            line += " " * _GAP
        yield line.rstrip()
