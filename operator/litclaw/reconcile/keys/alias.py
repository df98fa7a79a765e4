"""The alias of an agent's key: who may have it, and how a key gives it up. LiteLLM refuses a second key with an alias.

A key gives up its alias for a longer one when its successor takes it, and when its agent wants another that isn't free yet.
So two agents that swap their aliases don't wait for each other.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from litclaw.api.agent import OpenClawAgent
from litclaw.kube.resources import NAMESPACE
from litclaw.litellm.errors import AliasTakenError
from litclaw.litellm.keys import KeyRow
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.proxy.session import ProxySession

T = TypeVar("T")

LONGEST: Final = 255
_REFUSED: Final = re.compile(r"[^a-zA-Z0-9_\-/.@]")
"""What ``enable_key_alias_format_validation`` of LiteLLM 1.106.2 refuses in an alias, which has `LONGEST` characters at most."""


def given_up(alias: str, row: KeyRow) -> str:
    """The alias of a key that had another: ``<alias>@<generation>.<start of the token>``, which nobody can guess.

    LiteLLM accepts it where it accepts the former one, whether or not it validates aliases.
    """
    end = _end(row)
    return _REFUSED.sub("-", alias)[: LONGEST - len(end)] + end


def _end(row: KeyRow) -> str:
    return f"@{row.mark.generation if row.mark else 0}.{row.short}"


async def give_up_alias(session: ProxySession, row: KeyRow) -> None:
    """Rename a key, unless it has given up its alias already.

    Raises:
        LiteLLMError: the proxy didn't do it.
    """
    if not row.alias or row.alias.endswith(_end(row)):
        return
    alias = given_up(row.alias, row)
    await session.client.update_key(row.token, {"key_alias": alias})
    session.table.put(replace(row, alias=alias))


def check_not_reserved(context: Context, agent: OpenClawAgent, keys: Sequence[KeyRow]) -> None:
    """Check that the alias isn't for another namespace's agents. An alias that the agent had before is its own.

    Args:
        keys: the agent's.

    Raises:
        Blocked: it is.
    """
    alias = agent.alias
    prefix, slash, _ = alias.partition("/")
    if not slash or prefix == agent.metadata.namespace or not context.cache.get(NAMESPACE.kind, "", prefix):
        return
    if any(row.alias in (alias, given_up(alias, row)) for row in keys):
        return
    message = (
        f"spec.key.alias begins with {prefix}/, which is for the agents of that namespace: begin it with "
        f"{agent.metadata.namespace}/, or with something that is no namespace."
    )
    raise Blocked(ConditionType.KEY_READY, "AliasReserved", message, stalled=True, retry=intervals.REFUSED)


async def with_alias(
    context: Context, agent: OpenClawAgent, session: ProxySession, call: Callable[[], Awaitable[T]]
) -> T:
    """A call that gives a key the agent's alias. A key that has it and may not keep it gives it up.

    Raises:
        AliasTakenError: another key keeps it.
        LiteLLMError: any other failure.
    """
    try:
        return await call()
    except AliasTakenError:
        async for other in session.client.list_keys(alias=agent.alias):
            if not await _gives_way(context, agent, other):
                raise
            session.table.put(other)
            await give_up_alias(session, other)
        return await call()


async def _gives_way(context: Context, agent: OpenClawAgent, row: KeyRow) -> bool:
    """True if a key gives up the agent's alias: the agent's own, a deleted agent's, or one of another namespace."""
    mark = row.mark
    if mark is None or mark.cluster != context.cluster:
        return False
    if mark.agent == agent.metadata.uid:
        return True
    namespace = agent.metadata.namespace
    if agent.alias.startswith(f"{namespace}/") and mark.namespace not in ("", namespace):
        return context.serves(mark.namespace)
    if mark.retained_for or not context.serves(mark.namespace):
        return False
    return mark.agent not in await context.living_agents()


async def keep_alias(context: Context, agent: OpenClawAgent, session: ProxySession, row: KeyRow) -> KeyRow:
    """Give the live key the alias that the resource asks for.

    Returns:
        The key as the proxy has it now.

    Raises:
        Blocked: the alias is for another namespace's agents.
        AliasTakenError: another key has it. This one has given up its own meanwhile.
        LiteLLMError: the proxy didn't do it.
    """
    if row.alias == agent.alias:
        return row
    check_not_reserved(context, agent, session.table.of(agent.metadata.uid))
    try:
        await with_alias(
            context, agent, session, lambda: session.client.update_key(row.token, {"key_alias": agent.alias})
        )
    except AliasTakenError:
        await give_up_alias(session, row)
        raise
    renamed = replace(row, alias=agent.alias)
    session.table.put(renamed)
    return renamed
