"""How often one event may be told: what an owner wants to know once isn't worth knowing every half minute."""

from collections.abc import Callable, Hashable
from time import monotonic

BURST = 5
"""So often in a row: suspend and resume, spend and raise the budget, as people do."""
PAUSE_SECONDS = 600.0
"""And then one as often as this: Kubernetes drops events after an hour, so a loop still shows six."""
_SWEEP_AT = 100


class EventRateLimit:
    """A bucket of tokens for each event of each resource; in memory alone, so a new process begins anew."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._full_at: dict[Hashable, float] = {}
        self._sweep_at = _SWEEP_AT

    @property
    def remembered(self) -> int:
        """Of how many events something is remembered."""
        return len(self._full_at)

    def passes(self, event: Hashable) -> bool:
        """Whether an event may be told now; it counts as told then."""
        now = self._clock()
        if len(self._full_at) > self._sweep_at:
            # Each time after as many more as were left: what is told costs the same, however much is remembered.
            self._full_at = {each: full for each, full in self._full_at.items() if full > now}
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._full_at))
        # The moment at which the bucket is full again says how empty it is.
        full = max(self._full_at.get(event, now), now)
        if full - now > (BURST - 1) * PAUSE_SECONDS:
            return False
        self._full_at[event] = full + PAUSE_SECONDS
        return True
