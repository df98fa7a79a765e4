"""Routes and agents for `litclaw status`, read from the cluster."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from litclaw.cli.errors import CommandError, Exit
from litclaw.cli.view import AgentRow, Body, RouteRow, agent_row, as_json, name_of, route_row
from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError
from litclaw.kube.objects import route_key_of
from litclaw.kube.resources import AGENT, ROUTE


@dataclass(frozen=True, slots=True)
class Scope:
    """The resources to show.

    Attributes:
        namespace: None: all.
        route: namespace and name of the only route, whose agents are shown; None: any.
        labels: a label selector for agents; empty: all.
        not_ready: only resources that aren't ready.
        routes: whether routes are shown.
        agents: whether agents are shown.
    """

    namespace: str | None
    route: tuple[str, str] | None
    labels: str
    not_ready: bool
    routes: bool
    agents: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """The resources, sorted by namespace and name."""

    routes: list[RouteRow]
    agents: list[AgentRow]

    @property
    def problems(self) -> list[RouteRow | AgentRow]:
        """The resources that aren't ready."""
        rows: list[RouteRow | AgentRow] = [*self.routes, *self.agents]
        return [row for row in rows if row.ready is not True]


async def read(kube: Kube, scope: Scope) -> Seen:
    """Read the resources. Routes are those of the namespace and those that its agents name.

    Raises:
        CommandError: the label selector is invalid.
        KubeError: the API server refuses a request or can't be reached.
    """
    try:
        found = await kube.objects(AGENT, scope.namespace, labels=scope.labels)
    except KubeError as error:
        if error.status != 400 or not scope.labels:
            raise
        message = f"--selector {scope.labels!r} isn't a label selector: {error.message}"
        raise CommandError(message, "Write it as for kubectl: team=research,tier!=test.", Exit.USAGE) from None
    if scope.route:
        found = [body for body in found if route_key_of(body) == scope.route]
    agents = [agent_row(body) for body in found] if scope.agents else []
    routes = [route_row(body) for body in await _routes(kube, scope, found)] if scope.routes else []
    if scope.not_ready:
        agents = [row for row in agents if row.ready is not True]
        routes = [row for row in routes if row.ready is not True]
    return Seen(sorted(routes, key=_place), sorted(agents, key=_place))


async def _routes(kube: Kube, scope: Scope, agents: Iterable[Body]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if scope.route:
        wanted = {scope.route}
    else:
        wanted = {route_key_of(body) for body in agents}
        if not scope.labels:
            found = await kube.objects(ROUTE, scope.namespace)
    for namespace, name in sorted(wanted - {name_of(body) for body in found}):
        try:
            body = await kube.get(ROUTE, namespace, name)
        except KubeError as error:
            if error.status != 403:
                raise
            continue  # in another team's namespace; its agents' conditions report a problem with it
        if body:
            found.append(body)
    return found


def _place(row: RouteRow | AgentRow) -> tuple[str, str]:
    return (row.namespace, row.name)


def as_data(seen: Seen, scope: Scope) -> dict[str, Any]:
    """The resources for programs."""
    found: dict[str, Any] = {"routes": [as_json(row) for row in seen.routes]} if scope.routes else {}
    return found | ({"agents": [as_json(row) for row in seen.agents]} if scope.agents else {})
