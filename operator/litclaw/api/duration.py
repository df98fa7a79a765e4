"""Lengths of time in resources, such as 90s, 30m or 720h."""

from typing import Annotated

from pydantic import Field

from litclaw.api.base import Matches

_SECONDS = {"s": 1, "m": 60, "h": 3600}

Span = Annotated[
    str,
    Field(max_length=7),
    Matches(r"^(0s|[1-9][0-9]{0,5}(s|m|h))$", "must be a number with s, m or h, such as 90s, 30m or 720h; or 0s"),
]
"""A length of time of whole seconds; 0s is the shortest."""


def seconds(span: str) -> int:
    """A `Span` in seconds."""
    return int(span[:-1]) * _SECONDS[span[-1]]
