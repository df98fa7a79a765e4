"""The end of an agent: its keys end before it does, or stay with their Secret where it says Retain."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import ValidationError

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.kube.resources import ROUTE, SECRET
from litclaw.litellm.errors import LiteLLMError
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.core.finalizer import has_finalizer, remove_finalizer, remove_finalizer_when_late
from litclaw.reconcile.keys.end import end_keys
from litclaw.reconcile.keys.retain import retain_keys


async def finish(context: Context, body: Mapping[str, Any]) -> float | None:
    """End the agent's keys, or set them free, and let the resource go.

    Returns:
        After how many seconds to try requeue_after, or None when it is done.
    """
    if not has_finalizer(body):
        return None
    try:
        agent = OpenClawAgent.model_validate(body)
    except ValidationError:
        await remove_finalizer(context, body)  # the sweep ends the keys of agents that are gone
        return None
    if context.cache.get(ROUTE.kind, *agent.route_key) is not None:
        retain = agent.spec.key.deletion_policy == "Retain"
        if not await _settled(context, agent, retain_keys if retain else _end_all):
            what = "may be taken for an orphan" if retain else "is deleted when the proxy is back"
            message = (
                f"LiteLLMRoute {'/'.join(agent.route_key)} can't be reached, so the key {agent.alias!r} is left there. "
                f"It {what}."
            )
            return await remove_finalizer_when_late(context, body, message)
    await remove_finalizer(context, body)
    return None


async def _settled(
    context: Context, agent: OpenClawAgent, settle: Callable[[Context, OpenClawAgent, RouteState], Awaitable[None]]
) -> bool:
    """Whether the agent's keys are as its end wants them."""
    state = context.routes.get(agent.route_key)
    if not agent.status.key.hash and (state is None or not state.table.of(agent.metadata.uid)):
        return True  # it never got a key
    if state is None or not state.usable:
        return False
    state.undelivered.pop(agent.metadata.uid, None)
    try:
        await settle(context, agent, state)
    except (LiteLLMError, Blocked):
        return False
    return True


async def _end_all(context: Context, agent: OpenClawAgent, state: RouteState) -> None:
    tokens = {row.token for row in state.table.of(agent.metadata.uid)}
    secret = context.cache.get(SECRET.kind, agent.metadata.namespace, agent.secret_name) or {}
    if (token := (secret.get("data") or {}).get(names.API_KEY)) and token not in tokens:
        row = await state.client.key(token)
        if row and row.mark and row.mark.agent == agent.metadata.uid:
            tokens.add(token)
    if tokens:
        await end_keys(state, sorted(tokens))
