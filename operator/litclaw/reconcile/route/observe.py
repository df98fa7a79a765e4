"""What answers at a route's URL: a proxy with a database, our master key and the models; and the keys that it holds."""

import asyncio
import logging
import re
import socket
from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.api.models import OpenClawModel
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.resources import AGENT, SECRET
from litclaw.litellm.errors import (
    LiteLLMError,
    NoDatabaseError,
    NotLiteLLMError,
    RefusedAddressError,
    RejectedError,
    UnauthorizedError,
    UntrustedError,
)
from litclaw.net.address import Reach, host, reach
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.core.conditions import PROXY_READY, Blocked, Conditions, listed
from litclaw.reconcile.keys.end import end_keys
from litclaw.render.openclaw.config import ModelFacts, model_facts

log = logging.getLogger(__name__)

OLDEST_RELEASE = (1, 60, 0)
"""The first LiteLLM whose /key/list knows ``return_full_object`` (its source; 1.57.0 doesn't)."""
_REFRESH_SECONDS = 30.0
HURRY_SECONDS = 5.0
_REFRESH_SHARE = 20.0  # a table that takes a second to read is read every twenty seconds at the most


async def locate(url: str) -> tuple[Reach, bool]:
    """Where the proxy is, by its name and what the name resolves to; and whether it resolves.

    Raises:
        Blocked: at a link-local or metadata address, which no key may be sent to.
    """
    addresses: list[str] = []
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host(url), None, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
    except (OSError, UnicodeError):
        log.debug("%s doesn't resolve", host(url))  # the first request says so in a condition
    where = reach(url, addresses)
    if where is Reach.LINK_LOCAL:
        message = f"{url} is at a link-local or metadata address, which can't be a LiteLLM proxy: mend the URL."
        raise Blocked(PROXY_READY, "LinkLocalAddress", message, stalled=True, retry=60.0)
    return where, bool(addresses)


def blocked_by(error: LiteLLMError, route: LiteLLMRoute) -> Blocked:
    """What to say of a proxy that doesn't do as asked."""
    name = "spec.external.url" if route.spec.external else "the proxy's pods"
    if isinstance(error, UnauthorizedError):
        message = f"{error}: put the proxy's master key into the Secret that the route names."
        return Blocked(PROXY_READY, "MasterKeyRefused", message, stalled=True)
    if isinstance(error, NoDatabaseError):
        return Blocked(PROXY_READY, "NoDatabase", f"{error}: give LiteLLM a database_url.", stalled=True)
    if isinstance(error, RefusedAddressError):
        return Blocked(PROXY_READY, "LinkLocalAddress", f"{error}: mend the URL.", stalled=True, retry=60.0)
    if isinstance(error, NotLiteLLMError | RejectedError):
        # A managed proxy has no URL to be mended, and a rotation of its master key isn't given up for one odd answer.
        return Blocked(PROXY_READY, "NotLiteLLM", f"{error}.", stalled=bool(route.spec.external))
    if isinstance(error, UntrustedError):
        message = (
            f"{error}. Name the proxy's authority in spec.external.caBundleSecretRef, or mend the name in the URL."
        )
        return Blocked(PROXY_READY, "CertificateNotTrusted", message, stalled=True)
    message = f"{error}: check {name}; it is tried again by itself."
    return Blocked(PROXY_READY, "Unreachable", message, stalled=bool(route.spec.external))


def _check_release(url: str, release: str) -> None:
    numbers = tuple(int(number) for number in re.findall(r"\d+", release)[:3])
    if numbers and numbers < OLDEST_RELEASE:
        oldest = ".".join(str(number) for number in OLDEST_RELEASE)
        message = f"{url} runs LiteLLM {release}, which can't list its keys in full: upgrade it to {oldest} or later."
        raise Blocked(PROXY_READY, "TooOld", message, stalled=True, retry=60.0)


async def observe(context: Context, route: LiteLLMRoute, state: RouteState, conditions: Conditions) -> str:
    """Ask the proxy for everything that the route's agents rest on.

    Returns:
        The proxy's LiteLLM release.

    Raises:
        Blocked: it isn't usable, or lacks a model.
    """
    try:
        readiness = await state.client.readiness()
        if not readiness.database:
            raise NoDatabaseError(f"{state.url} runs without a database, so it can't keep keys")
        conditions.true("DatabaseReady", "Connected")
        release = await state.client.release() or readiness.version
        _check_release(state.url, release)
        info = await state.client.model_info()
        _wake(context, route, await _refresh(context, state))
    except LiteLLMError as error:
        raise blocked_by(error, route) from None
    conditions.true(PROXY_READY, "Answers")
    state.usable = True
    _take_models(route, state, info)
    conditions.true("ModelsReady", "Served")
    await _sweep(context, route, state)
    return release


