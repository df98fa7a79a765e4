"""A new virtual key for an agent: registered first, delivered afterwards, so that the key in the Secret is always live.

A write of the Secret that was given up may still be carried out. So the next attempt delivers the same key: if it created
another and deleted this one, the late write would put a deleted key there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pydantic import SecretStr

from litclaw.api.agent import OpenClawAgent
from litclaw.kube.errors import ConflictError
from litclaw.kube.resources import SECRET
from litclaw.litellm import bounds
from litclaw.litellm.keys import KeyRow, Limits, Mark, new_key, owners_metadata
from litclaw.litellm.spend import carried_from
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.core.owned_objects import REFUSED, apply, check_applicable, check_ours, get_live
from litclaw.reconcile.keys.alias import check_not_reserved, give_up_alias, with_alias
from litclaw.reconcile.keys.block import BlockReason
from litclaw.reconcile.keys.delete import delete_keys
from litclaw.reconcile.keys.due import rotate_annotation_digest, rotation_due, runs_for
from litclaw.reconcile.keys.period import inherited_reset, shared_reset, spend_of_period
from litclaw.reconcile.keys.retain import wanted_mark
from litclaw.reconcile.proxy.connection import Access
from litclaw.reconcile.proxy.session import ProxySession
from litclaw.render.agent.secret import agent_secret
from litclaw.render.metadata import Manifest

_LARGEST_SHOWN = 1_000_000_000
"""A larger generation in an agent's status isn't ours. Taken over, it would stay in the marks of all later keys, and the
status field has no number beyond 2^63."""
PLACEHOLDER = "-"
"""In the place of a key's value, where only the Secret's shape counts."""


@dataclass(frozen=True, slots=True)
class Replacing:
    """A live key that is due for rotation, and for how many seconds it stays valid."""

    row: KeyRow
    grace: int


async def mint(
    context: Context,
    agent: OpenClawAgent,
    access: Access,
    live: dict[str, Any] | None,
    replacing: Replacing | None = None,
) -> tuple[KeyRow, SecretStr]:
    """Register a new key that starts with the spend of the agent's other keys, and write it into the Secret.

    Args:
        live: the Secret as it is now, compact; None: there is none, or the agent is new and it wasn't read.
        replacing: the live key that the new one replaces; None: there is none any more.

    Returns:
        The key as the proxy has it, and its value.

    Raises:
        Blocked: the proxy isn't usable, or the Secret is refused.
        LiteLLMError: the proxy refuses the key.
    """
    if not access.connection.usable:
        message = f"Waits for {access.offer.url}, where the key is to be created: the route's conditions tell why it isn't ready."
        raise Blocked(ConditionType.KEY_READY, "RouteNotReady", message, stalled=False, retry=intervals.PROXY_RETRY)
    if _was_refused(agent):
        # Each key would be deleted again at once, and LiteLLM keeps a record of each deleted key.
        shape = agent_secret(agent, key=PLACEHOLDER, token=PLACEHOLDER, base_url=access.session.url)
        await check_applicable(context, shape, live, ConditionType.KEY_READY)
    access.connection.keys_in_creation += 1
    try:
        row, value = _undelivered(context, agent, access, replacing) or await _create(context, agent, access, replacing)
        await _deliver(context, agent, access.session, live, row, value)
    finally:
        access.connection.keys_in_creation -= 1
    return row, value


def _was_refused(agent: OpenClawAgent) -> bool:
    """True if the API server has refused the Secret in the last pass, by the agent's status."""
    return any(each.type == ConditionType.KEY_READY and each.reason == REFUSED for each in agent.status.conditions)


def _undelivered(
    context: Context, agent: OpenClawAgent, access: Access, replacing: Replacing | None
) -> tuple[KeyRow, SecretStr] | None:
    """A key that was created and whose delivery has an unknown outcome; None: there is none, or another is wanted now."""
    session = access.session
    token, value = session.undelivered.get(agent.metadata.uid, ("", None))
    row = session.table.get(token)
    if value is None or row is None or row.mark is None or row.expires is not None:
        return None
    if replacing and row.mark.replaces != replacing.row.short:
        return None
    if rotation_due(context, agent, access.offer.key_defaults, row) is not None:
        return None
    return row, value


