"""A token bucket for each of many keys."""

from collections.abc import Callable, Hashable
from time import monotonic

_SWEEP_AT = 100


class RateLimit:
    """Token buckets in memory only: a new process starts with full ones.

    Args:
        burst: how often something may happen in a row.
        seconds: after which it may happen once more.
        clock: in seconds.
    """

    def __init__(self, burst: int, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._below_full = (burst - 1) * seconds
        self._seconds = seconds
        self._clock = clock
        self._full_at: dict[Hashable, float] = {}
        self._sweep_at = _SWEEP_AT

    @property
    def remembered(self) -> int:
        """The number of buckets that aren't full."""
        return len(self._full_at)

    def wait(self, key: Hashable) -> float:
        """Seconds until it may happen; 0: now."""
        now = self._clock()
        return max(0.0, self._full_at.get(key, now) - now - self._below_full)

    def count(self, key: Hashable) -> None:
        """Note that it happens now."""
        now = self._clock()
        if len(self._full_at) > self._sweep_at:
            # The next sweep comes when the number of buckets has doubled, so the cost per call is constant.
            self._full_at = {each: full for each, full in self._full_at.items() if full > now}
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._full_at))
        # The moment at which the bucket is full again tells how empty it is.
        self._full_at[key] = max(self._full_at.get(key, now), now) + self._seconds
