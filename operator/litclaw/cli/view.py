"""Resources as the command line shows them: their health, and agents and routes as rows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from litclaw.kube.objects import condition_of, is_deleting, route_key_of

Body = Mapping[str, Any]


def title(body: Body) -> str:
    """namespace/name."""
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"


def name_of(body: Body) -> tuple[str, str]:
    """Namespace and name."""
    return (body["metadata"]["namespace"], body["metadata"]["name"])


def parse_time(text: str | None) -> datetime | None:
    """A time of a status; None: it isn't set."""
    return datetime.fromisoformat(text) if text else None


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a resource works.

    Attributes:
        ready: None: the operator hasn't seen the current generation, or the resource is being deleted.
        stalled: whether it needs a user's change.
        reason: the deciding condition's reason.
        message: its message; empty: it is ready.
    """

    ready: bool | None
    stalled: bool
    reason: str
    message: str

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return self.ready is True


def health(body: Body) -> Health:
    """A resource's health, from its conditions. An agent without budget isn't ready: its requests are refused."""
    meta, status = body["metadata"], body.get("status") or {}
    ready = condition_of(body, "Ready")
    if is_deleting(body):
        return Health(None, False, "Deleting", "It is being deleted.")
    if not ready or status.get("observedGeneration", 0) < meta.get("generation", 0):
        message = "The operator hasn't seen its current generation. If that doesn't change, run `litclaw doctor`."
        return Health(None, False, "NotSeen", message)
    if ready["status"] == "True":
        budget = condition_of(body, "WithinBudget")
        if budget.get("status") == "False":
            return Health(False, True, budget["reason"], budget["message"])
        return Health(True, False, ready["reason"], "")
    stalled = condition_of(body, "Stalled").get("status") == "True"
    return Health(False, stalled, ready["reason"], ready["message"])


@dataclass(frozen=True, slots=True)
class AgentRow:
    """One agent. Amounts are US dollars as text, times as Kubernetes writes them; empty: unknown."""

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
        """The spent share of the budget, 1.0 being all of it; None: there is no budget."""
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
        route="/".join(route_key_of(body)),
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
    """One route. Spend is US dollars as text; empty: unknown."""

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


def as_json(row: AgentRow | RouteRow) -> dict[str, Any]:
    """A row for programs, with field names in camelCase as in Kubernetes."""
    return {_camel_case(name): value for name, value in asdict(row).items()}


def _camel_case(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
