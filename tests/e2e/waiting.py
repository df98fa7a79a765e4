"""Waiting for an expected state of the cluster."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_SECONDS = 180.0
"""How long a test waits for an expected state. A passing test doesn't take that long; but on a machine that runs
several clusters everything may take many times as long as on a quiet one."""
LONG_SECONDS = 600.0
"""The same for pods that start: a LiteLLM, a PostgreSQL, a gateway."""
_POLL_SECONDS = 0.25


def eventually(look: Callable[[], T], *, timeout: float = PATIENCE_SECONDS, what: str = "") -> T:
    """Call until the result is true, and return it. An incomplete state counts as not yet.

    A state is incomplete where the call raises an AssertionError, a list has another length, or a field, an item or an
    object is missing.

    Raises:
        AssertionError: the result wasn't true in time.
    """
    end = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < end:
        try:
            if found := look():
                return found
            last = found
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            last = repr(error)
        time.sleep(_POLL_SECONDS)
    raise AssertionError(f"not within {timeout:.0f} s: {what or getattr(look, '__name__', look)}; last: {last}")
