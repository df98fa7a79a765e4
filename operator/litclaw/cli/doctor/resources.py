"""Routes, agents and rotations, by their own status."""

from collections.abc import Sequence
from datetime import timedelta

from litclaw.cli.doctor.check import Check, fail, limited, objects, ok, skip, warn
from litclaw.cli.output import age, plural
from litclaw.cli.view import Body, agent_row, health, now, parse_time, route_row, title
from litclaw.kube.client import Kube
from litclaw.kube.objects import condition_of
from litclaw.kube.resources import AGENT, ROTATION, ROUTE

_ALL = "litclaw status -A --not-ready"
_OVERDUE = timedelta(minutes=10)
"""How long after its expiry an old key may still exist; the operator deletes it within a minute and a half."""


async def check_routes(kube: Kube) -> list[Check]:
    """Each route: its conditions, and the LiteLLM that answers."""
    found = await objects(kube, ROUTE)
    if isinstance(found, str):
        return [_not_listed("routes", found)]
    if not found:
        return [warn("routes", "there are none", "kubectl apply -f examples/quickstart/route.yaml, or one of your own")]
    checks = sorted((_check_route(body) for body in found), key=lambda check: check.outcome == "ok")
    return limited(checks, "routes", _ALL)


def _check_route(body: Body) -> Check:
    name, seen, row = f"route {title(body)}", health(body), route_row(body)
    if not seen.ok:
        # The condition's message says what to do.
        return (fail if seen.stalled else warn)(name, seen.reason, seen.message)
    database = condition_of(body, "DatabaseReady").get("reason", "").lower()
    detail = (
        f"LiteLLM {row.version or 'of unknown release'} answers at {row.url}; database {database or 'unknown'}; "
        f"{plural(row.models, 'model')}, {plural(row.agents, 'agent')}, {plural(row.live_keys, 'key')}"
    )
    if not row.version:
        return warn(name, detail, "The proxy doesn't report its LiteLLM release: check that it is 1.60.0 or later.")
    return ok(name, detail)


async def check_agents(kube: Kube) -> list[Check]:
    """How many agents are ready, the problems of the others, and old keys whose expiry is overdue."""
    found = await objects(kube, AGENT)
    if isinstance(found, str):
        return [_not_listed("agents", found)]
    problems = [(body, seen) for body in found if not (seen := health(body)).ok]
    checks = [
        (fail if seen.stalled else warn)(f"agent {title(body)}", seen.reason, seen.message) for body, seen in problems
    ]
    ready = ok("agents", f"{len(found) - len(problems)} of {plural(len(found), 'agent')} ready")
    return [ready, *limited(checks, "agents", _ALL), *_overdue(found)]


def _overdue(agents: Sequence[Body]) -> list[Check]:
    at = now()
    remedy = "The operator deletes it when the proxy can be reached: see the route above, and the operator's log."
    checks = []
    for body in agents:
        end = parse_time(agent_row(body).retiring_until)
        if end is not None and at - end > _OVERDUE:
            late = age((at - end).total_seconds())
            checks.append(warn(f"agent {title(body)}", f"an old key should have ended {late} ago", remedy))
    return limited(checks, "old keys", "litclaw status -A --agents -o yaml")


async def check_rotations(kube: Kube) -> list[Check]:
    """Rotations that failed or are suspended."""
    found = await objects(kube, ROTATION)
    if isinstance(found, str):
        return [_not_listed("rotations", found)]
    checks: list[Check] = []
    for body in found:
        rotation, status = body["metadata"]["name"], body.get("status") or {}
        phase, failed = status.get("phase") or "Pending", status.get("failed") or 0
        if phase in ("Failed", "Stopped"):
            remedy = f"kubectl describe llkr {rotation} lists them. Fix them, and rotate again."
            checks.append(warn(f"rotation {rotation}", f"{phase}, with {plural(failed, 'failure')}", remedy))
        elif phase == "Suspended":
            remedy = f"""kubectl patch llkr {rotation} --type=merge -p '{{"spec":{{"suspend":false}}}}'"""
            checks.append(warn(f"rotation {rotation}", "is suspended", remedy))
    return limited(checks, "rotations", "kubectl get llkr") or [
        ok("rotations", f"{plural(len(found), 'rotation')}, none failed")
    ]


def _not_listed(plural_noun: str, why: str) -> Check:
    if why == "unknown":
        return skip(plural_noun, "the cluster doesn't know the kind: see the CRDs above")
    return skip(plural_noun, f"you aren't allowed to list {plural_noun} in all namespaces")
