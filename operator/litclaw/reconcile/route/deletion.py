"""The deletion of an external route: the keys of its agents end with it, because nobody knows the master key afterwards.

A managed route needs none of this: its keys go with its database. Agents are reconciled meanwhile, and a key that one of
them gets at the last moment must end too: from here on no key is begun, and those that were begun are waited for.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from litclaw.api.route import LiteLLMRoute
from litclaw.litellm.errors import LiteLLMError
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.core.finalizer import has_finalizer, remove_finalizer, remove_finalizer_when_late
from litclaw.reconcile.keys.delete import delete_keys
from litclaw.reconcile.proxy.connection import Connection
from litclaw.reconcile.proxy.session import RouteKey
from litclaw.reconcile.route.connect import checked_url, connect, locate, read_credentials


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
    try:
        route = LiteLLMRoute.model_validate(body)
        await _end_keys(context, key, route)
    except (LiteLLMError, Blocked) as error:
        why = error.message if isinstance(error, Blocked) else str(error)
        message = f"The keys of the route's agents are left at the proxy: {why} A route to it ends them once their agents are gone."
        return await remove_finalizer_when_late(context, body, message)
    except ValidationError:
        pass  # nothing of it can be read, and its deletion must not hang
    await remove_finalizer(context, body)
    return None


async def _end_keys(context: Context, key: RouteKey, route: LiteLLMRoute) -> None:
    connection = context.routes.get(key)
    agents = {
        body["metadata"]["uid"]: (body.get("status") or {}).get("key", {}).get("hash")
        for body in context.agents_of(key)
    }
    table = connection.session.table if connection else None
    if not any(shown or (table and table.of(uid)) for uid, shown in agents.items()):
        return  # no agent has ever got a key by it
    if connection is None or not connection.session.keys_read:
        connection = await _reach(context, key, route)
    if connection is None:
        return
    session = connection.session
    await session.table.refresh(session.client)  # it may have created a key whose response was lost
    if tokens := [row.token for uid in agents for row in session.table.of(uid)]:
        await delete_keys(session, tokens)


async def _reach(context: Context, key: RouteKey, route: LiteLLMRoute) -> Connection | None:
    """The connection of a route that this process hadn't reached before the route was deleted."""
    if not (external := route.spec.external):
        return None
    url = checked_url(external.url)
    credentials = await read_credentials(context, route, external, url)
    await locate(url)
    return connect(context, key, credentials)
