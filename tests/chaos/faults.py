"""The faults: one at a call, or one of the watches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .calls import KUBE, LITELLM, Name

STATUSES: Final = (409, 410, 429, 500, 503)
KINDS: Final = ("drop-request", "drop-answer", "late", "delay", "504-done", *(str(status) for status in STATUSES))
"""The faults that any call may meet."""
KILLS: Final = ("kill-before", "kill-after")
STALE: Final = "stale"
HALF_DONE: Final = ("504-done", "late", "drop-answer", "kill-after")
"""The faults that differ from the others only at a call that changes something."""
EVERY: Final = "*"
"""In place of a call: the fault strikes the n-th call of each name, at both doors."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault at one call.

    Attributes:
        door: kube or litellm.
        call: such as ``PATCH secrets`` or ``POST /key/update``; `EVERY`: each name.
        nth: which call of that name, from 1.
        kind: one of `KINDS`, `KILLS`, or ``stale``.
    """

    door: str
    call: str
    nth: int
    kind: str

    def __str__(self) -> str:
        return f"{self.door}:{self.call}:{self.nth}:{self.kind}"

    def is_at(self, door: str, name: Name, number: int) -> bool:
        """Whether it strikes the call with this number among the calls of its name at a door."""
        if self.call == EVERY:
            return number == self.nth and not (name.reads and self.kind in HALF_DONE)
        return (self.door, self.call, self.nth) == (door, name.call, number)

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """A fault as `str` writes it.

        Raises:
            ValueError: the text is no fault.
        """
        door, call, nth, kind = text.split(":")
        if door not in (KUBE, LITELLM) or kind not in (*KINDS, *KILLS, STALE):
            raise ValueError(f"{text!r} is no fault: it is <door>:<call>:<n>:<kind>")
        return cls(door, call, int(nth), kind)


def kinds_at(place: int, kinds: Sequence[str], *, crosses: bool) -> tuple[str, ...]:
    """The kinds of faults that a call meets.

    A story that crosses objects has many calls, and the statuses differ little: each of its calls meets one of `STATUSES`, the
    next call the next one.

    Args:
        place: the number of the call among all of its story.
        kinds: those to choose from.
        crosses: whether it is such a story.
    """
    statuses = [kind for kind in kinds if kind.isdigit()]
    if not crosses or not statuses:
        return tuple(kinds)
    one = statuses[place % len(statuses)]
    return tuple(kind for kind in kinds if kind == one or not kind.isdigit())


@dataclass
class WatchTrouble:
    """A fault of all watches, for as long as it lasts.

    Attributes:
        kind: ``cut``, ``gone`` or ``refuse``; empty: none.
        after: the number of events of a stream after which it begins.
        status: the status of a refusal.
        seconds: how long it lasts after the stories' changes are made.
        stale: whether lists are answered as they were when the trouble began.
    """

    kind: str = ""
    after: int = 1
    status: int = 0
    stale: bool = False
    seconds: float = 15.0
