"""The orphan sweep: ends the keys at a proxy whose agent is gone, or has got a key at another proxy.

It runs once per session, in the pass of the session's first usable route.
"""

import logging
from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.kube.objects import agent_secret_name_of, is_deleting, route_key_of
from litclaw.kube.resources import AGENT, SECRET
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.owned_objects import get_live
from litclaw.reconcile.keys.delete import delete_keys
from litclaw.reconcile.proxy.session import ProxySession, RouteKey

log = logging.getLogger(__name__)


def sweeps(context: Context, key: RouteKey) -> bool:
    """True for the one route whose pass sweeps its session: the first usable one, since a blocked one doesn't get that far."""
    routes = context.routes[key].session.routes
    usable = [each for each in routes if each in context.routes and context.routes[each].usable]
    return key == min(usable or routes, default=None)


async def sweep(context: Context, session: ProxySession) -> None:
    """End the keys without an owner.

    An agent that the cache doesn't know is looked up in the API server before anything is deleted.

    Raises:
        LiteLLMError: the proxy didn't do it.
        KubeError: the agents can't be listed.
    """
    agents = {body["metadata"]["uid"]: body for body in context.cache.all(AGENT.kind)}
    orphans: list[str] = []
    unknown: set[str] = set()
    for uid in session.table.agents():
        if uid not in agents:
            if _ours(context, session, uid):  # retained keys have no agent either
                unknown.add(uid)
        elif _names_another_proxy(context, agents[uid], session) and await _has_moved(context, agents[uid], session):
            orphans += [row.token for row in session.table.of(uid)]
    if unknown:
        unknown -= await context.living_agents()
    orphans += [token for uid in sorted(unknown) for token in _ours(context, session, uid)]
    if orphans:
        log.info("deleting %d keys without an owner at %s", len(orphans), session.url)
        await delete_keys(session, orphans)


def _ours(context: Context, session: ProxySession, uid: str) -> list[str]:
    """The keys that end with an agent: not the retained ones, nor those of another operator's namespaces."""
    rows = session.table.of(uid)
    return [row.token for row in rows if row.mark and not row.mark.retained_for and context.serves(row.mark.namespace)]


def _names_another_proxy(context: Context, agent: Mapping[str, Any], session: ProxySession) -> bool:
    other = context.routes.get(route_key_of(agent))
    return other is not None and other.session is not session and other.usable and not is_deleting(agent)


async def _has_moved(context: Context, agent: Mapping[str, Any], session: ProxySession) -> bool:
    """True if an agent has a key of another route's proxy in its Secret."""
    other = context.routes[route_key_of(agent)]
    secret = await get_live(context, SECRET.kind, agent["metadata"]["namespace"], agent_secret_name_of(agent))
    delivered = ((secret or {}).get("data") or {}).get(names.API_KEY)
    if delivered is None or other.session.table.get(delivered) is None or session.table.get(delivered) is not None:
        return False
    # One proxy may have several URLs; then it knows the agent's key, though this table may not have it yet.
    return other.session.url != session.url and await session.client.key(delivered) is None