async def _refresh(context: Context, state: RouteState) -> set[str]:
    clock = asyncio.get_running_loop().time
    started, pause = clock(), HURRY_SECONDS if context.now() < state.hurry_until else _REFRESH_SECONDS
    if started - state.refreshed_at < max(pause - 1, _REFRESH_SHARE * state.refresh_seconds):
        return set()
    changed = await state.table.refresh(state.client)
    took = clock() - started
    # One slow answer isn't a large table: by a hiccup of half a minute, keys would go unseen for ten.
    state.refresh_seconds = min(took, 2 * state.refresh_seconds or took)
    state.refreshed_at = started
    return changed


def _take_models(route: LiteLLMRoute, state: RouteState, info: Mapping[str, Mapping[str, Any]]) -> None:
    given = {model.name: model for model in route.spec.models}
    missing = [name for name in given if name not in info]
    facts: list[ModelFacts] = []
    for name in given or info:
        if name in info:
            openclaw = given[name].openclaw if name in given else OpenClawModel()
            facts.append(model_facts(name, openclaw, info[name]))
    if not info and not given:
        message = f"The proxy at {state.url} has no models: add some there, and they are found by themselves."
        raise Blocked("ModelsReady", "NoModels", message, stalled=True, retry=30.0)
    if not missing or route.spec.external:
        state.facts = tuple(facts)
        state.limited = bool(route.spec.external and given)
    if missing and route.spec.external:
        message = (
            f"The proxy at {state.url} has no model {missing[0]!r}, named in spec.models: "
            f"it has {listed(sorted(info))}."
        )
        raise Blocked("ModelsReady", "ModelNotFound", message, stalled=True, retry=30.0)
    if missing:
        message = f"Waits for the proxy's pods with the model {missing[0]!r}."
        raise Blocked("ModelsReady", "RollingOut", message, stalled=False, retry=5.0)


def _wake(context: Context, route: LiteLLMRoute, changed: set[str]) -> None:
    for body in context.agents_of((route.metadata.namespace, route.metadata.name)):
        if body["metadata"]["uid"] in changed:
            context.wake((AGENT.kind, body["metadata"]["namespace"], body["metadata"]["name"]))


async def _sweep(context: Context, route: LiteLLMRoute, state: RouteState) -> None:
    """End the keys whose agent is gone, or has taken up another route's key.

    What the cache doesn't know is looked up in the API before anything is deleted.
    """
    agents = {body["metadata"]["uid"]: body for body in context.cache.all(AGENT.kind)}
    key = (route.metadata.namespace, route.metadata.name)
    orphans: list[str] = []
    unknown = state.table.agents() - agents.keys()
    if unknown:
        unknown -= await context.living_agents()
    for uid in state.table.agents():
        rows = state.table.of(uid)
        if uid in unknown:
            ours = [row for row in rows if row.mark and not row.mark.retained and context.acts_in(row.mark.namespace)]
            orphans += [row.token for row in ours]
        elif uid in agents and await _has_moved(context, agents[uid], key, state):
            orphans += [row.token for row in rows]
    if not orphans:
        return
    log.info("deleting %d keys without an owner at %s", len(orphans), state.url)
    try:
        await end_keys(state, orphans)
    except LiteLLMError as error:
        raise blocked_by(error, route) from None


async def _has_moved(context: Context, body: Mapping[str, Any], key: tuple[str, str], state: RouteState) -> bool:
    """Whether an agent has been given a key of another route's proxy. Nothing is said of what it asks for now."""
    spec, meta = body["spec"], body["metadata"]
    wanted = (spec["routeRef"].get("namespace") or meta["namespace"], spec["routeRef"]["name"])
    if wanted == key or "deletionTimestamp" in meta:
        return False
    other = context.routes.get(wanted)
    if other is None or not other.usable:
        return False
    name = (spec.get("key") or {}).get("secretName") or names.agent_secret(meta["name"])
    secret = context.cache.get(SECRET.kind, meta["namespace"], name)
    delivered = ((secret or {}).get("data") or {}).get(names.API_KEY)
    if delivered is None or other.table.get(delivered) is None or state.table.get(delivered) is not None:
        return False
    # One proxy may have several routes, under several names; then it knows the agent's key, though this table may not yet.
    return other.url != state.url and await state.client.key(delivered) is None
