"""Names for the requests that pass the faulty world: which case a request belongs to, and what it does."""

import re
from dataclasses import dataclass
from typing import Final

KUBE: Final = "kube"
LITELLM: Final = "litellm"

_KUBE_PATH = re.compile(r"(?:/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/([^/]+)(?=/))?/([^/]+)(?:/([^/]+))?(/[^/]+)?$")
_CASE = re.compile(r"c\d{3,}|main(?![^-.])")


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a request.

    Attributes:
        case: the case it belongs to; empty for a request that belongs to no single case, such as a list.
        call: such as ``PATCH secrets`` or ``POST /key/update``.
        reads: whether it changes nothing.
    """

    case: str
    call: str
    reads: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has arrived at a door.

    Attributes:
        at: time of arrival, by the event loop's clock.
        operator: the process that made it.
        fault: the kind of the fault that struck it; empty: none.
    """

    at: float
    operator: str
    door: str
    name: Name
    fault: str


def case_of(name: str) -> str:
    """The case that an object or a tenant belongs to, by the beginning of its name; empty: none."""
    found = _CASE.match(name)
    return found[0] if found else ""


def is_numbered(name: str) -> bool:
    """Whether an object or a tenant belongs to a numbered case: every case but that of the real managed route has a number."""
    return case_of(name)[1:].isdigit()


def case_of_alias(alias: str, namespace: str) -> str:
    """The case that a key belongs to, by its alias; empty: none.

    Args:
        namespace: of the cases. Their keys are named ``<namespace>/<name>``, and the name begins with the case's.
    """
    given, _, name = alias.partition("/")
    return case_of(name) if given == namespace else ""


def kube_name(method: str, path: str) -> Name:
    """The name of a request to the API server. The names of a case's objects begin with the case's name."""
    reads = method == "GET"
    match = _KUBE_PATH.match(path)
    if match is None:
        return Name("", f"{method} {path}", reads)
    _, plural, name, sub = match.groups()
    what = plural if name else f"{plural} (list)"
    return Name(case_of(name or ""), f"{method} {what}{sub or ''}", reads)


def litellm_name(method: str, tenant: str, path: str) -> Name:
    """The name of a request to a LiteLLM.

    Args:
        tenant: the first part of the path that the operator calls, such as ``c017`` or ``c017-b``.
        path: the rest, as LiteLLM knows it.
    """
    return Name(case_of(tenant), f"{method} {path}", method == "GET")
