"""How large plain data is, without writing it out as JSON."""

from collections.abc import Iterable
from typing import Any

_PUNCTUATION = 4


def exceeds(value: Any, size: int) -> bool:
    """True if plain data is larger than about that many characters of JSON. Stops as soon as that is known."""
    return _rest(size, (value,)) < 0


def characters(value: Any, most: int) -> int:
    """About how many characters of JSON plain data is, counted until there are more than ``most``."""
    return most - _rest(most, (value,))


def _rest(size: int, values: Iterable[Any]) -> int:
    """What is left of a size after some values; negative if it is too small."""
    for value in values:
        size -= _PUNCTUATION
        if isinstance(value, str):
            size -= len(value)
        elif isinstance(value, dict):
            size = _rest(_rest(size, value), value.values())
        elif isinstance(value, list):
            size = _rest(size, value)
        if size < 0:
            break
    return size
