"""How long to wait before a request is repeated: exponential backoff with jitter."""

import random


def jittered(seconds: float) -> float:
    """A random delay between 75 % and 125 % of the given one, so that many callers don't return at the same instant."""
    return seconds * random.uniform(0.75, 1.25)


def retry_delay(failures: int, first: float, last: float) -> float:
    """Seconds until a retry, with jitter.

    Args:
        failures: how many times it has failed before this one.
        first: seconds after the first failure.
        last: the longest delay. Jitter may add a quarter to it.
    """
    return jittered(min(first * 2.0 ** min(failures, 16), last))


class Backoff:
    """Delays that double from one failure to the next.

    Args:
        first: seconds after the first failure.
        last: the longest delay, in seconds. Jitter may add a quarter to it.
    """

    def __init__(self, first: float, last: float) -> None:
        self._first = first
        self._last = last
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait after another failure, with jitter."""
        self._failures += 1
        return retry_delay(self._failures - 1, self._first, self._last)

    def reset(self) -> None:
        """Start again with the first delay, after a success."""
        self._failures = 0
