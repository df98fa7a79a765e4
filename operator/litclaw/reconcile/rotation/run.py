"""A rotation run: the progress of one LiteLLMKeyRotation in this process.

It is in memory only. The keys themselves show which are rotated, so a restarted operator builds it again.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from litclaw.reconcile.core.queue import Request

LONG = 180.0
"""Seconds. A key that takes longer gives its place to another, and has its turn again after the rest. Without a grace period
the old key ends then, because it has leaked; the new one needs no turn any more."""


@dataclass(frozen=True, slots=True)
class _Turn:
    request: Request
    since: float


class RotationRun:
    """The keys of one rotation, by the uid of the resource that owns them.

    Args:
        request: the rotation itself, enqueued as soon as no key is in progress.
        not_before: keys created before that are rotated.
        grace: how long an old key stays valid, in seconds.
        limit: how many keys are in progress at a time.
        stop: the number of failures after which no more are begun; 0: it goes on past any number.
        enqueue: reconciles a resource.
        monotonic: see `Cluster`.

    Attributes:
        failures: the resources whose key couldn't be rotated, and why.
        late: the resources that had a turn and need longer.
        generation: the rotation's generation at the last pass. A pass that only its own write caused is skipped.
        next_pass: when the next pass is due, by the event loop's clock.
    """

    def __init__(
        self,
        request: Request,
        *,
        not_before: datetime,
        grace: int,
        limit: int,
        stop: int,
        enqueue: Callable[[Request], None],
        monotonic: Callable[[], float],
    ) -> None:
        self.not_before = not_before
        self.grace = grace
        self.failures: dict[str, tuple[Request, str]] = {}
        self.late: dict[str, Request] = {}
        self.generation = 0
        self.next_pass = 0.0
        self._request = request
        self._monotonic = monotonic
        self._limit = limit
        self._stop = stop
        self._enqueue = enqueue
        self._waiting: dict[str, Request] = {}
        self._in_progress: dict[str, _Turn] = {}
        self._held: dict[str, _Turn] = {}

    def plan(
        self,
        waiting: Mapping[str, Request],
        unreachable: Mapping[str, Request],
        *,
        suspended: bool,
        answering: Collection[str] = (),
    ) -> None:
        """Set the keys that are still to be rotated, in order; the first are begun at once.

        Args:
            waiting: keys that can be rotated now.
            unreachable: keys whose proxy isn't available; the others don't wait for them.
            suspended: True if none is begun.
            answering: those of unreachable that can't be replaced, but ended.
        """
        now, leaked = self._monotonic(), self.grace == 0
        turns = {uid: turn for uid, turn in self._in_progress.items() if uid in waiting}
        if not leaked or suspended or self.stopped:
            answering = ()
        self._held = {uid: self._held.get(uid) or _Turn(unreachable[uid], now) for uid in answering}
        long = {uid: turn.request for uid, turn in (turns | self._held).items() if now - turn.since > LONG}
        newly_late = long.keys() - self.late.keys()
        late = self.late | long
        self.late = {uid: request for uid, request in late.items() if uid in waiting or uid in self._held}
        self._in_progress = {uid: turn for uid, turn in turns.items() if uid not in long}
        self.failures = {uid: why for uid, why in self.failures.items() if uid in waiting or uid in unreachable}
        begun = self._in_progress.keys() | self.failures.keys()
        first = {uid: request for uid, request in waiting.items() if uid not in self.late}
        if leaked:
            for uid in newly_late:
                self._enqueue(long[uid])
        else:
            first |= self.late
        self._waiting = {uid: request for uid, request in first.items() if uid not in begun and not suspended}
        self._begin()

    @property
    def stopped(self) -> bool:
        """True if there were too many failures."""
        return 0 < self._stop <= len(self.failures)

    @property
    def in_progress(self) -> int:
        """The number of keys that are being rotated."""
        return len(self._in_progress)

    def covers(self, uid: str) -> bool:
        """True while the key is being rotated. Failed keys count, so that they are retried as soon as the cause is fixed."""
        return uid in self._in_progress or uid in self.failures or self.gives_up(uid)

    def gives_up(self, uid: str) -> bool:
        """True if the old key ends without a new one: it has leaked, and replacing it has failed or takes long."""
        return self.grace == 0 and (uid in self.failures or uid in self.late)

    def mark_done(self, uid: str) -> None:
        """Record that a resource's key has been rotated."""
        self._end_turn(uid, None)

    def mark_failed(self, uid: str, why: str) -> None:
        """Record why a resource's key can't be rotated."""
        self._end_turn(uid, why)

    def _end_turn(self, uid: str, failure: str | None) -> None:
        if not self.covers(uid):
            return
        turn = self._in_progress.pop(uid, None)
        request = turn.request if turn else self.late[uid] if uid in self.late else self.failures[uid][0]
        self.late.pop(uid, None)
        self.failures.pop(uid, None)
        if failure is not None:
            self.failures[uid] = (request, failure)
        self._begin()
        if turn and not self._in_progress:
            self.next_pass = 0.0
            self._enqueue(self._request)

    def _begin(self) -> None:
        while self._waiting and not self.stopped and len(self._in_progress) < self._limit:
            uid = next(iter(self._waiting))
            request = self._waiting.pop(uid)
            self._in_progress[uid] = _Turn(request, self._monotonic())
            self._enqueue(request)
