"""What no field of a key of ours exceeds. A proxy may answer anything, and its answers go into arithmetic, statuses and memory."""

import re
from datetime import datetime
from typing import Any, Final, TypeVar

T = TypeVar("T")

MOST_GENERATIONS: Final = 2_000_000_000
MOST_CARRIED: Final = 1_000
LONGEST_GRACE: Final = 7 * 86_400
"""In seconds, as the API bounds ``gracePeriod``."""
_LONGEST_TEXT = 1_024
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_FULL_NAME = re.compile(rf"{_NAMESPACE.pattern}/[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_MOST = 1e15
_YEARS = range(1970, 9_000)
"""Of a time that periods can be added to."""


def text(value: Any) -> str:
    """A text.

    Raises:
        ValueError: it is none, or is too long.
    """
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise ValueError("not a text of ours")
    return value


def namespace(value: Any) -> str:
    """The name of a namespace, or nothing. It becomes part of a URL of the API server.

    Raises:
        ValueError: it can't be one.
    """
    if value and not _NAMESPACE.fullmatch(text(value)):
        raise ValueError("not a namespace")
    return text(value)


def full_name(value: Any) -> str:
    """``<namespace>/<name>`` of a resource, or nothing.

    Raises:
        ValueError: it can't be one.
    """
    if value and not _FULL_NAME.fullmatch(text(value)):
        raise ValueError("not the name of a resource")
    return text(value)


def time(value: T) -> T:
    """A time in ISO 8601, or what stands for none.

    Raises:
        TypeError, ValueError: it is no time.
    """
    if value and datetime.fromisoformat(value).year not in _YEARS:  # type: ignore[arg-type]
        raise ValueError("not a time of ours")
    return value


def amount(value: T) -> T:
    """A number of US dollars, tokens or seconds, or None.

    Raises:
        ValueError: it is no number, or is too large.
    """
    if value is None:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_MOST <= value <= _MOST:
        raise ValueError("not an amount of ours")
    return value
