"""What the word of a proxy counts for: about keys of agents that name another proxy, and about keys at other proxies."""

from collections.abc import Mapping
from typing import Any

from litclaw.kube.objects import route_key_of
from litclaw.litellm.keys import KeyRow
from litclaw.reconcile.context import Context
from litclaw.reconcile.proxy.one_proxy import is_one_proxy
from litclaw.reconcile.proxy.session import ProxySession, RouteKey


def session_of(context: Context, agent: Mapping[str, Any]) -> ProxySession | None:
    """The session of the route that an agent names."""
    connection = context.routes.get(route_key_of(agent))
    return connection.session if connection else None


def route_of(row: KeyRow) -> RouteKey | None:
    """The route by which a key was created; None: its mark is older than that field."""
    namespace, _, name = (row.mark.route if row.mark else "").partition("/")
    return (namespace, name) if name else None


def is_looked_after(context: Context, agent: Mapping[str, Any], session: ProxySession, row: KeyRow) -> bool:
    """True if the pass of an agent looks after a key that a proxy lists: it is at the proxy of the route that the agent names.

    That proxy may have two URLs, and so two sessions. Both must list the key, and there must be evidence that isn't the word of
    the agent's proxy: the sessions have the same URL or master key; or the mark of the key, as the other session shows it, names
    the agent's route. The agent's own pass has written that mark at the agent's proxy, so what is written there reaches the
    other one. A proxy that the agent's route has left is no such case: the mark may be from that time.

    Args:
        session: lists the key.
    """
    home = session_of(context, agent)
    if home is None or home is session:
        return home is session
    if home.table.get(row.token) is None:
        return False
    named = route_key_of(agent)
    written_by_home = route_of(row) == named and not _has_left(context, named, session)
    return written_by_home or is_one_proxy(home, session)


def _has_left(context: Context, route: RouteKey, session: ProxySession) -> bool:
    """True if a route has left a proxy, as far as this process knows."""
    return any(is_one_proxy(former, session) for former in context.former.get(route, {}).values())


def names_route_of(context: Context, session: ProxySession, row: KeyRow) -> bool:
    """True if a key's mark names a route that leads to the proxy, or has led there: only such a key is one of its agent's there.

    Any proxy can list keys with the uid of an agent that has never used it. What it then doesn't do isn't the agent's concern.
    A mark without a route is older than that field, and may be right.
    """
    own = route_of(row)
    former = (key for key, sessions in context.former.items() if session in sessions.values())
    return own is None or own in (*context.routes_at(session), *former)
