"""The end of an external route: the keys of its agents end with it, since nobody knows the proxy's master key after it.

A managed route needs none of this: its keys go with its database. Agents are at work meanwhile, and what one of them makes
at the last moment must end too: from here on no key is begun, and those that were begun are waited for.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..api.route import LiteLLMRoute
from ..litellm.errors import LiteLLMError
from . import route_connect, route_observe
from .conditions import Blocked
from .finalizer import is_held, let_go, let_go_when_late
from .key_end import end_keys
from .world import RouteState, World

_MAKING_SECONDS = 0.5


async def finish(world: World, body: Mapping[str, Any]) -> float | None:
    """End what the route's deletion must end, and let it go.

    Returns:
        After how many seconds to try again, or None when it is done.
    """
    if not is_held(body):
        return None
    held = world.routes.get((body["metadata"]["namespace"], body["metadata"]["name"]))
    if held:
        held.usable = False
        if held.making:
            return _MAKING_SECONDS
    try:
        route = LiteLLMRoute.model_validate(body)
        await _end_keys(world, route)
    except (LiteLLMError, Blocked) as error:
        why = error.message if isinstance(error, Blocked) else str(error)
        message = f"The keys of the route's agents are left at the proxy: {why} A route to it ends them once their agents are gone."
        return await let_go_when_late(world, body, message)
    except ValidationError:
        pass  # nothing can be read of it, and it must not hang
    await let_go(world, body)
    return None


async def _end_keys(world: World, route: LiteLLMRoute) -> None:
    key = (route.metadata.namespace, route.metadata.name)
    state = world.routes.get(key)
    agents = {
        body["metadata"]["uid"]: (body.get("status") or {}).get("key", {}).get("hash") for body in world.agents_of(key)
    }
    if not any(shown or state and state.table.of(uid) for uid, shown in agents.items()):
        return  # nobody has ever got a key by it
    if state is None or not state.seen:
        state = await _reach(world, route)
    if state is None:
        return
    await state.table.refresh(state.client)  # it may have made a key of which the answer was lost
    if tokens := [row.token for uid in agents for row in state.table.of(uid)]:
        await end_keys(state, tokens)


async def _reach(world: World, route: LiteLLMRoute) -> RouteState | None:
    """The proxy of a route that this process hasn't looked at before it was deleted."""
    if not (external := route.spec.external):
        return None
    master_key, authorities = await route_connect.read_secrets(world, route, external)
    url = route_connect.checked_url(external.url)
    await route_observe.locate(url)
    return route_connect.connect(world, route, url, master_key, authorities)
