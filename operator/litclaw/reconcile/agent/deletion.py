"""The deletion of an agent: its keys end before it does, or stay with their Secret if its deletion policy is Retain."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from pydantic import ValidationError

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.kube.objects import forbids_retain, is_deleting
from litclaw.kube.resources import NAMESPACE, ROUTE, SECRET
from litclaw.litellm.errors import LiteLLMError
from litclaw.reconcile.agent.revoke import keys_by_proxy
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.core.finalizer import remove_finalizer, remove_finalizer_when_late
from litclaw.reconcile.core.owned_objects import get_live
from litclaw.reconcile.keys.delete import delete_keys
from litclaw.reconcile.keys.retain import detach_secret, retain_keys
from litclaw.reconcile.proxy.session import ProxySession


async def finalize_agent(context: Context, body: Mapping[str, Any]) -> float | None:
    """End the agent's keys, or retain them, and remove the finalizer.

    Returns:
        Seconds after which to retry, or None when it is done.
    """
    try:
        agent = OpenClawAgent.model_validate(body)
    except ValidationError:
        await remove_finalizer(context, body)  # the sweep ends the keys of released agents
        return None
    for session in context.sessions():
        session.undelivered.pop(agent.metadata.uid, None)
    retain = agent.spec.key.deletion_policy == "Retain" and _may_retain(context, agent)
    if not await _keys_are_done(context, agent, body, retain=retain):
        rest = "may be taken for an orphan" if retain else "is deleted when the proxy is back"
        message = (
            f"LiteLLMRoute {'/'.join(agent.route_key)} can't be reached, so the key {agent.alias!r} is left there. "
            f"It {rest}."
        )
        return await remove_finalizer_when_late(context, body, message)
    await remove_finalizer(context, body)
    return None


def _may_retain(context: Context, agent: OpenClawAgent) -> bool:
    """True unless the route forbids it or is being deleted, or the namespace is being deleted, and with it the Secret."""
    route = context.cache.get(ROUTE.kind, *agent.route_key)
    home = context.cache.get(NAMESPACE.kind, "", agent.metadata.namespace)
    return not (route and (forbids_retain(route) or is_deleting(route))) and not (home and is_deleting(home))


async def _keys_are_done(context: Context, agent: OpenClawAgent, body: Mapping[str, Any], *, retain: bool) -> bool:
    """End or retain the agent's keys, those at a proxy that it has left among them; False if its proxy doesn't do it.

    Another proxy isn't waited for, unless a key there is to be retained: its sweep ends the keys of deleted agents. It may list
    keys with the agent's uid that never were the agent's.
    """
    connection = context.routes.get(agent.route_key)
    home = connection.session if connection else None
    has_route = context.cache.get(ROUTE.kind, *agent.route_key) is not None
    elsewhere: dict[ProxySession, list[str]] = {}
    for session, rows in keys_by_proxy(context, body):
        if session is not home:
            elsewhere[session] = [row.token for row in rows]
    held = await _held_token(context, agent) if retain else ""
    done = True
    if held and (has_route or any(held in tokens for tokens in elsewhere.values())):
        # Before any proxy is asked: if one stays away and the deletion doesn't wait any longer, the key isn't lost.
        done = await _is_detached(context, agent)
    if has_route:
        had_key = bool(agent.status.key.hash) or (home is not None and bool(home.table.of(agent.metadata.uid)))
        done &= not had_key or (connection is not None and connection.usable)
        if had_key and done and home:
            done = await _is_done((retain_keys if retain else _end_all)(context, agent, home))
    at_home = home is not None and home.table.get(held) is not None
    for session, tokens in elsewhere.items():
        retains = held in tokens
        # What else it lists is looked after at home, which may have retained it.
        work = retain_keys(context, agent, session) if retains else delete_keys(session, tokens)
        ended = await _is_done(work, intervals.SWEEP_LIMIT)
        done &= ended or at_home or not retains
    return done


async def _held_token(context: Context, agent: OpenClawAgent) -> str:
    """Token of the key in the agent's Secret; empty: none. The cache doesn't have a Secret that is detached already."""
    live = await get_live(context, SECRET.kind, agent.metadata.namespace, agent.secret_name)
    return str(((live or {}).get("data") or {}).get(names.API_KEY, ""))


async def _is_detached(context: Context, agent: OpenClawAgent) -> bool:
    try:
        await detach_secret(context, agent)
    except Blocked:
        return False
    return True


async def _is_done(work: Awaitable[None], limit: float | None = None) -> bool:
    try:
        async with asyncio.timeout(limit):
            await work
    except (LiteLLMError, Blocked, TimeoutError):
        return False
    return True


async def _end_all(context: Context, agent: OpenClawAgent, home: ProxySession) -> None:
    tokens = {row.token for row in home.table.of(agent.metadata.uid)}
    secret = context.cache.get(SECRET.kind, agent.metadata.namespace, agent.secret_name) or {}
    token = (secret.get("data") or {}).get(names.API_KEY)
    if token and token not in tokens:
        row = await home.client.key(token)
        if row and row.mark and row.mark.is_of(context.cluster, agent.metadata.uid):
            tokens.add(token)
    if tokens:
        await delete_keys(home, sorted(tokens))
