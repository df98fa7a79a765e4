"""Blocking every key of an agent that is suspended, or that its route no longer allows."""

from litclaw.api.agent import OpenClawAgent
from litclaw.litellm.errors import LiteLLMError
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, Conditions, ConditionType
from litclaw.reconcile.keys.block import BlockReason, block_key


async def block_all_keys(context: Context, agent: OpenClawAgent, why: BlockReason) -> bool:
    """Block every known key of the agent at its route's proxy.

    Returns:
        True if there is one.

    Raises:
        Blocked: the proxy doesn't do it.
    """
    connection = context.routes.get(agent.route_key)
    if connection is None:
        return False
    session = connection.session
    rows = session.table.of(agent.metadata.uid)
    try:
        for row in rows:
            await block_key(session, row, why)
    except LiteLLMError as error:
        message = f"The key is to be blocked, and the proxy doesn't do it: {error}; it is tried again."
        raise Blocked(
            ConditionType.KEY_READY, "ProxyUnavailable", message, stalled=False, retry=intervals.KEY_REVOKE_RETRY
        ) from None
    return bool(rows)


async def revoke_access(context: Context, agent: OpenClawAgent, conditions: Conditions) -> float | None:
    """Block the keys of an agent whose route no longer allows its namespace.

    Returns:
        Seconds after which to retry, or None when it is done.
    """
    try:
        if await block_all_keys(context, agent, BlockReason.NOT_ALLOWED):
            message = "The key is blocked, because the route doesn't allow the namespace."
            conditions.set_false(ConditionType.KEY_READY, "NotAllowed", message)
    except Blocked as why:
        conditions.set_false(ConditionType.KEY_READY, why.reason, why.message)
        return why.retry
    return None
