"""A new virtual key for an agent: registered first, delivered then, so that what the Secret holds is always live.

A write into the Secret that was given up may be carried out yet. So the next try delivers the same key: if another were
made and this one ended, the late write would put an ended key there.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import SecretStr

from litclaw.api.agent import OpenClawAgent
from litclaw.litellm.errors import AliasTakenError
from litclaw.litellm.keys import KeyRow, Mark, agent_spend, carried_from, new_key, utc
from litclaw.reconcile.agent.accept import Access
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.core.conditions import KEY_READY, Blocked
from litclaw.reconcile.core.owned_objects import put
from litclaw.reconcile.keys.block import BlockReason
from litclaw.reconcile.keys.due import asked, due, runs_for
from litclaw.reconcile.keys.end import end_keys
from litclaw.reconcile.keys.period import inherited, is_over
from litclaw.reconcile.keys.retain import wanted_mark
from litclaw.render.agent.secret import agent_secret

PROXY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Replacing:
    """A live key that is too old, and for how many seconds it lives on."""

    row: KeyRow
    grace: int


async def mint(
    context: Context,
    agent: OpenClawAgent,
    access: Access,
    live: dict[str, Any] | None,
    replacing: Replacing | None = None,
) -> tuple[KeyRow, SecretStr]:
    """Register a new key that starts with what the agent's others have spent, and write it into the Secret.

    Args:
        live: the Secret as it is now, compact; None: there is none.
        replacing: the live key that the new one is for; None: there is none any more.

    Returns:
        The key as the proxy has it, and its value.

    Raises:
        Blocked: the proxy isn't usable, or the Secret is refused.
        LiteLLMError: the proxy refuses the key.
    """
    state = access.state
    if not state.usable:
        message = f"Waits for {state.url}, where the key is to be made: the route's conditions say why it isn't ready."
        raise Blocked(KEY_READY, "RouteNotReady", message, stalled=False, retry=PROXY_SECONDS)
    state.making += 1
    try:
        row, value = _left(context, agent, state, replacing) or await _made(context, agent, access, replacing)
        await _deliver(context, agent, state, live, row, value)
    finally:
        state.making -= 1
    return row, value


def _left(
    context: Context, agent: OpenClawAgent, state: RouteState, replacing: Replacing | None
) -> tuple[KeyRow, SecretStr] | None:
    """A key that was made, and of whose delivery nothing is known; None: there is none, or it isn't what is wanted now."""
    token, value = state.undelivered.get(agent.metadata.uid, ("", None))
    row = state.table.get(token)
    if value is None or row is None or row.mark is None or row.expires is not None:
        return None
    if replacing and row.mark.replaces != replacing.row.short or due(context, agent, state, row) is not None:
        return None
    return row, value


async def _deliver(
    context: Context,
    agent: OpenClawAgent,
    state: RouteState,
    live: dict[str, Any] | None,
    row: KeyRow,
    value: SecretStr,
) -> None:
    """Write a key into the agent's Secret. Where somebody was faster, the next pass reads first which key it holds.

    Raises:
        Blocked: the Secret is refused; the key that nobody was given has ended, or there would be one more with each try.
        KubeError: whether it is written isn't known.
    """
    state.undelivered[agent.metadata.uid] = (row.token, value)
    manifest = agent_secret(agent, key=value.get_secret_value(), token=row.token, base_url=state.url)
    try:
        await put(context, manifest, live, KEY_READY)
    except Blocked:
        del state.undelivered[agent.metadata.uid]
        await end_keys(state, [row.token])
        raise
    del state.undelivered[agent.metadata.uid]


