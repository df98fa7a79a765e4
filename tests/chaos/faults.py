"""What can go wrong at a call, and how a call is named."""

import re
from dataclasses import dataclass
from typing import Final

KUBE: Final = "kube"
LITELLM: Final = "litellm"

STATUSES: Final = (409, 410, 429, 500, 503)
KINDS: Final = ("drop-request", "drop-answer", "late", "delay", "504-done", *(str(status) for status in STATUSES))
"""What any call may meet."""
KILLS: Final = ("kill-before", "kill-after")
STALE: Final = "stale"
HALF_DONE: Final = ("504-done", "late", "drop-answer", "kill-after")
"""What differs from the other faults only at a call that changes something."""
EVERY: Final = "*"
"""For a fault that strikes the n-th call of each name, at both doors."""

_KUBE_PATH = re.compile(r"(?:/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/([^/]+)(?=/))?/([^/]+)(?:/([^/]+))?(/[^/]+)?$")
_CASE = re.compile(r"c\d{3,}|main(?![^-.])")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault at one call.

    Attributes:
        door: kube or litellm.
        call: such as ``PATCH secrets`` or ``POST /key/update``; `EVERY`: the n-th of each name.
        nth: at the how many-th such call.
        kind: one of `KINDS`, `KILLS`, or ``stale``.
    """

    door: str
    call: str
    nth: int
    kind: str

    def __str__(self) -> str:
        return f"{self.door}:{self.call}:{self.nth}:{self.kind}"

    def is_at(self, door: str, name: "Name", number: int) -> bool:
        """Whether it strikes a call that is the number-th of its name at a door."""
        if self.call == EVERY:
            return number == self.nth and not (name.reads and self.kind in HALF_DONE)
        return (self.door, self.call, self.nth) == (door, name.call, number)

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """A fault as `str` writes it.

        Raises:
            ValueError: it isn't one.
        """
        door, call, nth, kind = text.split(":")
        if door not in (KUBE, LITELLM) or kind not in (*KINDS, *KILLS, STALE):
            raise ValueError(f"{text!r} is no fault: it is <door>:<call>:<n>:<kind>")
        return cls(door, call, int(nth), kind)


@dataclass(frozen=True, slots=True)
class Name:
    """What a request is.

    Attributes:
        case: whose it is; empty: nobody's alone, such as a list.
        call: its name.
        reads: whether it changes nothing.
    """

    case: str
    call: str
    reads: bool


def case_of(name: str) -> str:
    """Whose an object or a tenant is, by how its name begins; empty: nobody's."""
    found = _CASE.match(name)
    return found[0] if found else ""


def kube_name(method: str, path: str) -> Name:
    """What a request to the API server is; the names of a case's objects begin with the case's."""
    reads = method == "GET"
    match = _KUBE_PATH.match(path)
    if match is None:
        return Name("", f"{method} {path}", reads)
    _, plural, name, sub = match.groups()
    what = plural if name else f"{plural} (list)"
    return Name(case_of(name or ""), f"{method} {what}{sub or ''}", reads)


def litellm_name(method: str, tenant: str, path: str) -> Name:
    """What a request to a LiteLLM is.

    Args:
        tenant: the first part of the path that the operator calls, such as ``c017`` or ``c017-b``.
        path: the rest, as LiteLLM knows it.
    """
    return Name(case_of(tenant), f"{method} {path}", method == "GET")
