"""What a resource's own status says of it, in the words of the command line."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from litclaw.cli.output import condition

Body = Mapping[str, Any]


def title(body: Body) -> str:
    """Namespace and name."""
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"


def moment(text: str | None) -> datetime | None:
    """A time of a status."""
    return datetime.fromisoformat(text) if text else None


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a resource is as it should be.

    Attributes:
        ready: True, False, or None where the operator hasn't looked at it as it is now.
        stalled: whether somebody has to do something.
        reason: one word.
        message: a sentence that says what to do.
    """

    ready: bool | None
    stalled: bool
    reason: str
    message: str

    @property
    def fine(self) -> bool:
        """Whether there is nothing to say."""
        return self.ready is True


def health(body: Body) -> Health:
    """A resource's health, by its conditions. An agent that has spent its budget isn't well: it gets no answers."""
    meta, status = body["metadata"], body.get("status") or {}
    ready = condition(body, "Ready")
    if "deletionTimestamp" in meta:
        return Health(None, False, "Deleting", "It is being deleted.")
    if not ready or status.get("observedGeneration", 0) < meta.get("generation", 0):
        message = "The operator hasn't looked at it as it is now. If that stays so: `litclaw doctor`."
        return Health(None, False, "NotSeen", message)
    if ready["status"] == "True":
        budget = condition(body, "WithinBudget")
        if budget.get("status") == "False":
            return Health(False, True, budget["reason"], budget["message"])
        return Health(True, False, ready["reason"], "")
    stalled = condition(body, "Stalled").get("status") == "True"
    return Health(False, stalled, ready["reason"], ready["message"])


def route_of(agent: Body) -> tuple[str, str]:
    """Namespace and name of the route that an agent asks for."""
    ref = agent["spec"]["routeRef"]
    return (ref.get("namespace") or agent["metadata"]["namespace"], ref["name"])


@dataclass(frozen=True, slots=True)
class AgentRow:
    """One agent. Amounts are US dollars as text, times as Kubernetes writes them."""

    namespace: str
    name: str
    ready: bool | None
    stalled: bool
    reason: str
    message: str
    route: str
    model: str
    spend: str
    budget: str
    budget_resets_at: str
    key_rotated_at: str
    next_rotation: str
    retiring_until: str
    suspended: bool

    @property
    def share(self) -> float | None:
        """How much of the budget is spent, 1.0 being all; None where there is none."""
        if not self.budget:
            return None
        budget = float(self.budget)
        return float(self.spend or 0) / budget if budget else 1.0


def agent_row(body: Body) -> AgentRow:
    """An agent as a row."""
    meta, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    key, seen = status.get("key") or {}, health(body)
    return AgentRow(
        namespace=meta["namespace"],
        name=meta["name"],
        ready=seen.ready,
        stalled=seen.stalled,
        reason=seen.reason,
        message=seen.message,
        route="/".join(route_of(body)),
        model=status.get("defaultModel") or spec.get("defaultModel") or "",
        spend=status.get("spend") or "",
        budget=status.get("budget") or "",
        budget_resets_at=status.get("budgetResetsAt") or "",
        key_rotated_at=key.get("rotatedAt") or "",
        next_rotation=key.get("nextRotation") or "",
        retiring_until=key.get("retiringUntil") or "",
        suspended=bool(spec.get("suspend")),
    )


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One route. Spend is US dollars as text."""

    namespace: str
    name: str
    ready: bool | None
    stalled: bool
    reason: str
    message: str
    url: str
    version: str
    models: int
    agents: int
    live_keys: int
    retiring_keys: int
    spend: str


def route_row(body: Body) -> RouteRow:
    """A route as a row."""
    meta, status, seen = body["metadata"], body.get("status") or {}, health(body)
    keys = status.get("keys") or {}
    return RouteRow(
        namespace=meta["namespace"],
        name=meta["name"],
        ready=seen.ready,
        stalled=seen.stalled,
        reason=seen.reason,
        message=seen.message,
        url=status.get("url") or "",
        version=status.get("version") or "",
        models=status.get("models") or 0,
        agents=status.get("agents") or 0,
        live_keys=keys.get("live") or 0,
        retiring_keys=keys.get("retiring") or 0,
        spend=status.get("spend") or "",
    )


def camel(row: Any) -> dict[str, Any]:
    """A row for programs: its fields in camelCase, as Kubernetes has them."""
    return {_camel(name): value for name, value in asdict(row).items()}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)
