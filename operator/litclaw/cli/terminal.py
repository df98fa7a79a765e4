"""Styled text for a terminal: colours, and lines that fit its width.

Rich does this too, but takes more than a second of CPU to load and to lay out a table of 1,000 rows. It is used where
a display moves: the progress bar of `litclaw rotate --wait`, and `litclaw status --watch`.
"""

import os
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_DEFAULT_WIDTH = 80
_LEAST_WIDTH = 8


class Styled(NamedTuple):
    """Text with a style: words such as ``bold red``; empty: none."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Screen:
    """What a stream can show.

    Attributes:
        width: in columns; None: unlimited, as for a pipe.
        colours: whether styles are shown.
    """

    width: int | None
    colours: bool

    @classmethod
    def of(cls, stream: TextIO) -> "Screen":
        """The screen of a stream. ``COLUMNS`` overrides its width, and ``NO_COLOR`` (no-color.org) disables colours."""
        if not stream.isatty():
            return cls(width=None, colours=False)
        colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(width=_width_of(stream), colours=colours)

    def paint(self, text: str, style: str) -> str:
        """Text in a style."""
        if not (text and style and self.colours):
            return text
        return f"\x1b[{';'.join(_CODES[word] for word in style.split())}m{text}\x1b[0m"

    def lines(self, *parts: Styled, indent: int = 0) -> Iterator[str]:
        """Parts of a text, one after the other, as lines that are broken between words."""
        text = "".join(part.text for part in parts)
        start = 0
        for line in self._broken(text, indent):
            start = text.index(line, start)
            end = start + len(line)
            yield " " * indent + self._painted(parts, start, end)
            start = end

    def _broken(self, text: str, indent: int) -> Iterator[str]:
        for line in text.split("\n"):
            yield from [line] if self.width is None else fold(line, max(self.width - indent, _LEAST_WIDTH))

    def _painted(self, parts: Sequence[Styled], start: int, end: int) -> str:
        """The text from one position to another."""
        painted = ""
        for text, style in parts:
            painted += self.paint(text[max(start, 0) : max(end, 0)], style)
            start, end = start - len(text), end - len(text)
        return painted


def fold(text: str, width: int) -> list[str]:
    """Text as lines of at most some columns, broken between words where possible."""
    if columns_of(text) <= width:
        return [text]
    return textwrap.wrap(text, width, break_on_hyphens=False, expand_tabs=False, replace_whitespace=False) or [""]


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes: East Asian characters take two."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _width_of(stream: TextIO) -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _DEFAULT_WIDTH
    except OSError:
        return _DEFAULT_WIDTH