async def _deliver(
    context: Context,
    agent: OpenClawAgent,
    session: ProxySession,
    live: dict[str, Any] | None,
    row: KeyRow,
    value: SecretStr,
) -> None:
    """Write a key into the agent's Secret. If somebody was faster, the next pass first reads which key it holds.

    Raises:
        Blocked: the Secret is refused, or another owner has its name. The key has been deleted, or each retry would leave
            one more.
        KubeError: the outcome is unknown.
    """
    session.undelivered[agent.metadata.uid] = (row.token, value)
    manifest = agent_secret(agent, key=value.get_secret_value(), token=row.token, base_url=session.url)
    try:
        await _write_secret(context, manifest, live)
    except Blocked:
        del session.undelivered[agent.metadata.uid]
        await delete_keys(session, [row.token])
        raise
    del session.undelivered[agent.metadata.uid]


async def _write_secret(context: Context, manifest: Manifest, live: dict[str, Any] | None) -> None:
    try:
        await apply(context, manifest, live, ConditionType.KEY_READY)
    except ConflictError:
        if live is None:
            meta = manifest["metadata"]
            found = await get_live(context, SECRET.kind, meta["namespace"], meta["name"])
            check_ours(found, manifest, ConditionType.KEY_READY)
        raise


async def _create(
    context: Context, agent: OpenClawAgent, access: Access, replacing: Replacing | None
) -> tuple[KeyRow, SecretStr]:
    """Register a key that nobody has yet."""
    session = access.session
    old = await session.table.refresh_agent(session.client, agent.metadata.uid)
    now = session.now()
    shown = min(agent.status.key.generation, _LARGEST_SHOWN)
    generation = 1 + max([shown, *(row.mark.generation for row in old if row.mark)])
    lost = _lost_key(agent, session.url, access.limits, old)
    known = [*old, lost] if lost else old
    spend = max(spend_of_period(now, old), spend_of_period(now, [lost] if lost else []))
    # By a clock that is behind, now may be before the run's start; then the key would be rotated again and again.
    created = max([context.now(), *(run.not_before for run in runs_for(context, agent.metadata.uid))])
    mark = Mark(
        cluster=context.cluster,
        agent=agent.metadata.uid,
        generation=generation,
        namespace=agent.metadata.namespace,
        created_at=created.isoformat(),
        block_reason=BlockReason.SUSPENDED.value if agent.spec.suspend else "",
        rotate_digest=rotate_annotation_digest(agent),
        replaces=replacing.row.short if replacing else "",
        grace=replacing.grace if replacing else 0,
        carried=carried_from(old),
        budget_resets_at=inherited_reset(now, known, access.limits),
    )
    mark = wanted_mark(context, agent, mark, may_retain=access.offer.allows_retain)
    check_not_reserved(context, agent, old)
    for row in old:
        await give_up_alias(session, row)
    value = new_key()
    created_row = await _generate(context, agent, access, value, mark, spend)
    if created_row.budget_resets_at is None:
        created_row = replace(created_row, budget_resets_at=shared_reset(now, known, access.limits))
    session.table.put(created_row)
    return created_row, value


def _lost_key(agent: OpenClawAgent, url: str, limits: Limits, old: Sequence[KeyRow]) -> KeyRow | None:
    """The key that the status shows, if the proxy has lost it: no budget is granted twice, and its period goes on."""
    status = agent.status
    if status.base_url != url or not status.spend or any(row.token.startswith(status.key.hash) for row in old):
        return None
    try:
        spend, resets = bounds.amount(float(status.spend)), bounds.time(status.budget_resets_at)
    except ValueError:
        return None  # somebody else has written it
    mark = Mark("", agent.metadata.uid, status.key.generation)
    return KeyRow(status.key.hash, status.key.alias, limits, spend, mark, budget_resets_at=resets)


async def _generate(
    context: Context, agent: OpenClawAgent, access: Access, value: SecretStr, mark: Mark, spend: float
) -> KeyRow:
    client = access.session.client
    generate = partial(
        client.generate_key,
        value,
        alias=agent.alias,
        limits=access.limits,
        mark=mark,
        metadata=owners_metadata(agent.spec.key.metadata),
        spend=spend,
    )
    row = await with_alias(context, agent, access.session, generate)
    return await _without_end(access.session, row)


async def _without_end(session: ProxySession, row: KeyRow) -> KeyRow:
    """Remove an end that the proxy gives every key (its ``default_key_generate_params`` or upper bounds).

    Raises:
        Blocked: it can't be removed, so the key would end unseen.
    """
    if row.expires is None:
        return row
    await session.client.update_key(row.token, {"duration": None})
    fresh = await session.client.key(row.token)
    if fresh and fresh.expires is None:
        return fresh
    await delete_keys(session, [row.token])
    message = (
        "LiteLLM gives every key an end, by its key_generate_params, and doesn't remove it: remove duration there."
    )
    raise Blocked(ConditionType.KEY_READY, "KeyExpires", message, stalled=True, retry=intervals.REFUSED)
