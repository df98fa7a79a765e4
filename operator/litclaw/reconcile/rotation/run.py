"""A rotation's work in this process: whose turn it is, and whose key couldn't be rotated.

It is in memory alone. Who is done shows by the keys themselves, so after a restart it is made anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from litclaw.kube.cache import Key

LONG = timedelta(minutes=3)
"""After this time a key that is worked on gives its place to another, and has its turn again after the rest."""


@dataclass(frozen=True, slots=True)
class _Turn:
    key: Key
    since: datetime


class RotationRun:
    """The keys of one rotation, by the uid of the resource that they are of.

    Args:
        key: the rotation itself, which is looked at as soon as nobody is worked on any more.
        not_before: keys made before that are to be rotated.
        grace: how long an old key lives on, in seconds.
        limit: how many are worked on at a time.
        stop: after how many failures no more are taken up; 0: it goes on past any number.
        wake: has a resource looked at.
        now: the clock.

    Attributes:
        failures: whose key couldn't be rotated, and why.
        late: who has had a turn and needs longer.
        looked_at: the generation of the rotation at the last look; a look that wakes itself by what it writes isn't made.
        look_at: when the next look is due, in the event loop's time.
    """

    def __init__(
        self,
        key: Key,
        *,
        not_before: datetime,
        grace: int,
        limit: int,
        stop: int,
        wake: Callable[[Key], None],
        now: Callable[[], datetime],
    ) -> None:
        self.not_before = not_before
        self.grace = grace
        self.failures: dict[str, tuple[Key, str]] = {}
        self.late: dict[str, Key] = {}
        self.looked_at = 0
        self.look_at = 0.0
        self._key = key
        self._now = now
        self._limit = limit
        self._stop = stop
        self._wake = wake
        self._waiting: dict[str, Key] = {}
        self._at_work: dict[str, _Turn] = {}

    def plan(self, waiting: Mapping[str, Key], unreachable: Mapping[str, Key], *, resting: bool) -> None:
        """Say who is still to be rotated, in order; the first are taken up at once.

        Args:
            waiting: who can be rotated now.
            unreachable: who can't, because the proxy isn't there; nobody waits for them.
            resting: whether none is taken up.
        """
        turns = {uid: turn for uid, turn in self._at_work.items() if uid in waiting}
        long = {uid: turn.key for uid, turn in turns.items() if self._now() - turn.since > LONG}
        self.late = {uid: key for uid, key in (self.late | long).items() if uid in waiting}
        self._at_work = {uid: turn for uid, turn in turns.items() if uid not in long}
        self.failures = {uid: why for uid, why in self.failures.items() if uid in waiting or uid in unreachable}
        taken = self._at_work.keys() | self.failures.keys()
        first = {uid: key for uid, key in waiting.items() if uid not in self.late} | self.late
        self._waiting = {uid: key for uid, key in first.items() if uid not in taken and not resting}
        self._take_up()

    @property
    def stopped(self) -> bool:
        """Whether there were too many failures."""
        return 0 < self._stop <= len(self.failures)

    @property
    def at_work(self) -> int:
        """How many are worked on."""
        return len(self._at_work)

    def covers(self, uid: str) -> bool:
        """Whether a resource's key is to be rotated now. One that failed is, for when somebody mends what stood in the way."""
        return uid in self._at_work or uid in self.failures

    def settle(self, uid: str, failure: str | None) -> None:
        """Say that a resource's key has been rotated or, with a reason, that it can't be."""
        if not self.covers(uid):
            return
        turn = self._at_work.pop(uid, None)
        key = turn.key if turn else self.failures[uid][0]
        self.failures.pop(uid, None)
        if failure:
            self.failures[uid] = (key, failure)
        self._take_up()
        if turn and not self._at_work:
            self.look_at = 0.0
            self._wake(self._key)

    def _take_up(self) -> None:
        while self._waiting and not self.stopped and len(self._at_work) < self._limit:
            uid = next(iter(self._waiting))
            key = self._waiting.pop(uid)
            self._at_work[uid] = _Turn(key, self._now())
            self._wake(key)
