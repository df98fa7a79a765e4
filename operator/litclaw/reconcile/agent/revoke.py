"""Revoking an agent's keys in the agent's own pass: at every proxy, whatever the rest of the pass can do.

The sweep of each proxy does the same for keys at a proxy that the agent doesn't name (`route.unattended`). It comes later,
and also where this process has learnt of those keys only after the agent's pass.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from litclaw.api.agent import OpenClawAgent
from litclaw.kube.objects import is_suspended, route_key_of
from litclaw.kube.resources import ROUTE
from litclaw.litellm.errors import LiteLLMError
from litclaw.litellm.keys import KeyRow
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.keys.block import BlockReason, block_key
from litclaw.reconcile.keys.due import is_older, runs_for
from litclaw.reconcile.keys.limits import lower_limits, wanted_limits
from litclaw.reconcile.keys.retire import end_after, ends_at, ends_later
from litclaw.reconcile.proxy.session import ProxySession
from litclaw.reconcile.route.allowed_namespaces import allows_namespace
from litclaw.reconcile.route.unattended import session_of

AgentBody = Mapping[str, Any]


def why_revoked(context: Context, body: AgentBody) -> BlockReason | None:
    """Why the agent's keys are blocked, as the resource says even where its spec can't be validated."""
    if is_suspended(body):
        return BlockReason.SUSPENDED
    route = context.cache.get(ROUTE.kind, *route_key_of(body))
    allowed = route is None or allows_namespace(context, route, body["metadata"]["namespace"]) is not False
    return None if allowed else BlockReason.NOT_ALLOWED


async def block_revoked_keys(context: Context, body: AgentBody) -> BlockReason | None:
    """Block every known key of an agent that is suspended, or its keys at a route that doesn't allow it.

    Returns:
        Why, if there are any.

    Raises:
        Blocked: a proxy doesn't do it. The keys at other proxies are blocked all the same.
    """
    why = why_revoked(context, body)
    if why is None:
        return None
    home = session_of(context, body)
    found, failed = False, None
    for session, row in keys_everywhere(context, body):
        if why == BlockReason.NOT_ALLOWED and session is not home:
            continue  # another route may allow it
        found = True
        try:
            await block_key(session, row, why)
        except LiteLLMError as error:
            failed = error
    if failed:
        message = f"The key is to be blocked, and the proxy doesn't do it: {failed}; it is tried again."
        raise Blocked(
            ConditionType.KEY_READY, "ProxyUnavailable", message, stalled=False, retry=intervals.KEY_REVOKE_RETRY
        )
    return why if found else None


def keys_everywhere(context: Context, body: AgentBody) -> Iterator[tuple[ProxySession, KeyRow]]:
    """The agent's keys at every proxy, first at the one that it names. A key at a proxy with two URLs comes once."""
    home = session_of(context, body)
    known: set[str] = set()
    others: Iterable[ProxySession] = (session for session in context.sessions() if session is not home)
    for session in (*([home] if home else []), *others):
        rows = [row for row in session.table.of(body["metadata"]["uid"]) if row.token not in known]
        known.update(row.token for row in rows)
        yield from ((session, row) for row in rows)


async def end_leaked_keys(context: Context, body: AgentBody) -> float | None:
    """End the old keys of an agent that gets no new one, where a rotation without a grace period covers it.

    Such a rotation answers a leak. An agent's author must not be able to keep the key by an error in the agent.

    Returns:
        Seconds after which to reconcile again, or None.
    """
    uid = body["metadata"]["uid"]
    runs = [run for run in runs_for(context, uid) if run.gives_up(uid)]
    requeue_after: float | None = None
    for session, row in keys_everywhere(context, body) if runs else ():
        if not (any(is_older(context, row, run.not_before) for run in runs) and ends_later(session, row, 0)):
            continue
        try:
            await end_after(session, row, 0)
            requeue_after = requeue_after or intervals.FIRST_RETRY  # the next pass shows that there is no key
        except LiteLLMError:
            requeue_after = intervals.PROXY_RETRY
    return requeue_after


async def lower_all_limits(context: Context, agent: OpenClawAgent) -> None:
    """Lower the limits of the keys of an agent that its route doesn't accept now. Those of an accepted one are kept anyway.

    Raises:
        LiteLLMError: the proxy doesn't do it.
    """
    connection = context.routes.get(agent.route_key)
    if connection is None or connection.offer is None or not connection.session.up_to_date:
        return
    session, offer = connection.session, connection.offer
    offered = [facts.name for facts in offer.models]
    models = [name for name in agent.spec.models if name in offered] or offered
    wanted = wanted_limits(agent, offer.key_defaults, models if offer.limited else ())
    for row in session.table.of(agent.metadata.uid):
        if (end := ends_at(row)) is None or end > session.now():
            await lower_limits(session, row, wanted)
