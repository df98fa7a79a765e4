"""Conditions as kstatus reads them, and the exception with which a reconcile reports that it can't go on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from litclaw.api.base import Condition
from litclaw.kube.errors import same_schema_error

_MOST_LISTED = 20
_LONGEST_MESSAGE = 32_000  # the API takes 32,768 characters


class ConditionType(StrEnum):
    """Every condition type of every kind."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    # LiteLLMRoute
    SECRETS_READY = "SecretsReady"
    DATABASE_READY = "DatabaseReady"
    PROXY_READY = "ProxyReady"
    MODELS_READY = "ModelsReady"
    # OpenClawAgent
    ROUTE_ACCEPTED = "RouteAccepted"
    KEY_READY = "KeyReady"
    CONFIG_READY = "ConfigReady"
    GATEWAY_READY = "GatewayReady"
    WITHIN_BUDGET = "WithinBudget"


class Blocked(Exception):
    """The reconcile can't go on. It becomes conditions of the resource.

    Attributes:
        condition: the type that is false.
        reason: one CamelCase word.
        message: the problem and the remedy, in a sentence. No secret.
        stalled: True if a person must act; False if it recovers without help.
        retry: seconds after which to reconcile again; None where a watch event will come.
        serving: True if what ran before still serves, so that agents still get keys.
    """

    def __init__(
        self,
        condition: ConditionType,
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
    """Names for a message: the first twenty, and how many more there are."""
    found = list(names)
    more = f" and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
    return ", ".join(found[:_MOST_LISTED]) + more if found else "none"


def timestamp(moment: datetime) -> str:
    """A time as Kubernetes writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Conditions:
    """The conditions of one resource during one pass.

    Args:
        required: the types that Ready depends on, in the order in which they become true.
    """

    def __init__(self, required: Sequence[ConditionType]) -> None:
        self._required = tuple(required)
        self._entries: dict[ConditionType, _Entry] = {}

    def set_true(self, type_: ConditionType, reason: str, message: str = "") -> None:
        """Set a condition to True."""
        self._entries[type_] = _Entry("True", reason, message)

    def set_false(self, type_: ConditionType, reason: str, message: str) -> None:
        """Set a condition to False that Ready doesn't depend on."""
        self._entries[type_] = _Entry("False", reason, message)

    def set_ready(self, message: str, reason: str = ConditionType.READY) -> None:
        """Set Ready, and neither Reconciling nor Stalled."""
        self._entries[ConditionType.READY] = _Entry("True", reason, message)
        self._entries[ConditionType.RECONCILING] = _Entry("False", reason, "")
        self._entries[ConditionType.STALLED] = _Entry("False", reason, "")

    def set_blocked(self, why: Blocked) -> None:
        """Set not Ready. Required conditions that this pass hasn't set are Unknown."""
        self._entries[why.condition] = _Entry("False", why.reason, why.message)
        for type_ in self._required:
            self._entries.setdefault(type_, _Entry("Unknown", "Waiting", f"Waits for {why.condition}."))
        self._entries[ConditionType.READY] = _Entry("False", why.reason, why.message)
        reconciling, stalled = ("False", "True") if why.stalled else ("True", "False")
        self._entries[ConditionType.RECONCILING] = _Entry(reconciling, why.reason, "" if why.stalled else why.message)
        self._entries[ConditionType.STALLED] = _Entry(stalled, why.reason, why.message if why.stalled else "")

    def render(self, before: Sequence[Condition], *, generation: int, now: datetime) -> list[dict[str, Any]]:
        """The list for the status. A transition time changes only when the condition's status does.

        Args:
            before: the conditions that the status has now.
        """
        known = {condition.type: condition for condition in before}
        order = (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED, *self._required)
        rest = sorted(set(self._entries) - set(order))
        out = []
        for type_ in (*order, *rest):
            entry = self._entries.get(type_)
            if entry is None:
                continue
            old = known.get(type_)
            same = old is not None and old.status == entry.status
            message = entry.message[:_LONGEST_MESSAGE]
            if old and same and old.observed_generation == generation and same_schema_error(old.message, message):
                # The API server names another field each time. A new message each time would be a loop of status writes.
                message = old.message
            out.append(
                {
                    "type": str(type_),
                    "status": entry.status,
                    "observedGeneration": generation,
                    "lastTransitionTime": old.last_transition_time if old and same else timestamp(now),
                    "reason": entry.reason,
                    "message": message,
                }
            )
        return out
