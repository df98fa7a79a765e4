"""One reconcile of an OpenClawAgent: its key, its config, its gateway and, when it goes, the end of its key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from litclaw.api import names
from litclaw.api.agent import AgentStatus, KeyStatus, OpenClawAgent
from litclaw.api.quantity import format_usd
from litclaw.kube.resources import AGENT, NAMESPACE, ROUTE
from litclaw.litellm.errors import LiteLLMError
from litclaw.litellm.keys import KeyRow
from litclaw.net.address import allow_private_network
from litclaw.reconcile.agent.accept import NOT_ALLOWED, Access, accept
from litclaw.reconcile.agent.deletion import finish
from litclaw.reconcile.agent.gateway import deploy_gateway, stop_gateway
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import report
from litclaw.reconcile.core.conditions import KEY_READY, Blocked, Conditions, timestamp
from litclaw.reconcile.core.finalizer import hold
from litclaw.reconcile.core.last_resort import guarded, say
from litclaw.reconcile.core.owned_objects import ensure
from litclaw.reconcile.core.queue import jittered
from litclaw.reconcile.keys.block import BlockReason, block_key_for, unblock_key_of
from litclaw.reconcile.keys.due import asked, due, made_at, next_rotation, runs_for
from litclaw.reconcile.keys.ensure import blocked_by, ensure_key
from litclaw.reconcile.keys.period import anew_at, seconds_until_reset
from litclaw.reconcile.keys.retire import retiring_until
from litclaw.render.agent.configmap import agent_configmap
from litclaw.render.openclaw.config import OpenClawConfig, openclaw_config
from litclaw.render.openclaw.releases import TooOldError

REQUIRED_CONDITIONS = ("RouteAccepted", KEY_READY, "ConfigReady")
REQUIRED_CONDITIONS_WITH_GATEWAY = (*REQUIRED_CONDITIONS, "GatewayReady")
_LOOK_AGAIN_SECONDS = 600.0  # nothing depends on having seen an event
_BLOCKED_SECONDS = 60.0  # whatever mends it wakes the agent; this is for what no watch sees
_COUNT_SECONDS = 3.0
_TAKE_AWAY_SECONDS = 5.0


@dataclass(slots=True)
class _Seen:
    """What one pass has found out, for the status."""

    access: Access | None = None
    row: KeyRow | None = None
    requeue_after: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


async def reconcile_agent(context: Context, namespace: str, name: str) -> float | None:
    """Compare what is with what should be, once.

    Returns:
        After how many seconds to look requeue_after, or None.
    """
    body = context.cache.get(AGENT.kind, namespace, name)
    if body is None:
        return None
    return await guarded(context, body, REQUIRED_CONDITIONS, lambda: _pass(context, body))


async def _pass(context: Context, body: Mapping[str, Any]) -> float | None:
    if "deletionTimestamp" in body["metadata"]:
        return await finish(context, body)
    home = context.cache.get(NAMESPACE.kind, "", body["metadata"]["namespace"])
    if home and "deletionTimestamp" in home["metadata"]:
        return None  # nothing can be made there any more, and the agent is deleted next
    try:
        agent = OpenClawAgent.model_validate(body)
    except ValidationError as error:
        await say(context, body, REQUIRED_CONDITIONS, report.unreadable(error))
        return None
    conditions = Conditions(REQUIRED_CONDITIONS_WITH_GATEWAY if agent.spec.gateway else REQUIRED_CONDITIONS)
    seen, requeue_after = _Seen(), jittered(_LOOK_AGAIN_SECONDS)
    try:
        if agent.spec.suspend:
            await _hold_all(context, agent, BlockReason.SUSPENDED)  # before anything that might not go through
        await _converge(context, agent, body, conditions, seen)
        _see_ready(agent, conditions)
        requeue_after = _look_again(context, agent, seen)
    except Blocked as why:
        if why.stalled and seen.row is None:
            context.fail_rotation(agent.metadata.uid, f"{why.reason}: {why.message}")
        conditions.blocked(why)
        requeue_after = min(why.retry or jittered(_BLOCKED_SECONDS), seen.requeue_after or _BLOCKED_SECONDS * 2)
        if agent.spec.suspend:
            await stop_gateway(context, agent)
        if why.reason == NOT_ALLOWED:
            requeue_after = await _take_away(context, agent, conditions) or requeue_after
    fresh = context.cache.get(AGENT.kind, agent.metadata.namespace, agent.metadata.name) or body
    await report.write_status(context, fresh, _status(context, agent, conditions, seen))
    return requeue_after


def _look_again(context: Context, agent: OpenClawAgent, seen: _Seen) -> float:
    times = [jittered(_LOOK_AGAIN_SECONDS), *([seen.requeue_after] if seen.requeue_after is not None else [])]
    if seen.access and seen.row:
        if (moment := next_rotation(agent, seen.access.state, seen.row)) is not None:
            times.append((moment - context.now()).total_seconds())
        if (wait := seconds_until_reset(seen.access.state.now(context), seen.row)) is not None:
            times.append(wait)
    return max(1.0, min(times))


def _see_ready(agent: OpenClawAgent, conditions: Conditions) -> None:
    if agent.spec.suspend:
        conditions.ready("The agent is suspended: its key is blocked, and its gateway is scaled to zero.", "Suspended")
    else:
        conditions.ready("The key and the configuration are in place.")


async def _hold_all(context: Context, agent: OpenClawAgent, why: BlockReason) -> bool:
    """Block every key of the agent's that is known; returns whether there is one.

    Raises:
        Blocked: the proxy doesn't do it.
    """
    state = context.routes.get(agent.route_key)
    if state is None:
        return False
    rows = state.table.of(agent.metadata.uid)
    try:
        for row in rows:
            await block_key_for(state, row, why)
    except LiteLLMError as error:
        message = f"The key is to be blocked, and the proxy doesn't do it: {error}; it is tried requeue_after."
        raise Blocked(KEY_READY, "ProxyUnavailable", message, stalled=False, retry=_TAKE_AWAY_SECONDS) from None
    return bool(rows)


async def _take_away(context: Context, agent: OpenClawAgent, conditions: Conditions) -> float | None:
    """Block the keys of an agent whose route doesn't allow it any more.

    Returns:
        After how many seconds to try requeue_after, or None when it is done.
    """
    try:
        if await _hold_all(context, agent, BlockReason.NOT_ALLOWED):
            message = "The key is blocked, because the route doesn't allow the namespace."
            conditions.false(KEY_READY, "NotAllowed", message)
    except Blocked as why:
        conditions.false(KEY_READY, why.reason, why.message)
        return why.retry
    return None


async def _live_key(context: Context, agent: OpenClawAgent, access: Access) -> tuple[KeyRow, float | None]:
    """The agent's key, at work or at rest as the resource says; and after how many seconds to look at its keys again."""
    before = len(access.state.table)
    row, requeue_after = await ensure_key(context, agent, access)
    try:
        if agent.spec.suspend:
            row = await block_key_for(access.state, row, BlockReason.SUSPENDED)
        else:
            row = await unblock_key_of(access.state, row)
    except LiteLLMError as error:
        raise blocked_by(error, agent) from None
    if len(access.state.table) != before:
        context.enqueue_after((ROUTE.kind, *agent.route_key), _COUNT_SECONDS)
    return row, requeue_after


