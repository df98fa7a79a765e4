"""The end of an agent: its keys end before it does, or stay with their Secret where it says Retain."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import ValidationError

from ..api import names
from ..api.agent import OpenClawAgent
from ..kube.resources import ROUTE, SECRET
from ..litellm.errors import LiteLLMError
from .agent_retain import leave_behind
from .conditions import Blocked
from .finalizer import is_held, let_go, let_go_when_late
from .key_end import end_keys
from .world import RouteState, World


async def finish(world: World, body: Mapping[str, Any]) -> float | None:
    """End the agent's keys, or set them free, and let the resource go.

    Returns:
        After how many seconds to try again, or None when it is done.
    """
    if not is_held(body):
        return None
    try:
        agent = OpenClawAgent.model_validate(body)
    except ValidationError:
        await let_go(world, body)  # the sweep ends the keys of agents that are gone
        return None
    if world.cache.get(ROUTE.kind, *agent.route_key) is not None:
        retain = agent.spec.key.deletion_policy == "Retain"
        if not await _settled(world, agent, leave_behind if retain else _end_all):
            what = "may be taken for an orphan" if retain else "is deleted when the proxy is back"
            message = (
                f"LiteLLMRoute {'/'.join(agent.route_key)} can't be reached, so the key {agent.alias!r} is left there. "
                f"It {what}."
            )
            return await let_go_when_late(world, body, message)
    await let_go(world, body)
    return None


async def _settled(
    world: World, agent: OpenClawAgent, settle: Callable[[World, OpenClawAgent, RouteState], Awaitable[None]]
) -> bool:
    """Whether the agent's keys are as its end wants them."""
    state = world.routes.get(agent.route_key)
    if not agent.status.key.hash and (state is None or not state.table.of(agent.metadata.uid)):
        return True  # it never got a key
    if state is None or not state.usable:
        return False
    state.undelivered.pop(agent.metadata.uid, None)
    try:
        await settle(world, agent, state)
    except (LiteLLMError, Blocked):
        return False
    return True


async def _end_all(world: World, agent: OpenClawAgent, state: RouteState) -> None:
    tokens = {row.token for row in state.table.of(agent.metadata.uid)}
    secret = world.cache.get(SECRET.kind, agent.metadata.namespace, agent.secret_name) or {}
    if (token := (secret.get("data") or {}).get(names.API_KEY)) and token not in tokens:
        row = await state.client.key(token)
        if row and row.mark and row.mark.agent == agent.metadata.uid:
            tokens.add(token)
    if tokens:
        await end_keys(state, sorted(tokens))
