"""One reconcile of a LiteLLMRoute: deploy a managed proxy, observe what answers, and offer it to the agents."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from litclaw.api.quantity import format_usd
from litclaw.api.route import LiteLLMRoute, RouteKeys, RouteStatus
from litclaw.kube.resources import ROUTE
from litclaw.litellm.errors import LiteLLMError
from litclaw.net.address import Reach
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, Conditions, ConditionType
from litclaw.reconcile.core.finalizer import ensure_finalizer
from litclaw.reconcile.core.last_resort import guarded, set_blocked
from litclaw.reconcile.core.status import dump, invalid_spec, write_status
from litclaw.reconcile.proxy.connection import Connection
from litclaw.reconcile.proxy.offer import Offer
from litclaw.reconcile.proxy.session import Credentials, RouteKey
from litclaw.reconcile.route.connect import checked_url, connect, disconnect, locate, peer_of, read_credentials
from litclaw.reconcile.route.deletion import finalize_route
from litclaw.reconcile.route.deploy import deploy, withdraw
from litclaw.reconcile.route.former import Proxies, end_former_keys, proxies_of, remember
from litclaw.reconcile.route.proxy_conditions import (
    NotObservedYet,
    blocked_by,
    latest_observation,
    models_left_out,
    offered_models,
    require_usable,
)
from litclaw.reconcile.route.sweep import sweep, sweeps
from litclaw.reconcile.route.unreadable import connect_unreadable
from litclaw.render.route.service import service_url

log = logging.getLogger(__name__)

REQUIRED_CONDITIONS = (
    ConditionType.SECRETS_READY,
    ConditionType.DATABASE_READY,
    ConditionType.PROXY_READY,
    ConditionType.MODELS_READY,
)
_NOT_OURS = (
    "NotOurs: the master key of an external proxy is changed where that runs; then put it into the Secret that "
    "spec.external.masterKeySecretRef names."
)


@dataclass(slots=True)
class _Pass:
    """What one pass finds out, for the status."""

    url: str = ""
    version: str = ""
    proxies: Proxies = ()


async def reconcile_route(context: Context, namespace: str, name: str) -> float | None:
    """Bring one route closer to its spec.

    Returns:
        Seconds after which to reconcile again, or None.
    """
    key = (namespace, name)
    body = context.cache.get(ROUTE.kind, namespace, name)
    if body is None:
        disconnect(context, key)
        context.forget_attempts(ROUTE.kind, *key)
        return None
    requeue_after, failed = await guarded(context, body, REQUIRED_CONDITIONS, lambda: _reconcile(context, key, body))
    if failed:
        context.fail_rotation(body["metadata"]["uid"], f"{failed.reason}: {failed.message}")
    return requeue_after


async def _reconcile(context: Context, key: RouteKey, cached: Mapping[str, Any]) -> float | None:
    body = await context.full(cached)
    if body is None:
        return None  # its deletion comes as an event
    if "deletionTimestamp" in body["metadata"]:
        requeue_after = await finalize_route(context, body)
        if requeue_after is None:
            disconnect(context, key)
        return requeue_after
    try:
        route = LiteLLMRoute.model_validate(body)
    except ValidationError as error:
        why = invalid_spec(error)
        context.fail_rotation(body["metadata"]["uid"], f"{why.reason}: {why.message}")
        await set_blocked(context, body, REQUIRED_CONDITIONS, why)
        await _revoke_unreadable(context, key, body)
        context.routes_seen.add(key)
        return intervals.ROUTE_RESYNC
    if route.spec.external:
        await ensure_finalizer(context, body)
    conditions, requeue_after = Conditions(REQUIRED_CONDITIONS), intervals.ROUTE_RESYNC
    found = _Pass(proxies=proxies_of(route, context.now()))
    problem: Blocked | None = None
    try:
        await _converge(context, key, route, body, conditions, found)
    except NotObservedYet:
        return intervals.OBSERVE_LIMIT + intervals.ROUTE_BLOCKED  # the session enqueues the route before
    except Blocked as why:
        problem = why
    unswept = await _sweep(context, key)
    if problem := problem or (blocked_by(unswept, route) if unswept else None):
        if problem.condition != ConditionType.MODELS_READY and not problem.serving:
            _withdraw_offer(context, key)
        if problem.stalled:
            context.fail_rotation(route.metadata.uid, f"{problem.reason}: {problem.message}")
        conditions.set_blocked(problem)
        requeue_after = problem.retry or intervals.ROUTE_BLOCKED
    else:
        conditions.set_ready(f"{_count(context, key)} can be asked for at {found.url}.")
    found.proxies = await end_former_keys(context, route, body, found.proxies)
    connection = context.routes.get(key)
    offer = connection.offer if connection else None
    context.enqueue_agents_if_changed(key, (route.spec.allowed_namespaces, offer))
    context.routes_seen.add(key)
    fresh = context.cache.get(ROUTE.kind, *key) or body
    await write_status(context, fresh, _status(context, key, route, conditions, found, connection))
    return requeue_after


async def _revoke_unreadable(context: Context, key: RouteKey, body: Mapping[str, Any]) -> None:
    """Revoke keys at the proxy of a route whose spec can't be validated. Its agents learn what else has changed."""
    try:
        await connect_unreadable(context, key, body)
    except Blocked as why:
        log.info("%s/%s can't be read, nor its proxy be reached: %s", *key, why.message)
    if error := await _sweep(context, key):
        log.info("%s/%s can't be read, and keys aren't revoked at its proxy: %s", *key, error)
    connection = context.routes.get(key)
    allowed = (body.get("spec") or {}).get("allowedNamespaces")
    context.enqueue_agents_if_changed(key, (allowed, connection.offer if connection else None))


