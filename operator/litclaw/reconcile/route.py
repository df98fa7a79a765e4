"""One reconcile of a LiteLLMRoute: deploy what is managed, see what answers, and tell the agents that use it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr, ValidationError

from ..api.route import LiteLLMRoute, RouteKeys, RouteStatus
from ..kube.resources import ROUTE
from ..render.route_service import service_url
from . import report, route_connect, route_deploy, route_observe
from .conditions import PROXY_READY, Blocked, Conditions
from .finalizer import hold
from .guard import guarded, say
from .route_finish import finish
from .world import RouteState, World

RESTS_ON = ("SecretsReady", "DatabaseReady", PROXY_READY, "ModelsReady")
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


async def reconcile_route(world: World, namespace: str, name: str) -> float | None:
    """Compare what is with what should be, once.

    Returns:
        After how many seconds to look again, or None.
    """
    key = (namespace, name)
    body = world.cache.get(ROUTE.kind, namespace, name)
    if body is None:
        _forget(world, key)
        return None
    return await guarded(world, body, RESTS_ON, lambda: _pass(world, key, body))


def _forget(world: World, key: tuple[str, str]) -> None:
    if state := world.routes.pop(key, None):
        world.retire(state.client)
    world.show_agents(key, None)


async def _pass(world: World, key: tuple[str, str], body: Mapping[str, Any]) -> float | None:
    if "deletionTimestamp" in body["metadata"]:
        again = await finish(world, body)
        if again is None:
            _forget(world, key)
        return again
    try:
        route = LiteLLMRoute.model_validate(body)
    except ValidationError as error:
        await say(world, body, RESTS_ON, report.unreadable(error))
        return None
    if route.spec.external:
        await hold(world, body)
    conditions, seen, again = Conditions(RESTS_ON), _Seen(), LOOK_AGAIN_SECONDS
    try:
        await _converge(world, route, conditions, seen)
        conditions.ready(f"{_count(world, key)} can be asked for at {seen.url}.")
        if world.routes[key].hurry_until > world.now():
            again = route_observe.HURRY_SECONDS
    except Blocked as why:
        if why.condition != "ModelsReady" and not why.serving and (state := world.routes.get(key)):
            state.usable = False
        if why.stalled:
            world.give_up(route.metadata.uid, f"{why.reason}: {why.message}")
        conditions.blocked(why)
        again = why.retry or _BLOCKED_SECONDS
    held = world.routes.get(key)
    world.show_agents(key, (route.spec.allowed_namespaces, held.signature() if held else None))
    fresh = world.cache.get(ROUTE.kind, *key) or body
    await report.write_status(world, fresh, _status(world, route, conditions, seen, held))
    return again


def _count(world: World, key: tuple[str, str]) -> str:
    models = len(world.routes[key].facts)
    return f"{models} model{'s' if models != 1 else ''}"


async def _converge(world: World, route: LiteLLMRoute, conditions: Conditions, seen: _Seen) -> None:
    held_back: Blocked | None = None
    before: SecretStr | None = None
    if managed := route.spec.managed:
        seen.url = service_url(route, managed)
        deployed = await route_deploy.deploy(world, route, managed, conditions)
        key, before, held_back = deployed.master_key, deployed.master_key_before, deployed.held_back
        authorities = ""
    elif external := route.spec.external:
        seen.url = route_connect.checked_url(external.url)
        key, authorities = await route_connect.read_secrets(world, route, external)
        conditions.true("SecretsReady", "Found")
        await route_deploy.withdraw(world, route)
        world.give_up(route.metadata.uid, _NOT_OURS)
    else:
        message = "Exactly one of spec.managed and spec.external must be set."
        raise Blocked(PROXY_READY, "InvalidSpec", message, stalled=True)
    where, resolved = await route_observe.locate(seen.url)
    state = route_connect.connect(world, route, seen.url, key, authorities, before)
    if resolved or not state.seen:
        state.reach = where  # a name that doesn't resolve just now hasn't moved
    state.blocks_spread = route.spec.managed is None or route.spec.managed.redis is not None
    state.peer = await route_connect.peer_of(world, route, seen.url)
    state.key_defaults = route.spec.key_defaults
    try:
        seen.version = await route_observe.observe(world, route, state, conditions)
    except Blocked as why:
        if held_back is None or why.condition != "ModelsReady":
            raise
    if held_back:
        raise held_back


def _status(
    world: World, route: LiteLLMRoute, conditions: Conditions, seen: _Seen, state: RouteState | None
) -> dict[str, object]:
    key = (route.metadata.namespace, route.metadata.name)
    generation = route.metadata.generation
    status = RouteStatus(
        observed_generation=generation,
        url=seen.url,
        version=seen.version or route.status.version,
        models=len(state.facts) if state else len(route.spec.models),
        agents=sum(1 for _ in world.agents_of(key)),
        keys=_keys(state) if state else route.status.keys,
        spend=state.spend_text if state else route.status.spend,
    )
    return report.dump(status, conditions.render(route.status.conditions, generation=generation, now=world.now()))


def _keys(state: RouteState) -> RouteKeys:
    retiring = state.table.retiring
    return RouteKeys(live=len(state.table) - retiring, retiring=retiring)
