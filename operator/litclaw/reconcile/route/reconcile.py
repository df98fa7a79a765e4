"""One reconcile of a LiteLLMRoute: deploy what is managed, see what answers, and tell the agents that use it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr, ValidationError

from litclaw.api.route import LiteLLMRoute, RouteKeys, RouteStatus
from litclaw.kube.resources import ROUTE
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.core import report
from litclaw.reconcile.core.conditions import PROXY_READY, Blocked, Conditions
from litclaw.reconcile.core.finalizer import hold
from litclaw.reconcile.core.last_resort import guarded, say
from litclaw.reconcile.route import connect as route_connect
from litclaw.reconcile.route import deploy as route_deploy
from litclaw.reconcile.route import observe as route_observe
from litclaw.reconcile.route.deletion import finish
from litclaw.render.route.service import service_url

REQUIRED_CONDITIONS = ("SecretsReady", "DatabaseReady", PROXY_READY, "ModelsReady")
LOOK_AGAIN_SECONDS = 30.0
_BLOCKED_SECONDS = 10.0
_NOT_OURS = (
    "NotOurs: the master key of an external proxy is changed where that runs; then put it into the Secret that "
    "spec.external.masterKeySecretRef names."
)


@dataclass(slots=True)
class _Seen:
    url: str = ""
    version: str = ""


async def reconcile_route(context: Context, namespace: str, name: str) -> float | None:
    """Compare what is with what should be, once.

    Returns:
        After how many seconds to look requeue_after, or None.
    """
    key = (namespace, name)
    body = context.cache.get(ROUTE.kind, namespace, name)
    if body is None:
        _forget(context, key)
        return None
    return await guarded(context, body, REQUIRED_CONDITIONS, lambda: _pass(context, key, body))


def _forget(context: Context, key: tuple[str, str]) -> None:
    if state := context.routes.pop(key, None):
        context.retire(state.client)
    context.enqueue_agents_if_changed(key, None)


async def _pass(context: Context, key: tuple[str, str], body: Mapping[str, Any]) -> float | None:
    if "deletionTimestamp" in body["metadata"]:
        requeue_after = await finish(context, body)
        if requeue_after is None:
            _forget(context, key)
        return requeue_after
    try:
        route = LiteLLMRoute.model_validate(body)
    except ValidationError as error:
        await say(context, body, REQUIRED_CONDITIONS, report.unreadable(error))
        return None
    if route.spec.external:
        await hold(context, body)
    conditions, seen, requeue_after = Conditions(REQUIRED_CONDITIONS), _Seen(), LOOK_AGAIN_SECONDS
    try:
        await _converge(context, route, conditions, seen)
        conditions.ready(f"{_count(context, key)} can be asked for at {seen.url}.")
        if context.routes[key].hurry_until > context.now():
            requeue_after = route_observe.HURRY_SECONDS
    except Blocked as why:
        if why.condition != "ModelsReady" and not why.serving and (state := context.routes.get(key)):
            state.usable = False
        if why.stalled:
            context.fail_rotation(route.metadata.uid, f"{why.reason}: {why.message}")
        conditions.blocked(why)
        requeue_after = why.retry or _BLOCKED_SECONDS
    held = context.routes.get(key)
    context.enqueue_agents_if_changed(key, (route.spec.allowed_namespaces, held.signature() if held else None))
    fresh = context.cache.get(ROUTE.kind, *key) or body
    await report.write_status(context, fresh, _status(context, route, conditions, seen, held))
    return requeue_after


def _count(context: Context, key: tuple[str, str]) -> str:
    models = len(context.routes[key].facts)
    return f"{models} model{'s' if models != 1 else ''}"


async def _converge(context: Context, route: LiteLLMRoute, conditions: Conditions, seen: _Seen) -> None:
    pending: Blocked | None = None
    before: SecretStr | None = None
    if managed := route.spec.managed:
        seen.url = service_url(route, managed)
        deployed = await route_deploy.deploy(context, route, managed, conditions)
        key, before, pending = deployed.master_key, deployed.master_key_before, deployed.pending
        authorities = ""
    elif external := route.spec.external:
        seen.url = route_connect.checked_url(external.url)
        key, authorities = await route_connect.read_secrets(context, route, external)
        conditions.true("SecretsReady", "Found")
        await route_deploy.withdraw(context, route)
        context.fail_rotation(route.metadata.uid, _NOT_OURS)
    else:
        message = "Exactly one of spec.managed and spec.external must be set."
        raise Blocked(PROXY_READY, "InvalidSpec", message, stalled=True)
    where, resolved = await route_observe.locate(seen.url)
    state = route_connect.connect(context, route, seen.url, key, authorities, before)
    if resolved or not state.seen:
        state.reach = where  # a name that doesn't resolve just now hasn't moved
    state.blocks_spread = route.spec.managed is None or route.spec.managed.redis is not None
    state.peer = await route_connect.peer_of(context, route, seen.url)
    state.key_defaults = route.spec.key_defaults
    try:
        seen.version = await route_observe.observe(context, route, state, conditions)
    except Blocked as why:
        if pending is None or why.condition != "ModelsReady":
            raise
    if pending:
        raise pending


def _status(
    context: Context, route: LiteLLMRoute, conditions: Conditions, seen: _Seen, state: RouteState | None
) -> dict[str, object]:
    key = (route.metadata.namespace, route.metadata.name)
    generation = route.metadata.generation
    status = RouteStatus(
        observed_generation=generation,
        url=seen.url,
        version=seen.version or route.status.version,
        models=len(state.facts) if state else len(route.spec.models),
        agents=sum(1 for _ in context.agents_of(key)),
        keys=_keys(state) if state else route.status.keys,
        spend=state.spend_text if state else route.status.spend,
    )
    return report.dump(status, conditions.render(route.status.conditions, generation=generation, now=context.now()))


def _keys(state: RouteState) -> RouteKeys:
    retiring = state.table.retiring
    return RouteKeys(live=len(state.table) - retiring, retiring=retiring)