async def _sweep(context: Context, key: RouteKey) -> LiteLLMError | None:
    """Sweep the route's proxy, if it answers: a route that isn't ready for another reason revokes keys too.

    Returns:
        The problem if the proxy doesn't do it.
    """
    connection = context.routes.get(key)
    if connection and connection.session.up_to_date and sweeps(context, key):
        try:
            async with asyncio.timeout(intervals.SWEEP_LIMIT):
                await sweep(context, connection.session)
        except TimeoutError:
            return None  # the next pass goes on where this one has stopped
        except LiteLLMError as error:
            return error
    return None


def _count(context: Context, key: RouteKey) -> str:
    offer = context.routes[key].offer
    models = len(offer.models) if offer else 0
    return f"{models} model{'s' if models != 1 else ''}"


def _withdraw_offer(context: Context, key: RouteKey) -> None:
    """Keys can't be created at the proxy now; what agents have goes on."""
    connection = context.routes.get(key)
    if connection and connection.offer:
        connection.offer = replace(connection.offer, usable=False)


async def _converge(
    context: Context,
    key: RouteKey,
    route: LiteLLMRoute,
    body: Mapping[str, Any],
    conditions: Conditions,
    found: _Pass,
) -> None:
    pending: Blocked | None = None
    if managed := route.spec.managed:
        found.url = service_url(route, managed)
        deployed = await deploy(context, route, managed, conditions)
        pending = deployed.pending
        credentials = Credentials(found.url, deployed.master_key, master_key_before=deployed.master_key_before)
    elif external := route.spec.external:
        found.url = checked_url(external.url)
        credentials = await read_credentials(context, route, external, found.url)
        conditions.set_true(ConditionType.SECRETS_READY, "Found")
        await withdraw(context, route)
        context.fail_rotation(route.metadata.uid, _NOT_OURS)
    else:
        message = "Exactly one of spec.managed and spec.external must be set."
        raise Blocked(ConditionType.PROXY_READY, "InvalidSpec", message, stalled=True)
    where, resolves = await locate(context, found.url)
    connection = connect(context, key, credentials)
    before = connection.offer
    connection.session.blocks_spread = managed is None or managed.redis is not None
    observation = latest_observation(connection, fresh=_needs_fresh(route, before))
    require_usable(route, connection, observation, conditions)
    found.version = observation.release
    models, problem = offered_models(route, found.url, observation, before.models if before else ())
    if external := route.spec.external:
        found.proxies = await remember(context, body, external, credentials, found.proxies)
    connection.offer = Offer(
        url=found.url,
        authorities=credentials.authorities,
        reach=_lasting_reach(where, before, resolves=resolves),
        peer=await peer_of(context, route, found.url),
        models=models,
        limited=bool(route.spec.external and route.spec.models),
        key_defaults=route.spec.key_defaults,
        usable=True,
        allows_retain=route.spec.key_limits.retain == "Allow",
    )
    if problem and pending is None:
        raise problem
    if problem is None:
        conditions.set_true(ConditionType.MODELS_READY, "Served", models_left_out(route, observation, models).strip())
    if pending:
        raise pending


def _lasting_reach(now: Reach, before: Offer | None, *, resolves: bool) -> Reach:
    """Where the proxy is, for its agents: private as long as this process has seen it so once.

    A name may lead to public and private addresses in turn, and each turn would restart every gateway. A name that doesn't
    resolve hasn't moved.
    """
    if before and (before.reach is Reach.PRIVATE or not resolves):
        return before.reach
    return now


def _needs_fresh(route: LiteLLMRoute, offer: Offer | None) -> bool:
    """True if the proxy must be observed now: the spec has changed, or the route wasn't ready."""
    ready = any(each.type == ConditionType.READY and each.status == "True" for each in route.status.conditions)
    return offer is None or not ready or route.status.observed_generation != route.metadata.generation


def _status(
    context: Context,
    key: RouteKey,
    route: LiteLLMRoute,
    conditions: Conditions,
    found: _Pass,
    connection: Connection | None,
) -> dict[str, object]:
    generation = route.metadata.generation
    agents = [body["metadata"]["uid"] for body in context.agents_of(key)]
    keys, spend = route.status.keys, route.status.spend
    if connection and connection.session.keys_read:
        table = connection.session.table
        live, retiring = table.count(agents)
        keys, spend = RouteKeys(live=live, retiring=retiring), format_usd(table.spend(agents))
    offer = connection.offer if connection else None
    status = RouteStatus(
        observed_generation=generation,
        url=found.url,
        version=found.version or route.status.version,
        models=len(offer.models) if offer else len(route.spec.models),
        agents=len(agents),
        keys=keys,
        spend=spend,
        proxies=list(found.proxies),
    )
    return dump(status, conditions.render(route.status.conditions, generation=generation, now=context.now()))
