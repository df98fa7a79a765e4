"""The deletion of an agent: its keys end before it does, or stay with their Secret if its deletion policy is Retain."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import ValidationError

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.kube.resources import ROUTE, SECRET
from litclaw.litellm.errors import LiteLLMError
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.core.finalizer import has_finalizer, remove_finalizer, remove_finalizer_when_late
from litclaw.reconcile.keys.delete import delete_keys
from litclaw.reconcile.keys.retain import retain_keys
from litclaw.reconcile.proxy.session import ProxySession


async def finalize_agent(context: Context, body: Mapping[str, Any]) -> float | None:
    """End the agent's keys, or retain them, and remove the finalizer.

    Returns:
        Seconds after which to retry, or None when it is done.
    """
    if not has_finalizer(body):
        return None
    try:
        agent = OpenClawAgent.model_validate(body)
    except ValidationError:
        await remove_finalizer(context, body)  # the sweep ends the keys of deleted agents
        return None
    if context.cache.get(ROUTE.kind, *agent.route_key) is not None:
        retain = agent.spec.key.deletion_policy == "Retain"
        if not await _keys_are_done(context, agent, retain_keys if retain else _end_all):
            rest = "may be taken for an orphan" if retain else "is deleted when the proxy is back"
            message = (
                f"LiteLLMRoute {'/'.join(agent.route_key)} can't be reached, so the key {agent.alias!r} is left there. "
                f"It {rest}."
            )
            return await remove_finalizer_when_late(context, body, message)
    await remove_finalizer(context, body)
    return None


async def _keys_are_done(
    context: Context, agent: OpenClawAgent, do: Callable[[Context, OpenClawAgent, ProxySession], Awaitable[None]]
) -> bool:
    """End or retain the agent's keys; False if the proxy doesn't do it."""
    connection = context.routes.get(agent.route_key)
    if not agent.status.key.hash and (connection is None or not connection.session.table.of(agent.metadata.uid)):
        return True  # it never got a key
    if connection is None or not connection.usable:
        return False
    connection.session.undelivered.pop(agent.metadata.uid, None)
    try:
        await do(context, agent, connection.session)
    except (LiteLLMError, Blocked):
        return False
    return True


async def _end_all(context: Context, agent: OpenClawAgent, session: ProxySession) -> None:
    tokens = {row.token for row in session.table.of(agent.metadata.uid)}
    secret = context.cache.get(SECRET.kind, agent.metadata.namespace, agent.secret_name) or {}
    if (token := (secret.get("data") or {}).get(names.API_KEY)) and token not in tokens:
        row = await session.client.key(token)
        if row and row.mark and row.mark.agent == agent.metadata.uid:
            tokens.add(token)
    if tokens:
        await delete_keys(session, sorted(tokens))
