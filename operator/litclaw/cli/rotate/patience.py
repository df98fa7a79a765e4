"""How long a command waits, and for what."""

from dataclasses import dataclass
from enum import StrEnum


class Until(StrEnum):
    """The end of a wait for new keys."""

    ROTATED = "rotated"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait.

    Attributes:
        until: the end of the wait.
        seconds: the longest wait; None: unlimited.
    """

    until: Until
    seconds: float | None
