"""One reconcile of an OpenClawAgent: its key, its configuration and its gateway; on deletion, the end of its key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from litclaw.api.agent import OpenClawAgent
from litclaw.api.quantity import format_usd
from litclaw.kube.objects import is_deleting, is_released, is_suspended
from litclaw.kube.resources import AGENT, NAMESPACE, ROUTE
from litclaw.litellm.errors import LiteLLMError
from litclaw.litellm.keys import KeyRow
from litclaw.net.address import allow_private_network
from litclaw.net.backoff import jittered
from litclaw.reconcile.agent.accept import accept
from litclaw.reconcile.agent.deletion import finalize_agent
from litclaw.reconcile.agent.gateway import deploy_gateway, stop_gateway
from litclaw.reconcile.agent.revoke import block_revoked_keys, end_leaked_keys, lower_all_limits
from litclaw.reconcile.agent.status import agent_status
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, Conditions, ConditionType
from litclaw.reconcile.core.finalizer import ensure_finalizer
from litclaw.reconcile.core.last_resort import TRANSIENT, guarded, set_blocked
from litclaw.reconcile.core.owned_objects import ensure
from litclaw.reconcile.core.status import invalid_spec, write_status
from litclaw.reconcile.keys.block import BlockReason, block_key, unblock_key
from litclaw.reconcile.keys.due import next_rotation, rotation_due, runs_for
from litclaw.reconcile.keys.ensure import blocked_by, ensure_key
from litclaw.reconcile.keys.period import seconds_until_reset
from litclaw.reconcile.proxy.connection import Access
from litclaw.render.agent.configmap import agent_configmap
from litclaw.render.openclaw.config import OpenClawConfig, default_model, openclaw_config
from litclaw.render.openclaw.releases import TooOldError

REQUIRED_CONDITIONS = (ConditionType.ROUTE_ACCEPTED, ConditionType.KEY_READY, ConditionType.CONFIG_READY)
REQUIRED_CONDITIONS_WITH_GATEWAY = (*REQUIRED_CONDITIONS, ConditionType.GATEWAY_READY)


@dataclass(slots=True)
class AgentPass:
    """What one pass finds out, for the status.

    Attributes:
        access: what the agent gets of its route; None: nothing.
        row: its live key; None: it has none.
        requeue_after: seconds after which an older key needs another pass.
        rendered: status fields about the configuration.
    """

    access: Access | None = None
    row: KeyRow | None = None
    requeue_after: float | None = None
    rendered: dict[str, Any] = field(default_factory=dict)


async def reconcile_agent(context: Context, namespace: str, name: str) -> float | None:
    """Bring one agent closer to its spec.

    Returns:
        Seconds after which to reconcile again, or None.
    """
    body = context.cache.get(AGENT.kind, namespace, name)
    if body is None:
        context.forget_attempts(AGENT.kind, namespace, name)
        return None
    try:
        requeue_after, failed = await guarded(context, body, REQUIRED_CONDITIONS, lambda: _reconcile(context, body))
    except TRANSIENT:
        await end_leaked_keys(context, body)
        raise
    if failed:
        context.fail_rotation(body["metadata"]["uid"], f"{failed.reason}: {failed.message}")
    times = (requeue_after, await end_leaked_keys(context, body))  # last, whatever stood in the way of a new key
    return min((each for each in times if each is not None), default=None)


async def _reconcile(context: Context, cached: Mapping[str, Any]) -> float | None:
    body = await context.full(cached)
    if body is None:
        return None  # its deletion comes as an event
    if is_released(body):
        return await _revoke(context, body)  # it may retain its key, and the sweep doesn't know that it is suspended
    if is_deleting(body):
        return await finalize_agent(context, body)
    home = context.cache.get(NAMESPACE.kind, "", body["metadata"]["namespace"])
    if home and is_deleting(home):
        return await _revoke(context, body)  # nothing can be created there any more, and the agent is deleted next
    try:
        agent = OpenClawAgent.model_validate(body)
    except ValidationError as error:
        why = invalid_spec(error)
        context.fail_rotation(body["metadata"]["uid"], f"{why.reason}: {why.message}")
        await set_blocked(context, body, REQUIRED_CONDITIONS, why)
        return await _revoke(context, body)
    conditions = Conditions(REQUIRED_CONDITIONS_WITH_GATEWAY if agent.spec.gateway else REQUIRED_CONDITIONS)
    found = AgentPass()
    retry: float | None = None
    try:
        retry, left = await _block_revoked(context, agent, body, conditions)  # before anything that might fail
        await _converge(context, agent, body, conditions, found)
        _set_ready(agent, conditions, left)
        requeue_after = _requeue_after(context, agent, found)
        requeue_after = min(requeue_after, retry or requeue_after)
    except Blocked as why:
        if why.stalled and found.row is None:
            context.fail_rotation(agent.metadata.uid, f"{why.reason}: {why.message}")
        conditions.set_blocked(why)
        requeue_after = min(
            why.retry or jittered(intervals.AGENT_BLOCKED), found.requeue_after or intervals.AGENT_BLOCKED * 2
        )
        requeue_after = min(requeue_after, retry or requeue_after)
        if agent.spec.suspend:
            await stop_gateway(context, body)
        try:
            await lower_all_limits(context, agent)
        except LiteLLMError:
            requeue_after = min(requeue_after, intervals.PROXY_RETRY)
    fresh = context.cache.get(AGENT.kind, agent.metadata.namespace, agent.metadata.name) or body
    rendered = conditions.render(agent.status.conditions, generation=agent.metadata.generation, now=context.now())
    await write_status(context, fresh, agent_status(agent, found.access, found.row, found.rendered, rendered))
    return requeue_after


async def _block_revoked(
    context: Context, agent: OpenClawAgent, body: Mapping[str, Any], conditions: Conditions
) -> tuple[float | None, str]:
    """Block the keys of an agent that is suspended, or that its route no longer allows.

    Returns:
        Seconds after which to retry, or None; and which other proxy doesn't do it, empty if none.

    Raises:
        Blocked: the agent is suspended, and its proxy doesn't do it.
    """
    left = ""
    try:
        why, left = await block_revoked_keys(context, body)
        if why == BlockReason.NOT_ALLOWED:
            message = "The key is blocked, because the route doesn't allow the namespace."
            conditions.set_false(ConditionType.KEY_READY, "NotAllowed", message)
    except Blocked as error:
        if agent.spec.suspend:
            raise
        conditions.set_false(ConditionType.KEY_READY, error.reason, error.message)
        return error.retry, left
    return (intervals.PROXY_RETRY if left else None), left


async def _revoke(context: Context, body: Mapping[str, Any]) -> float | None:
    """Revoke what an agent has for which nothing else is done, such as one whose spec can't be validated.

    Its author must not be able to keep a key, or a gateway that runs, by that.

    Returns:
        Seconds after which to retry, or None.
    """
    retry: float | None = None
    try:
        await block_revoked_keys(context, body)
    except Blocked as why:
        retry = why.retry
    if is_suspended(body):
        await stop_gateway(context, body)
    return retry


def _requeue_after(context: Context, agent: OpenClawAgent, found: AgentPass) -> float:
    times = [jittered(intervals.AGENT_RESYNC), *([found.requeue_after] if found.requeue_after is not None else [])]
    if found.access and found.row:
        if (moment := next_rotation(agent, found.access.offer.key_defaults, found.row)) is not None:
            times.append((moment - context.now()).total_seconds())
        if (wait := seconds_until_reset(found.access.session.now(), found.row)) is not None:
            times.append(wait)
    return max(1.0, min(times))


def _set_ready(agent: OpenClawAgent, conditions: Conditions, left: str) -> None:
    if agent.spec.suspend:
        message = "The agent is suspended: its key is blocked, and its gateway is scaled to zero."
        conditions.set_ready(f"{message} {left}".rstrip(), "Suspended")
    else:
        conditions.set_ready("The key and the configuration are in place.")


async def _live_key(context: Context, agent: OpenClawAgent, access: Access) -> tuple[KeyRow, float | None]:
    """The agent's key, blocked or not as the resource wants; and seconds after which its keys need another pass."""
    session = access.session
    before = len(session.table)
    row, requeue_after = await ensure_key(context, agent, access)
    try:
        if agent.spec.suspend:
            row = await block_key(session, row, BlockReason.SUSPENDED)
        else:
            row = await unblock_key(session, row)
    except LiteLLMError as error:
        raise blocked_by(error, agent) from None
    if len(session.table) != before:
        context.enqueue_after((ROUTE.kind, *agent.route_key), intervals.COUNT_KEYS)
    return row, requeue_after


