"""The sweep of a proxy: ends the keys whose agent is gone or has got a key elsewhere, and revokes those that nobody looks after.

It runs once per session, in the pass of one of its routes, whether or not that route is ready.
"""

import logging

from pydantic import ValidationError

from litclaw.api.agent import OpenClawAgent
from litclaw.api.route import KeyDefaults
from litclaw.litellm.errors import RejectedError
from litclaw.litellm.keys import KeyRow
from litclaw.reconcile.context import Context
from litclaw.reconcile.keys.block import block_key, unblock_key
from litclaw.reconcile.keys.delete import delete_keys
from litclaw.reconcile.keys.limits import lower_limits, wanted_limits
from litclaw.reconcile.keys.retire import end_after, ends_at, ends_later
from litclaw.reconcile.proxy.session import ProxySession, RouteKey
from litclaw.reconcile.route.unattended import Body, Judge, Unattended, Verdict, has_moved, unattended_keys

log = logging.getLogger(__name__)


def sweeper(context: Context, session: ProxySession) -> RouteKey | None:
    """The one route whose pass sweeps a session: the first usable one or, where there is none, one that has left the proxy."""
    routes = context.routes_at(session)
    usable = [key for key in routes if context.routes[key].usable]
    former = [key for key, sessions in context.former.items() if session in sessions.values()]
    return min(usable or routes or former, default=None)


def sweeps(context: Context, key: RouteKey) -> bool:
    """True if a route's pass sweeps the session of its proxy."""
    return key == sweeper(context, context.routes[key].session)


async def sweep(context: Context, session: ProxySession) -> None:
    """Bring every key that no agent's pass looks after to what it should be.

    An agent that the cache doesn't know is looked up in the API server before any of its keys is touched.

    Raises:
        LiteLLMError: the proxy didn't do it.
        KubeError: it can't be decided now.
    """
    moved: dict[str, bool] = {}
    judge = Judge(context, session, context.routes_at(session))
    verdicts: list[tuple[Unattended, Verdict]] = []
    for key in unattended_keys(context, session):
        uid = key.row.mark.agent if key.row.mark else ""
        if key.agent is not None and uid not in moved:
            moved[uid] = await has_moved(context, key.agent, session)
        verdict = Verdict(delete=True) if moved.get(uid) else await judge.verdict(key)
        if verdict != Verdict() or key.agent is not None:
            verdicts.append((key, verdict))
    without = {key.row.mark.agent for key, _ in verdicts if key.agent is None and key.row.mark}
    if unknown := without - session.gone:  # a proxy may go on listing what it has deleted
        session.gone |= unknown - await context.living_agents()
    verdicts = [each for each in verdicts if each[0].agent or (mark := each[0].row.mark) and mark.agent in session.gone]
    for key, verdict in verdicts:
        try:
            await _revoke(context, session, key, verdict)
        except RejectedError as error:  # such as for a key whose team is gone; the others don't wait for it
            log.warning("the key %r at %s: %s", key.row.alias, session.url, error)
    if ending := [key.row.token for key, verdict in verdicts if verdict.delete]:
        log.info("deleting %d keys without an owner at %s", len(ending), session.url)
        await delete_keys(session, ending)


async def _revoke(context: Context, session: ProxySession, key: Unattended, verdict: Verdict) -> None:
    """All but the deletion, which is one call for many keys."""
    row, end = key.row, ends_at(key.row)
    if verdict.delete or (end and end <= session.now()):
        return
    if verdict.end_after is not None and ends_later(session, row, verdict.end_after):
        await end_after(session, await _fresh(session, row), verdict.end_after)
        row = session.table.get(row.token) or row
    if verdict.block:
        row = await block_key(session, await _fresh(session, row), verdict.block)
    elif verdict.unblock:
        row = await unblock_key(session, await _fresh(session, row))
    if key.agent is not None and (agent := await _read(context, key.agent)):
        # Models aren't limited: those that the agent names are of the route that it names now.
        await lower_limits(session, row, wanted_limits(agent, KeyDefaults()))


async def _fresh(session: ProxySession, row: KeyRow) -> KeyRow:
    """The key as the proxy has it now: a change of its mark replaces all of it."""
    found = await session.client.key(row.token)
    if found:
        session.table.put(found)
    return found or row


async def _read(context: Context, cached: Body) -> OpenClawAgent | None:
    """An agent with its whole spec; None if it can't be read."""
    body = await context.full(cached)
    try:
        return OpenClawAgent.model_validate(body) if body else None
    except ValidationError:
        return None