async def _made(
    context: Context, agent: OpenClawAgent, access: Access, replacing: Replacing | None
) -> tuple[KeyRow, SecretStr]:
    """Register a key that nobody has yet."""
    state = access.state
    old = await _as_they_are(agent, access)
    now = state.now(context)
    generation = 1 + max([agent.status.key.generation, *(row.mark.generation for row in old if row.mark)])
    counted = [replace(row, spend=0.0) if is_over(now, row) else row for row in old]
    spend = agent_spend(counted) if old else _spend_of_a_lost_key(now, agent, state.url)
    mark = Mark(
        cluster=context.cluster,
        agent=agent.metadata.uid,
        generation=generation,
        namespace=agent.metadata.namespace,
        # By another clock, now may be before the rotation began; and then it would be made again and again.
        made=max([context.now(), *(each.not_before for each in runs_for(context, agent.metadata.uid))]).isoformat(),
        held=BlockReason.SUSPENDED.value if agent.spec.suspend else "",
        asked=asked(agent),
        replaces=replacing.row.short if replacing else "",
        grace=replacing.grace if replacing else 0,
        taken=carried_from(old),
        anew_at=inherited(now, replacing.row if replacing else None, access.limits),
    )
    mark = wanted_mark(agent, mark)
    for row in old:
        if row.alias == agent.alias:
            await _free_alias(access, row)
    value = new_key()
    made = await _generate(context, agent, access, value, mark, spend)
    state.table.put(made)
    return made, value


async def _as_they_are(agent: OpenClawAgent, access: Access) -> list[KeyRow]:
    """The agent's keys as the proxy has them now: what the table knows of their spend is up to a minute old."""
    table, client = access.state.table, access.state.client
    for row in table.of(agent.metadata.uid):
        fresh = await client.key(row.token)
        if fresh:
            table.put(fresh)
        else:
            table.drop([row.token])
    return table.of(agent.metadata.uid)


def _spend_of_a_lost_key(now: datetime, agent: OpenClawAgent, url: str) -> float:
    """What was last seen of a key that the proxy has no more, if its period isn't over: no budget is handed out twice."""
    status = agent.status
    if status.base_url != url or not status.spend:
        return 0.0
    if status.budget_resets_at and utc(status.budget_resets_at) <= now:
        return 0.0
    return float(status.spend)


async def _generate(
    context: Context, agent: OpenClawAgent, access: Access, value: SecretStr, mark: Mark, spend: float
) -> KeyRow:
    client = access.state.client
    generate = partial(
        client.generate_key,
        value,
        alias=agent.alias,
        limits=access.limits,
        mark=mark,
        metadata=agent.spec.key.metadata,
        spend=spend,
    )
    try:
        made = await generate()
    except AliasTakenError:
        async for row in client.list_keys(alias=agent.alias):
            if not await _may_take(context, agent, row):
                raise
            access.state.table.put(row)
            await _free_alias(access, row)
        made = await generate()
    return await _endless(access, made)


async def _endless(access: Access, made: KeyRow) -> KeyRow:
    """Take off an end that the proxy gives every key (its ``default_key_generate_params`` or upper bounds).

    Raises:
        Blocked: it can't be taken off, and so the key would end unseen.
    """
    if made.expires is None:
        return made
    await access.state.client.update_key(made.token, {"duration": None})
    fresh = await access.state.client.key(made.token)
    if fresh and fresh.expires is None:
        return fresh
    await end_keys(access.state, [made.token])
    message = (
        "LiteLLM gives every key an end, by its key_generate_params, and doesn't take it off: remove duration there."
    )
    raise Blocked(KEY_READY, "KeyExpires", message, stalled=True, retry=60.0)


async def _may_take(context: Context, agent: OpenClawAgent, row: KeyRow) -> bool:
    """Whether a key that has our alias is the agent's own, or that of an agent of this cluster that is gone."""
    if row.mark is None or row.mark.cluster != context.cluster or row.mark.retained:
        return False
    if row.mark.agent == agent.metadata.uid:
        return True
    return context.acts_in(row.mark.namespace) and row.mark.agent not in await context.living_agents()


async def _free_alias(access: Access, row: KeyRow) -> None:
    generation = row.mark.generation if row.mark else 0
    alias = f"{row.alias}#{generation}.{row.token[:8]}"
    await access.state.client.update_key(row.token, {"key_alias": alias})
    access.state.table.put(replace(row, alias=alias))
