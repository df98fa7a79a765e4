"""Rate limit for Kubernetes Events, by resource and reason: a burst of 5, then one in ten minutes."""

from collections.abc import Callable, Hashable
from time import monotonic

BURST = 5
"""People suspend and resume, spend and raise a budget: that many events in a row are useful."""
PAUSE_SECONDS = 600.0
"""Kubernetes drops events after an hour, so a loop still shows six."""
_SWEEP_AT = 100


class EventRateLimit:
    """A token bucket for each event of each resource, in memory only: a new process starts with full buckets."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._full_at: dict[Hashable, float] = {}
        self._sweep_at = _SWEEP_AT

    @property
    def remembered(self) -> int:
        """The number of buckets that aren't full."""
        return len(self._full_at)

    def passes(self, event: Hashable) -> bool:
        """True if an event may be emitted now. It then counts as emitted."""
        now = self._clock()
        if len(self._full_at) > self._sweep_at:
            # The next sweep comes when the number of buckets has doubled, so the cost per event is constant.
            self._full_at = {each: full for each, full in self._full_at.items() if full > now}
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._full_at))
        # The moment at which the bucket is full again tells how empty it is.
        full = max(self._full_at.get(event, now), now)
        if full - now > (BURST - 1) * PAUSE_SECONDS:
            return False
        self._full_at[event] = full + PAUSE_SECONDS
        return True