def _render(agent: OpenClawAgent, access: Access) -> OpenClawConfig:
    private = allow_private_network(access.offer.reach, agent.spec.config.allow_private_network)
    try:
        return openclaw_config(
            agent,
            base_url=access.offer.url,
            allow_private_network=private,
            models=access.models,
            authorities=access.offer.authorities,
        )
    except TooOldError as error:
        message = f"{error}: use a newer one, or correct spec.config.openclawVersion."
        raise Blocked(ConditionType.CONFIG_READY, "OpenClawTooOld", message, stalled=True) from None


async def _converge(
    context: Context, agent: OpenClawAgent, body: Mapping[str, Any], conditions: Conditions, found: AgentPass
) -> None:
    access = found.access = accept(context, agent)
    conditions.set_true(ConditionType.ROUTE_ACCEPTED, "Accepted")
    await ensure_finalizer(context, body)
    row, found.requeue_after = await _live_key(context, agent, access)
    found.row = row
    if rotation_due(context, agent, access.offer.key_defaults, row) is None:
        for run in runs_for(context, agent.metadata.uid):
            run.mark_done(agent.metadata.uid)
    ends = agent.spec.key.deletion_policy == "Retain" and not access.offer.allows_retain
    remark = "The route forbids to retain it: it ends with the agent." if ends else ""
    conditions.set_true(ConditionType.KEY_READY, "Suspended" if agent.spec.suspend else "Live", remark)
    _set_within_budget(row, conditions)
    config = _render(agent, access)
    configmap = agent_configmap(agent, config.text, access.offer.authorities)
    await ensure(context, configmap, ConditionType.CONFIG_READY, is_new=not agent.status.conditions)
    reason = "Overruled" if config.remarks else "Rendered"
    conditions.set_true(ConditionType.CONFIG_READY, reason, " ".join(config.remarks))
    found.rendered = {
        "allow_private_network": config.allow_private_network,
        "default_model": default_model(agent, access.models),
        "config_map_name": agent.config_map_name,
    }
    await deploy_gateway(context, agent, configmap, access.offer.peer, conditions)


def _set_within_budget(row: KeyRow, conditions: Conditions) -> None:
    budget = row.limits.max_budget
    if budget is None:
        conditions.set_true(ConditionType.WITHIN_BUDGET, "NoBudget")
    elif row.spend < budget:
        conditions.set_true(ConditionType.WITHIN_BUDGET, "Within")
    else:
        reset = f" It is reset at {row.budget_resets_at}." if row.budget_resets_at else ""
        message = (
            f"{format_usd(row.spend)} of {format_usd(budget)} USD are spent, and LiteLLM refuses calls.{reset} "
            "Raise spec.key.maxBudget to go on now."
        )
        conditions.set_false(ConditionType.WITHIN_BUDGET, "Spent", message)
