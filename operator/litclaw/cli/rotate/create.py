"""Creates a LiteLLMKeyRotation, or shows what it would rotate."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litclaw.api import names
from litclaw.cli import output
from litclaw.cli.cluster import FIELD_MANAGER
from litclaw.cli.doctor.check import objects
from litclaw.cli.doctor.operator import OPERATOR_LABELS, OperatorDeployment
from litclaw.cli.errors import CommandError, Exit
from litclaw.cli.options import OutputFormat
from litclaw.cli.output import age, plural
from litclaw.cli.rotate.request import RotationRequest
from litclaw.cli.table import Column, table
from litclaw.cli.terminal import Screen
from litclaw.cli.view import Body, name_of, now, parse_time, title
from litclaw.kube.client import Kube
from litclaw.kube.errors import ConflictError, InvalidError, KubeError
from litclaw.kube.objects import is_deleting, route_key_of
from litclaw.kube.resources import AGENT, DEPLOYMENT, ROUTE

_AGENT_COLUMNS = (Column("AGENT", wraps=True), Column("ROUTE"), Column("KEY AGE", right=True))
_ROUTE_COLUMNS = (Column("MASTER KEY OF ROUTE", wraps=True), Column(""))


@dataclass(frozen=True, slots=True)
class Selected:
    """The agents and routes that a rotation selects now."""

    agents: Sequence[Body]
    routes: Sequence[Body]


async def preview(kube: Kube, request: RotationRequest) -> Selected:
    """What a rotation would select.

    Raises:
        CommandError: no operator would process it.
        KubeError: the API server refuses a request or can't be reached.
    """
    await _require_operator(kube)
    return await _selected(kube, request)


async def create(kube: Kube, request: RotationRequest) -> tuple[Selected | None, dict[str, Any]]:
    """Create a rotation; returns what it selects (None: the user may not list that) and the resource.

    Raises:
        CommandError: it selects nothing, its name is taken, or no operator would process it.
        KubeError: the API server refuses a request or can't be reached.
    """
    await _require_operator(kube)
    found: Selected | None = None
    try:
        found = await _selected(kube, request)
    except KubeError as error:
        if error.status != 403:
            raise
    if found and not (found.agents or found.routes):
        raise CommandError("nothing is selected, so no rotation is made", "`litclaw status -A` lists all agents.")
    try:
        return found, await kube.create(request.manifest(), manager=FIELD_MANAGER)
    except ConflictError:
        remedy = f"Wait for it with `litclaw rotate --attach {request.name}`, or choose another --name."
        raise CommandError(f"there is a {names.ROTATION_KIND} {request.name} already", remedy) from None
    except InvalidError as error:
        if error.status == 403:
            raise
        raise CommandError(f"the API server refuses the rotation: {error.message}", "", Exit.USAGE) from None


async def _require_operator(kube: Kube) -> None:
    """Refuse a rotation if every operator watches some namespaces only: a rotation belongs to no namespace."""
    seen = await objects(kube, DEPLOYMENT, labels=OPERATOR_LABELS)
    operators = [] if isinstance(seen, str) else [OperatorDeployment(body) for body in seen]
    if not operators or not all(found.namespaces for found in operators):
        return  # or the user may not list them
    first = operators[0]
    message = (
        f"nobody would process a {names.ROTATION_KIND}: the operator (Deployment {first.namespace}/{first.name}) acts "
        f"in some namespaces only (--namespaces {','.join(first.namespaces)}), and doesn't watch rotations"
    )
    remedy = f"Name agents instead, to set their annotation {names.ANNOTATION_ROTATE}: litclaw rotate team-a/scout."
    raise CommandError(message, remedy)


async def _selected(kube: Kube, request: RotationRequest) -> Selected:
    ref = request.parsed.route_ref
    route = (ref.namespace, ref.name) if ref else None
    agents: list[dict[str, Any]] = []
    routes: list[dict[str, Any]] = []
    if "VirtualKeys" in request.parsed.what:
        agents = await kube.objects(AGENT, request.namespace, labels=request.labels)
        agents = [body for body in agents if _has_key(body) and (route is None or route_key_of(body) == route)]
    if "MasterKeys" in request.parsed.what:
        routes = await kube.objects(ROUTE, request.namespace)
        # The operator can't rotate an external proxy's master key. If its route is named, the rotation reports that.
        routes = [body for body in routes if (name_of(body) == route if route else "managed" in body["spec"])]
    return Selected(sorted(agents, key=name_of), sorted(routes, key=name_of))


def _has_key(agent: Body) -> bool:
    """Whether there is a key to rotate: an agent without one gets a new key anyway."""
    status = agent.get("status") or {}
    return not is_deleting(agent) and bool((status.get("key") or {}).get("hash"))


def _is_users_key(route: Body) -> bool:
    """Whether a route's master key is in a Secret of its owner's, which the operator doesn't write."""
    return "masterKeySecretRef" in route["spec"].get("managed", {"masterKeySecretRef": None})


def count(selected: Selected | None) -> str:
    """How many keys a rotation selects, in words."""
    if selected is None:
        return "you aren't allowed to see how many keys that are"
    parts = [plural(len(selected.agents), "agent")] if selected.agents else []
    parts += [plural(len(selected.routes), "master key")] if selected.routes else []
    return " and ".join(parts) or "nothing"


def show_preview(request: RotationRequest, selected: Selected, output_format: OutputFormat) -> None:
    """Print what a rotation would select."""
    if output_format is not OutputFormat.TABLE:
        found = {
            "agents": [title(body) for body in selected.agents],
            "routes": [title(body) for body in selected.routes],
        }
        output.data({"rotation": request.manifest(), **found}, output_format)
        return
    screen, at = Screen.of(sys.stdout), now()
    if selected.agents:
        rows = [[title(body), "/".join(route_key_of(body)), _key_age(body, at)] for body in selected.agents]
        output.lines(table(_AGENT_COLUMNS, rows, screen))
    if selected.routes:
        rows = [[title(body), "refused: it is its owner's" if _is_users_key(body) else ""] for body in selected.routes]
        output.lines(table(_ROUTE_COLUMNS, rows, screen))
    grace = request.parsed.grace_period
    output.info(f"Nothing is made: {count(selected)} would be rotated, old keys living on for {grace}.")


def _key_age(agent: Body, at: datetime) -> str:
    created = parse_time(((agent.get("status") or {}).get("key") or {}).get("rotatedAt"))
    return age((at - created).total_seconds()) if created else "-"
