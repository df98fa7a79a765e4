"""Rate limit for Kubernetes Events, by resource and reason: a burst of 5, then one in ten minutes."""

from collections.abc import Callable, Hashable
from time import monotonic

from litclaw.reconcile.core.rate_limit import RateLimit

BURST = 5
"""People suspend and resume, spend and raise a budget: that many events in a row are useful."""
PAUSE_SECONDS = 600.0
"""Kubernetes drops events after an hour, so a loop still shows six."""


class EventRateLimit(RateLimit):
    """A token bucket for each event of each resource."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(BURST, PAUSE_SECONDS, clock)

    def passes(self, event: Hashable) -> bool:
        """True if an event may be emitted now. It then counts as emitted."""
        if self.wait(event):
            return False
        self.count(event)
        return True
