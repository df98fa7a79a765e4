"""A case: a story and the fault that it meets; its outcome; and a sample of cases."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .faults import KILLS, Fault
from .stories import STORIES
from .story import Story


@dataclass(frozen=True)
class Case:
    """A story and its fault; None: none."""

    story: Story
    fault: Fault | None

    def __str__(self) -> str:
        return f"{self.story.name}:{self.fault or '-'}"

    @classmethod
    def parse(cls, text: str) -> "Case":
        """A case as `str` writes it.

        Raises:
            ValueError: the text is no case.
        """
        story, _, fault = text.partition(":")
        if story not in STORIES:
            raise ValueError(f"no story {story!r}: there are {', '.join(STORIES)}")
        return cls(STORIES[story], None if fault == "-" else Fault.parse(fault))

    @property
    def group(self) -> str:
        """The campaign's group: calls or kills."""
        return "kills" if self.is_kill else "calls"

    @property
    def is_kill(self) -> bool:
        """Whether its fault is the operator's death."""
        return self.fault is not None and self.fault.kind in KILLS

    @property
    def kind(self) -> str:
        """The kind of its fault."""
        return self.fault.kind if self.fault else "none"


@dataclass
class Outcome:
    """The result of a case.

    Attributes:
        case: its name, which `--case` takes in the groups calls and kills.
        group: one of the campaign's.
        kind: of the fault.
        reached: whether the call came that the fault strikes.
        wrong: every way in which the result differs from that without the fault; empty: the case has survived.
        seconds: from the story's change until all was as without the fault.
    """

    case: str
    group: str
    kind: str
    reached: bool
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    calls: list[str] = field(default_factory=list)


def drawn(cases: Sequence[Case], count: int, seed: int) -> list[Case]:
    """A sample of the cases, drawn by a seed, with stories and kinds of fault as evenly as possible."""
    shuffled = list(cases)
    random.Random(seed).shuffle(shuffled)
    taken: list[Case] = []
    had: Counter[str] = Counter()
    while shuffled and len(taken) < count:
        best = min(shuffled, key=lambda case: had[case.story.name] + had[case.kind])
        shuffled.remove(best)
        had.update((best.story.name, best.kind))
        taken.append(best)
    return taken
