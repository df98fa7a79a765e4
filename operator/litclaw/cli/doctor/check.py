"""The result of a check, and what all checks use."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError
from litclaw.kube.resources import Resource

MOST_LISTED = 20
"""How many problems of a kind are listed one by one."""


class Outcome(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Attributes:
        name: the subject.
        outcome: the outcome.
        detail: the observation.
        remedy: the next step; empty: none.
    """

    name: str
    outcome: Outcome
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Check:
    """It works."""
    return Check(name, Outcome.OK, detail)


def warn(name: str, detail: str, remedy: str) -> Check:
    """It works, but needs attention."""
    return Check(name, Outcome.WARN, detail, remedy)


def fail(name: str, detail: str, remedy: str) -> Check:
    """It doesn't work."""
    return Check(name, Outcome.FAIL, detail, remedy)


def skip(name: str, detail: str, remedy: str = "") -> Check:
    """It can't be checked."""
    return Check(name, Outcome.SKIP, detail, remedy)


NoList = Literal["forbidden", "unknown"]
"""Why there is no list: the user may not read it, or the cluster doesn't know the kind."""


async def objects(kube: Kube, resource: Resource, *, labels: str = "", metadata: bool = False) -> list[Any] | NoList:
    """All objects of a kind in the cluster, if the user may list them.

    Args:
        metadata: read only their metadata.
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


def limited(checks: Sequence[Check], plural_noun: str, command: str) -> list[Check]:
    """The first checks of many, and a line that counts the others.

    Args:
        command: lists them all.
    """
    more = len(checks) - MOST_LISTED
    if more <= 0:
        return list(checks)
    return [*checks[:MOST_LISTED], warn(checks[-1].name, f"and {more} more {plural_noun}", command)]


def first_of(texts: Sequence[str], most: int) -> str:
    """Some texts in a line, and the number of the others: ``a, b and 3 more``."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return f"{', '.join(texts[:most])}{more}"
