"""A circuit breaker for calls to one proxy: a proxy that hangs would occupy a worker for half a minute with each call."""

import time
from collections.abc import Callable

from litclaw.litellm.errors import UnreachableError

HANGS_SECONDS = 3.0
"""A call without an answer for so long counts as a hang; a refused connection fails at once and doesn't."""
SLOW_SECONDS = 1.0
"""A proxy whose calls about one key take longer on average isn't trusted: it would occupy workers as a hanging one does."""
_WEIGHT = 0.2  # of the last call in the average
FIRST_SECONDS = 15.0
LONGEST_SECONDS = 300.0


class Breaker:
    """Open for some seconds after a call that hung: calls fail at once. Each further hang doubles the time.

    Args:
        clock: in seconds.

    Attributes:
        on_trusted: called each time the proxy becomes trusted.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.on_trusted: Callable[[], None] = lambda: None
        self._clock = clock
        self._hangs = 0
        self._open_until = float("-inf")
        self._proven = False
        self._average = 0.0

    @property
    def trusted(self) -> bool:
        """True if the proxy has answered a call about a key, none has hung since, and they don't take long."""
        return self._proven and not self._hangs and self._average <= SLOW_SECONDS

    def check(self, url: str) -> None:
        """Return if a call may be made now.

        Raises:
            UnreachableError: the proxy hung a moment ago.
        """
        if self._clock() < self._open_until:
            # No seconds: a message that changes with each call would be a status write with each pass.
            raise UnreachableError(f"{url} didn't answer in time, so it isn't called for a while")

    def answered(self, path: str, seconds: float = 0.0) -> None:
        """Note an answer. Only an answer about a key shows that such calls don't hang: health checks are answered elsewhere.

        Args:
            seconds: for how long it was waited for. A list of keys may take long.
        """
        if not path.startswith("/key/"):
            return
        before = self.trusted
        if path != "/key/list":
            self._average += _WEIGHT * (seconds - self._average)
        self._proven, self._hangs = True, 0
        if self.trusted and not before:
            self.on_trusted()

    def unanswered(self, seconds: float) -> None:
        """Note a call that had no answer for some seconds."""
        if seconds < HANGS_SECONDS:
            return
        pause = min(FIRST_SECONDS * 2.0 ** min(self._hangs, 16), LONGEST_SECONDS)
        self._hangs += 1
        self._open_until = self._clock() + pause
