"""How long to wait before a request is repeated: exponential backoff with jitter."""

import random


def jittered(seconds: float) -> float:
    """A random delay between 75 % and 125 % of the given one, so that many callers don't return at the same instant."""
    return seconds * random.uniform(0.75, 1.25)


class Backoff:
    """Delays that double from one failure to the next.

    Args:
        first: seconds after the first failure.
        last: the longest delay, in seconds. Jitter may add a quarter to it.
    """

    def __init__(self, first: float, last: float) -> None:
        self._first = first
        self._last = last
        self._next = first

    def next(self) -> float:
        """Seconds to wait after another failure, with jitter."""
        seconds = self._next
        self._next = min(self._next * 2, self._last)
        return jittered(seconds)

    def reset(self) -> None:
        """Start again with the first delay, after a success."""
        self._next = self._first
