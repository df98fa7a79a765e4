"""Conditions as kstatus reads them, and the one way in which a reconcile says that it can't go on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litclaw.api.base import Condition
from litclaw.kube.errors import UNTYPED

_MOST_LISTED = 20
_LONGEST_MESSAGE = 32_000  # the API takes 32,768 characters

READY = "Ready"
PROXY_READY = "ProxyReady"
KEY_READY = "KeyReady"
RECONCILING = "Reconciling"
STALLED = "Stalled"


class Blocked(Exception):
    """The reconcile can't go on, and says why.

    Attributes:
        condition: what it rests on, such as ``SecretsReady``.
        reason: one CamelCase word.
        message: what is wrong and what to do, in a sentence. No secret.
        stalled: whether somebody must mend it; otherwise it passes by itself.
        retry: after how many seconds to look again; None where a watch will tell.
        serving: whether what was there before goes on, so that agents still get keys.
    """

    def __init__(
        self,
        condition: str,
        reason: str,
        message: str,
        *,
        stalled: bool,
        retry: float | None = None,
        serving: bool = False,
    ) -> None:
        super().__init__(f"{condition} {reason}: {message}")
        self.condition = condition
        self.reason = reason
        self.message = message
        self.stalled = stalled
        self.retry = retry
        self.serving = serving


@dataclass(frozen=True, slots=True)
class _Entry:
    status: str
    reason: str
    message: str


def listed(names: Iterable[str]) -> str:
    """Names for a message, and how many more there are."""
    found = list(names)
    more = f" and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
    return ", ".join(found[:_MOST_LISTED]) + more if found else "none"


def _says_the_same(before: str, now: str) -> bool:
    """Whether one object is refused for its shape, then as now: a word that changes each time would be written each time,
    and each write is the next look."""
    return UNTYPED in before and before.partition(UNTYPED)[0] == now.partition(UNTYPED)[0]


def timestamp(moment: datetime) -> str:
    """A time as Kubernetes writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Conditions:
    """The conditions of one resource while it is reconciled.

    Args:
        required: the types that Ready rests on, in the order in which they come true.
    """

    def __init__(self, required: Sequence[str]) -> None:
        self._rests_on = tuple(required)
        self._entries: dict[str, _Entry] = {}

    def true(self, type_: str, reason: str, message: str = "") -> None:
        """It holds."""
        self._entries[type_] = _Entry("True", reason, message)

    def false(self, type_: str, reason: str, message: str) -> None:
        """It doesn't hold, and Ready doesn't rest on it."""
        self._entries[type_] = _Entry("False", reason, message)

    def ready(self, message: str, reason: str = READY) -> None:
        """Everything is as it should be."""
        self._entries[READY] = _Entry("True", reason, message)
        self._entries[RECONCILING] = _Entry("False", reason, "")
        self._entries[STALLED] = _Entry("False", reason, "")

    def blocked(self, why: Blocked) -> None:
        """Something is not as it should be: what rests on it is unknown where it isn't known already."""
        self._entries[why.condition] = _Entry("False", why.reason, why.message)
        for type_ in self._rests_on:
            self._entries.setdefault(type_, _Entry("Unknown", "Waiting", f"Waits for {why.condition}."))
        self._entries[READY] = _Entry("False", why.reason, why.message)
        moving, stuck = ("False", "True") if why.stalled else ("True", "False")
        self._entries[RECONCILING] = _Entry(moving, why.reason, "" if why.stalled else why.message)
        self._entries[STALLED] = _Entry(stuck, why.reason, why.message if why.stalled else "")

    def render(self, before: Sequence[Condition], *, generation: int, now: datetime) -> list[dict[str, Any]]:
        """The list for the status. A transition time moves only when the status does."""
        known = {condition.type: condition for condition in before}
        order = (READY, RECONCILING, STALLED, *self._rests_on)
        rest = sorted(set(self._entries) - set(order))
        out = []
        for type_ in (*order, *rest):
            entry = self._entries.get(type_)
            if entry is None:
                continue
            old = known.get(type_)
            same = old is not None and old.status == entry.status
            message = entry.message[:_LONGEST_MESSAGE]
            if old and same and old.observed_generation == generation and _says_the_same(old.message, message):
                message = old.message
            out.append(
                {
                    "type": type_,
                    "status": entry.status,
                    "observedGeneration": generation,
                    "lastTransitionTime": old.last_transition_time if old and same else timestamp(now),
                    "reason": entry.reason,
                    "message": message,
                }
            )
        return out
