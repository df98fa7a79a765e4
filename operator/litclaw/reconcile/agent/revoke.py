"""Revoking an agent's keys in the agent's own pass: at every proxy, whatever the rest of the pass can do.

The sweep of each proxy does the same for keys at a proxy that the agent doesn't name (`route.unattended`). It comes later,
and also where this process has learnt of those keys only after the agent's pass.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from litclaw.api.agent import OpenClawAgent
from litclaw.kube.objects import is_suspended, route_key_of
from litclaw.kube.resources import ROUTE
from litclaw.litellm.errors import LiteLLMError, UnreachableError
from litclaw.litellm.keys import KeyRow
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.keys.block import BlockReason, block_key
from litclaw.reconcile.keys.due import is_older, runs_for
from litclaw.reconcile.keys.limits import lower_limits, wanted_limits
from litclaw.reconcile.keys.retire import end_after, ends_at, ends_later
from litclaw.reconcile.proxy.one_proxy import is_one_proxy
from litclaw.reconcile.proxy.session import ProxySession
from litclaw.reconcile.route.allowed_namespaces import allows_namespace
from litclaw.reconcile.route.claims import is_looked_after, names_route_of, session_of

AgentBody = Mapping[str, Any]


def why_revoked(context: Context, body: AgentBody) -> BlockReason | None:
    """Why the agent's keys are blocked, as the resource says even where its spec can't be validated."""
    if is_suspended(body):
        return BlockReason.SUSPENDED
    route = context.cache.get(ROUTE.kind, *route_key_of(body))
    allowed = route is None or allows_namespace(context, route, body["metadata"]["namespace"]) is not False
    return None if allowed else BlockReason.NOT_ALLOWED


async def block_revoked_keys(context: Context, body: AgentBody) -> tuple[BlockReason | None, str]:
    """Block every known key of an agent that is suspended, or its keys at a route that doesn't allow it.

    Returns:
        Why, if there are any; and which other proxy doesn't do it, empty if none. The sweep of that proxy tries again.

    Raises:
        Blocked: the agent's own proxy doesn't do it. The keys at other proxies are blocked all the same.
    """
    why = why_revoked(context, body)
    if why is None:
        return None, ""
    home = session_of(context, body)
    found, failed, left = False, None, ""
    for session, rows in keys_by_proxy(context, body):
        if why == BlockReason.NOT_ALLOWED and session is not home:
            continue  # another route may allow it
        found = True
        error = await _for_each(rows, partial(block_key, session, why=why), session, at_home=session is home)
        if error is None:
            continue
        if session is home:
            failed = error
        elif any(names_route_of(context, session, row) for row in rows):
            failed = failed or (error if home is None else None)
            left = f"A key at {session.url} isn't blocked yet, because that proxy doesn't do it."
    if failed:
        message = f"The key is to be blocked, and the proxy doesn't do it: {failed}; it is tried again."
        raise Blocked(
            ConditionType.KEY_READY, "ProxyUnavailable", message, stalled=False, retry=intervals.KEY_REVOKE_RETRY
        )
    return (why if found else None), left


def keys_by_proxy(context: Context, body: AgentBody) -> Iterator[tuple[ProxySession, list[KeyRow]]]:
    """The agent's keys at every proxy, first at the one that it names. A key at a proxy with two URLs comes once."""
    home = session_of(context, body)
    others: Iterable[ProxySession] = (session for session in context.sessions() if session is not home)
    found: list[tuple[ProxySession, set[str]]] = []
    for session in (*([home] if home else []), *others):
        rows = session.table.of(body["metadata"]["uid"])
        if session is not home:
            known = {token for other, tokens in found if is_one_proxy(other, session) for token in tokens}
            rows = [row for row in rows if row.token not in known and not is_looked_after(context, body, session, row)]
        if rows:
            found.append((session, {row.token for row in rows}))
            yield session, rows


async def _for_each(
    rows: Sequence[KeyRow], call: Callable[[KeyRow], Awaitable[object]], session: ProxySession, *, at_home: bool
) -> LiteLLMError | None:
    """Do something with each of the agent's keys at one proxy, and return the last failure.

    A proxy that isn't the agent's has some seconds: it may list any number of keys with the agent's uid.
    """
    failed: LiteLLMError | None = None
    try:
        async with asyncio.timeout(None if at_home else intervals.SWEEP_LIMIT):
            for row in rows:
                try:
                    await call(row)
                except LiteLLMError as error:
                    failed = error
    except TimeoutError:
        failed = UnreachableError(f"{session.url} takes longer than {intervals.SWEEP_LIMIT:g} s")
    return failed


async def end_leaked_keys(context: Context, body: AgentBody) -> float | None:
    """End the old keys of an agent that gets no new one, where a rotation without a grace period covers it.

    Such a rotation answers a leak. An agent's author must not be able to keep the key by an error in the agent.

    Returns:
        Seconds after which to reconcile again, or None.
    """
    uid = body["metadata"]["uid"]
    runs = [run for run in runs_for(context, uid) if run.gives_up(uid)]
    home = session_of(context, body)
    requeue_after: float | None = None
    for session, rows in keys_by_proxy(context, body) if runs else ():
        old = [row for row in rows if any(is_older(context, row, run.not_before) for run in runs)]
        # The Secret may have a new key that isn't accepted at once: pods get it as after any rotation.
        replaced = any(row not in old and row.expires is None and not row.blocked for row in rows)
        left = intervals.UPTAKE if replaced and session is home else 0
        leaked = [row for row in old if ends_later(session, row, left)]
        if not leaked:
            continue
        if await _for_each(leaked, partial(end_after, session, seconds=left), session, at_home=session is home):
            requeue_after = intervals.PROXY_RETRY
        else:
            requeue_after = requeue_after or intervals.FIRST_RETRY  # the next pass shows that there is no key
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
