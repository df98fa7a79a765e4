"""Routes, agents and rotations, by their own status."""

from datetime import timedelta

from litclaw.cli.checks.check import Check, cut, fail, objects, ok, skip, warn
from litclaw.cli.output import age, condition, plural
from litclaw.cli.view import Body, agent_row, health, moment, now, route_row, title
from litclaw.kube.client import Kube
from litclaw.kube.resources import AGENT, ROTATION, ROUTE

_LATE = timedelta(minutes=10)
"""How long after its end an old key may take to be deleted; the operator does it after a minute and a half."""


async def check_routes(kube: Kube) -> list[Check]:
    """Each route: what it rests on, and what answers there."""
    found = await objects(kube, ROUTE)
    if isinstance(found, str):
        return [_unseen("routes", found)]
    if not found:
        return [warn("routes", "there are none", "kubectl apply -f examples/quickstart/route.yaml, or one of your own")]
    return cut(sorted((_check_route(body) for body in found), key=lambda check: check.outcome == "ok"), "routes")


def _check_route(body: Body) -> Check:
    name, seen, row = f"route {title(body)}", health(body), route_row(body)
    if not seen.fine:
        # The condition's sentence says what to do.
        return (fail if seen.stalled else warn)(name, seen.reason, seen.message)
    database = condition(body, "DatabaseReady").get("reason", "").lower()
    detail = (
        f"LiteLLM {row.version or 'of unknown release'} answers at {row.url}; database {database or 'unknown'}; "
        f"{plural(row.models, 'model')}, {plural(row.agents, 'agent')}, {plural(row.live_keys, 'key')}"
    )
    if not row.version:
        return warn(name, detail, "The proxy doesn't say which LiteLLM it is: see that it is 1.60.0 or later.")
    return ok(name, detail)


async def check_agents(kube: Kube) -> list[Check]:
    """How many agents are ready, and which aren't; and keys whose end is overdue."""
    found = await objects(kube, AGENT)
    if isinstance(found, str):
        return [_unseen("agents", found)]
    wrong = [(body, seen) for body in found if not (seen := health(body)).fine]
    checks = [ok("agents", f"{len(found) - len(wrong)} of {plural(len(found), 'agent')} ready")]
    checks += cut(
        [(fail if seen.stalled else warn)(f"agent {title(body)}", seen.reason, seen.message) for body, seen in wrong],
        "agents",
    )
    return checks + _overdue(found)


def _overdue(agents: list[Body]) -> list[Check]:
    at = now()
    late = [
        (body, end)
        for body in agents
        if (end := moment(agent_row(body).retiring_until)) is not None and at - end > _LATE
    ]
    remedy = "The operator deletes it when the proxy can be reached: see the route above, and the operator's log."
    return cut(
        [
            warn(f"agent {title(body)}", f"an old key should have ended {age((at - end).total_seconds())} ago", remedy)
            for body, end in late
        ],
        "agents",
    )


async def check_rotations(kube: Kube) -> list[Check]:
    """Rotations that didn't go through, or rest."""
    found = await objects(kube, ROTATION)
    if isinstance(found, str):
        return [_unseen("rotations", found)]
    checks: list[Check] = []
    for body in found:
        name, status = f"rotation {body['metadata']['name']}", body.get("status") or {}
        phase, failed = status.get("phase") or "Pending", status.get("failed") or 0
        if phase in ("Failed", "Stopped"):
            remedy = f"kubectl describe llkr {body['metadata']['name']} names them. Mend them, and rotate again."
            checks.append(warn(name, f"{phase}, with {plural(failed, 'failure')}", remedy))
        elif phase == "Suspended":
            remedy = (
                f"""kubectl patch llkr {body["metadata"]["name"]} --type=merge -p '{{"spec":{{"suspend":false}}}}'"""
            )
            checks.append(warn(name, "is suspended", remedy))
    return cut(checks, "rotations") if checks else [ok("rotations", f"{plural(len(found), 'rotation')}, none failed")]


def _unseen(name: str, why: str) -> Check:
    if why == "unknown":
        return skip(name, "the cluster doesn't know the kind: see the CRDs above")
    return skip(name, f"you aren't allowed to list {name} in all namespaces")
