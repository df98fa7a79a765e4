"""The deletion of a route: keys at external proxies end with it, because nobody knows the master key afterwards.

Those at a managed proxy go with its database. Agents are reconciled meanwhile, and a key that one of them gets at the last
moment must end too: from here on no key is begun, and those that were begun are waited for. An agent that has just moved to
another route keeps its key until it has got one there, for as long as a deletion may take.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from litclaw.api.route import LiteLLMRoute
from litclaw.kube.objects import is_deleting, route_key_of
from litclaw.kube.resources import ROUTE
from litclaw.litellm.errors import LiteLLMError
from litclaw.litellm.keys import KeyRow
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.core.finalizer import (
    has_finalizer,
    remove_finalizer,
    remove_finalizer_when_late,
    seconds_waited,
)
from litclaw.reconcile.keys.delete import delete_keys
from litclaw.reconcile.proxy.session import ProxySession, RouteKey
from litclaw.reconcile.route.claims import is_looked_after, route_of, session_of
from litclaw.reconcile.route.connect import checked_url, connect, locate, read_credentials
from litclaw.reconcile.route.former import LostError, proxies_of, reach, url_of
from litclaw.reconcile.route.unattended import Body, has_moved
from litclaw.reconcile.route.unreadable import reachable_part


async def finalize_route(context: Context, body: Mapping[str, Any]) -> float | None:
    """End the keys of the route's agents, and remove the finalizer.

    Returns:
        Seconds after which to retry, or None when it is done.
    """
    if not has_finalizer(body):
        return None
    key = (body["metadata"]["namespace"], body["metadata"]["name"])
    if connection := context.routes.get(key):
        if connection.offer:
            connection.offer = replace(connection.offer, usable=False)
        if connection.keys_in_creation:
            return intervals.KEY_IN_CREATION
    route = _read(body)
    if route is None:
        await remove_finalizer(context, body)  # nothing of it can be read, and its deletion must not hang
        return None
    late = seconds_waited(context, body) >= intervals.FINALIZER_LIMIT
    why, waits = "", False
    try:
        if (url := url_of(route)) and _may_have_keys(context, key, route, url):
            waits = await _end_keys(context, key, await _reach(context, key, route), late=late)
    except (LiteLLMError, Blocked) as error:
        why = error.message if isinstance(error, Blocked) else str(error)
    for proxy in proxies_of(route, context.now()):
        try:
            if proxy.left_at:
                waits |= await _end_keys(context, key, await reach(context, key, route, proxy), late=late)
        except (LiteLLMError, LostError) as error:
            why = str(error)
    if why:
        message = f"The keys of the route's agents are left at the proxy: {why} A route to it ends them."
        return await remove_finalizer_when_late(context, body, message)
    if waits:
        return intervals.FINALIZER_RETRY
    await remove_finalizer(context, body)
    return None


def _read(body: Mapping[str, Any]) -> LiteLLMRoute | None:
    try:
        return LiteLLMRoute.model_validate(body)
    except ValidationError:
        return reachable_part(body)


def _may_have_keys(context: Context, key: RouteKey, route: LiteLLMRoute, url: str) -> bool:
    """True if an agent may have got a key by the route at its current proxy."""
    connection = context.routes.get(key)
    table = connection.session.table if connection else None
    if any(((body.get("status") or {}).get("key") or {}).get("hash") for body in context.agents_of(key)):
        return True
    if table is not None and table.complete:
        return len(table) > 0
    return any(proxy.url == url for proxy in route.status.proxies)


async def _end_keys(context: Context, key: RouteKey, session: ProxySession, *, late: bool) -> bool:
    """End the route's keys at one proxy; returns True if an agent that has moved still needs one, or there may be more.

    Args:
        late: True if that isn't waited for any longer.

    Raises:
        LiteLLMError: the proxy doesn't do it.
        KubeError: the agents can't be listed.
    """
    await session.read_keys()  # it may have created a key whose response was lost
    agents = context.agents()
    ending: list[str] = []
    dead: list[KeyRow] = []
    living_keys: dict[str, list[str]] = {}
    waits = False
    for uid in session.table.agents():
        agent = agents.get(uid)
        rows = [row for row in session.table.of(uid) if _is_of(context, key, session, row, agent)]
        if agent is None:
            dead += rows
        elif rows and not late and await _is_needed(context, key, session, agent):
            waits = True
        elif rows:
            living_keys[uid] = [row.token for row in rows]
    # Who has moved the agent and deleted the route in one commit doesn't know which watch is faster.
    changed = await _changed(context, agents) if living_keys and not late else set()
    for uid, tokens in living_keys.items():
        waits = waits or uid in changed
        ending += tokens if uid not in changed else []
    if dead:
        living = await context.living_agents()
        gone = [row.token for row in dead if row.mark and row.mark.agent not in living]
        ending += gone
        waits = waits or (not late and len(gone) < len(dead))  # the cache doesn't know the agent yet
    if ending:
        await delete_keys(session, ending)
        waits = waits or (not late and session.left_out > 0)  # now they have room
    return waits


async def _changed(context: Context, before: Mapping[str, Body]) -> set[str]:
    """The uids of the agents that have changed, or name another route than before: events may come while they are listed."""
    behind = await context.changed_agents()
    now = context.agents()
    return behind | {uid for uid in before.keys() & now.keys() if route_key_of(now[uid]) != route_key_of(before[uid])}


def _is_of(context: Context, key: RouteKey, session: ProxySession, row: KeyRow, agent: Body | None) -> bool:
    """True if a key ends with the route."""
    own = route_of(row)
    if agent is None:
        unmarked = own is None and context.routes_at(session) in ([], [key])
        orphan = row.mark is not None and not row.mark.retained_for and context.serves(row.mark.namespace)
        return own == key or (unmarked and orphan)
    named = route_key_of(agent)
    if named == key:
        return True
    if is_looked_after(context, agent, session, row):
        return False
    # Without a mark, a route that exists and isn't known yet may be the one.
    exists = session_of(context, agent) is not None or context.cache.get(ROUTE.kind, *named) is None
    return own == key or (own is None and exists and context.routes_at(session) in ([], [key]))


async def _is_needed(context: Context, key: RouteKey, session: ProxySession, agent: Body) -> bool:
    """True if an agent names another route by now, and hasn't got a key there yet."""
    named = route_key_of(agent)
    other = context.cache.get(ROUTE.kind, *named)
    if named == key or other is None or is_deleting(other) or is_deleting(agent):
        return False
    return not await has_moved(context, agent, session)


async def _reach(context: Context, key: RouteKey, route: LiteLLMRoute) -> ProxySession:
    """The session of the route's current proxy, which this process may not have reached before.

    Raises:
        Blocked: it can't be reached.
    """
    external = route.spec.external
    assert external is not None
    url = checked_url(external.url)
    if (connection := context.routes.get(key)) and connection.session.keys_read and connection.session.url == url:
        return connection.session
    credentials = await read_credentials(context, route, external, url)
    await locate(context, url)
    return connect(context, key, credentials).session
