"""A check's outcome, and what the checks share."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError
from litclaw.kube.resources import Resource

MOST_NAMED = 20
"""How many things of a kind are named one by one."""


class Outcome(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the list.

    Attributes:
        name: what was looked at.
        outcome: how it went.
        detail: what was seen.
        remedy: what to do, where something is to be done.
    """

    name: str
    outcome: Outcome
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Check:
    """All is well."""
    return Check(name, Outcome.OK, detail)


def warn(name: str, detail: str, remedy: str) -> Check:
    """It works, and should be looked at."""
    return Check(name, Outcome.WARN, detail, remedy)


def fail(name: str, detail: str, remedy: str) -> Check:
    """It doesn't work."""
    return Check(name, Outcome.FAIL, detail, remedy)


def skip(name: str, detail: str, remedy: str = "") -> Check:
    """It can't be looked at."""
    return Check(name, Outcome.SKIP, detail, remedy)


Unseen = Literal["forbidden", "unknown"]
"""Why there is no list: we mustn't see it, or the cluster doesn't know the kind."""


async def objects(kube: Kube, resource: Resource, *, labels: str = "", metadata: bool = False) -> list[Any] | Unseen:
    """All objects of a kind in the cluster, as far as we may see them.

    Args:
        metadata: whether their metadata alone is read.
    """
    try:
        if metadata:
            return await kube.metadata(resource, labels=labels)
        return await kube.objects(resource, labels=labels)
    except KubeError as error:
        if error.status == 403:
            return "forbidden"
        if error.status == 404:
            return "unknown"
        raise


def cut(checks: Sequence[Check], what: str) -> list[Check]:
    """The first of many."""
    more = len(checks) - MOST_NAMED
    last = (
        [warn(checks[-1].name, f"and {more} more {what}", "`litclaw status -A --not-ready` has all.")]
        if more > 0
        else []
    )
    return [*checks[:MOST_NAMED], *last]