def _render(agent: OpenClawAgent, access: Access) -> OpenClawConfig:
    private = allow_private_network(access.state.reach, agent.spec.config.allow_private_network)
    try:
        return openclaw_config(agent, base_url=access.state.url, allow_private_network=private, models=access.models)
    except TooOldError as error:
        message = f"{error}: use a newer one, or mend spec.config.openclawVersion."
        raise Blocked("ConfigReady", "OpenClawTooOld", message, stalled=True) from None


async def _converge(
    context: Context, agent: OpenClawAgent, body: Mapping[str, Any], conditions: Conditions, seen: _Seen
) -> None:
    access = seen.access = accept(context, agent)
    conditions.true("RouteAccepted", "Accepted")
    await hold(context, body)
    row, seen.requeue_after = await _live_key(context, agent, access)
    seen.row = row
    if due(context, agent, access.state, row) is None:
        for run in runs_for(context, agent.metadata.uid):
            run.settle(agent.metadata.uid, None)
    conditions.true(KEY_READY, "Suspended" if agent.spec.suspend else "Live")
    _see_budget(row, conditions)
    config = _render(agent, access)
    configmap = agent_configmap(agent, config.text, access.state.authorities)
    await ensure(context, configmap, "ConfigReady")
    conditions.true("ConfigReady", "Overruled" if config.remarks else "Rendered", " ".join(config.remarks))
    seen.extra = {
        "allow_private_network": config.allow_private_network,
        "default_model": agent.spec.default_model or access.models[0].name,
        "config_map_name": agent.config_map_name,
    }
    await deploy_gateway(context, agent, configmap, access.state.peer, conditions)


def _see_budget(row: KeyRow, conditions: Conditions) -> None:
    budget = row.limits.max_budget
    if budget is None:
        conditions.true("WithinBudget", "NoBudget")
    elif row.spend < budget:
        conditions.true("WithinBudget", "Within")
    else:
        anew = f" It starts anew at {row.budget_resets_at}." if row.budget_resets_at else ""
        message = (
            f"{format_usd(row.spend)} of {format_usd(budget)} USD are spent, and LiteLLM refuses calls.{anew} "
            "Raise spec.key.maxBudget to go on now."
        )
        conditions.false("WithinBudget", "Spent", message)


def _status(context: Context, agent: OpenClawAgent, conditions: Conditions, seen: _Seen) -> dict[str, Any]:
    generation = agent.metadata.generation
    rendered = conditions.render(agent.status.conditions, generation=generation, now=context.now())
    mark = seen.row.mark if seen.row else None
    if seen.access is None or seen.row is None or mark is None:
        kept = agent.status.model_copy(update={"observed_generation": generation})
        return report.dump(kept, rendered)
    row, state = seen.row, seen.access.state
    turn, until = next_rotation(agent, state, row), retiring_until(context, state, agent.metadata.uid)
    value = agent.metadata.annotations.get(names.ANNOTATION_ROTATE, "")
    handled = value and mark.asked == asked(agent)
    budget = row.limits.max_budget
    status = AgentStatus(
        observed_generation=generation,
        base_url=seen.access.state.url,
        key=KeyStatus(
            alias=row.alias,
            hash=row.token[:8],
            generation=mark.generation,
            rotated_at=timestamp(made_at(row)),
            next_rotation=timestamp(turn) if turn else None,
            retiring_until=timestamp(until) if until else None,
        ),
        secret_name=agent.secret_name,
        spend=format_usd(row.spend),
        budget=format_usd(budget) if budget is not None else "",
        budget_resets_at=anew_at(row),
        last_handled_rotation=value if handled else agent.status.last_handled_rotation,
        **(seen.extra or _kept(agent.status)),
    )
    return report.dump(status, rendered)


def _kept(status: AgentStatus) -> dict[str, Any]:
    return {
        "allow_private_network": status.allow_private_network,
        "default_model": status.default_model,
        "config_map_name": status.config_map_name,
    }
