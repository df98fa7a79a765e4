"""What the faulty world records of one case."""

from collections import Counter
from dataclasses import dataclass, field

from .calls import Call
from .faults import Fault


@dataclass
class CaseRecord:
    """What the world knows of one case.

    Attributes:
        fault: the case's fault; it hasn't struck yet where ``struck`` is empty.
        struck_at: when, by the event loop's clock.
        delivered: by agent, the token of the virtual key in the Secret that was written last.
        master: the master key of the case's managed route, as last written; empty: none.
        ending: whether its keys may end while a Secret has them, because the agent is being deleted.
        wrong: violations of what must hold at all times.
    """

    fault: Fault | None = None
    struck: str = ""
    struck_at: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    calls: list[Call] = field(default_factory=list)
    delivered: dict[str, str] = field(default_factory=dict)
    master: str = ""
    ending: bool = False
    wrong: list[str] = field(default_factory=list)
