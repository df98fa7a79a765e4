"""The end of an external route: the keys of its agents end with it, since nobody knows the proxy's master key after it.

A managed route needs none of this: its keys go with its database. Agents are at work meanwhile, and what one of them makes
at the last moment must end too: from here on no key is begun, and those that were begun are waited for.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from litclaw.api.route import LiteLLMRoute
from litclaw.litellm.errors import LiteLLMError
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.core.finalizer import has_finalizer, remove_finalizer, remove_finalizer_when_late
from litclaw.reconcile.keys.end import end_keys
from litclaw.reconcile.route import connect as route_connect
from litclaw.reconcile.route import observe as route_observe

_MAKING_SECONDS = 0.5


async def finish(context: Context, body: Mapping[str, Any]) -> float | None:
    """End what the route's deletion must end, and let it go.

    Returns:
        After how many seconds to try requeue_after, or None when it is done.
    """
    if not has_finalizer(body):
        return None
    held = context.routes.get((body["metadata"]["namespace"], body["metadata"]["name"]))
    if held:
        held.usable = False
        if held.making:
            return _MAKING_SECONDS
    try:
        route = LiteLLMRoute.model_validate(body)
        await _end_keys(context, route)
    except (LiteLLMError, Blocked) as error:
        why = error.message if isinstance(error, Blocked) else str(error)
        message = f"The keys of the route's agents are left at the proxy: {why} A route to it ends them once their agents are gone."
        return await remove_finalizer_when_late(context, body, message)
    except ValidationError:
        pass  # nothing can be read of it, and it must not hang
    await remove_finalizer(context, body)
    return None


async def _end_keys(context: Context, route: LiteLLMRoute) -> None:
    key = (route.metadata.namespace, route.metadata.name)
    state = context.routes.get(key)
    agents = {
        body["metadata"]["uid"]: (body.get("status") or {}).get("key", {}).get("hash")
        for body in context.agents_of(key)
    }
    if not any(shown or state and state.table.of(uid) for uid, shown in agents.items()):
        return  # nobody has ever got a key by it
    if state is None or not state.seen:
        state = await _reach(context, route)
    if state is None:
        return
    await state.table.refresh(state.client)  # it may have made a key of which the answer was lost
    if tokens := [row.token for uid in agents for row in state.table.of(uid)]:
        await end_keys(state, tokens)


async def _reach(context: Context, route: LiteLLMRoute) -> RouteState | None:
    """The proxy of a route that this process hasn't looked at before it was deleted."""
    if not (external := route.spec.external):
        return None
    master_key, authorities = await route_connect.read_secrets(context, route, external)
    url = route_connect.checked_url(external.url)
    await route_observe.locate(url)
    return route_connect.connect(context, route, url, master_key, authorities)
