"""Durations in resources, such as 90s, 30m or 720h."""

from typing import Annotated, Final

from pydantic import Field

from litclaw.api.cel import Matches

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}

Duration = Annotated[
    str,
    Field(max_length=7),
    Matches(r"^(0s|[1-9][0-9]{0,5}(s|m|h))$", "must be a number with s, m or h, such as 90s, 30m or 720h; or 0s"),
]
"""Whole seconds, minutes or hours; 0s is the shortest."""

Timeout = Annotated[
    str,
    Field(max_length=12),
    Matches(r"^[1-9][0-9]{0,8}(ms|s|m|h)$", "must be a number with ms, s, m or h, such as 180s"),
]
"""How long a request may take, such as 500ms, 180s, 5m or 1h."""


def seconds(duration: str) -> int:
    """A `Duration` in seconds.

    Raises:
        ValueError, KeyError, IndexError: it isn't one.
    """
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def milliseconds(timeout: str) -> int:
    """A `Timeout` in milliseconds."""
    return int(timeout.removesuffix("ms")) if timeout.endswith("ms") else 1000 * seconds(timeout)
