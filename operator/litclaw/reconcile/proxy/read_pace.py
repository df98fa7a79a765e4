"""When a proxy's keys are read next, so that reading them takes a twentieth of the time, whether or not the reads succeed."""

from litclaw.reconcile.core import intervals


class ReadPace:
    """The reads of one proxy's keys so far, by the event loop's clock.

    A successful read decides about the next pause by how long it took. Reads that take longer than expected, or fail, run up a
    debt of pauses: a part of it is forgiven, so that a hiccup or a failed read isn't followed by minutes without one.
    """

    def __init__(self) -> None:
        self._began = self._ended = 0.0
        self._expected = 0.0
        self._owed = 0.0

    def note(self, began: float, ended: float, *, complete: bool) -> None:
        """Note a read.

        Args:
            ended: of a failed one, when the proxy showed the last key: a wait for nothing takes nobody's time.
            complete: False if it has failed.
        """
        if complete:
            self._expected = expected_read(self._expected, ended - began)
        left = max(0.0, self._owed - (began - self._ended))
        self._owed = left + intervals.READ_KEYS_SHARE * (ended - began)
        self._owed = min(self._owed, self._forgiven + intervals.READ_KEYS_LIMIT)
        self._began, self._ended = began, ended

    @property
    def _forgiven(self) -> float:
        return max(intervals.READ_KEYS_FORGIVEN, 2 * intervals.READ_KEYS_SHARE * self._expected)

    @property
    def earliest(self) -> float:
        """When the next read may begin."""
        usual = self._began + intervals.READ_KEYS_SHARE * self._expected
        return max(usual, self._ended + self._owed - self._forgiven)


def expected_read(before: float, took: float) -> float:
    """How long the next read of the keys takes, in seconds: as long as the last one, but at most twice as long as expected.

    One slow response isn't a large table: after a hiccup of half a minute, keys would go unread for ten.

    Args:
        before: what was expected of the last read; 0: nothing yet.
        took: the last read.
    """
    return min(took, 2 * before or took)
