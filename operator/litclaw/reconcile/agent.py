"""One reconcile of an OpenClawAgent: its key, its config, its gateway and, when it goes, the end of its key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from ..api import names
from ..api.agent import AgentStatus, KeyStatus, OpenClawAgent
from ..api.quantity import format_usd
from ..kube.resources import AGENT, ROUTE
from ..litellm.keys import KeyRow
from ..render.address import allow_private_network
from ..render.agent_configmap import agent_configmap
from ..render.openclaw_config import openclaw_config
from . import report
from .agent_access import Access, accept
from .agent_finish import finish
from .agent_gateway import deploy_gateway
from .agent_key import ensure_key
from .children import ensure
from .conditions import Blocked, Conditions, timestamp
from .world import World

RESTS_ON = ("RouteAccepted", "KeyReady", "ConfigReady")
RESTS_ON_WITH_GATEWAY = (*RESTS_ON, "GatewayReady")
_BLOCKED_SECONDS = 60.0  # whatever mends it wakes the agent; this is for what no watch sees
_COUNT_SECONDS = 3.0


@dataclass(slots=True)
class _Seen:
    """What one pass has found out, for the status."""

    access: Access | None = None
    row: KeyRow | None = None
    extra: dict[str, Any] = field(default_factory=dict)


async def reconcile_agent(world: World, namespace: str, name: str) -> float | None:
    """Compare what is with what should be, once.

    Returns:
        After how many seconds to look again, or None.
    """
    body = world.cache.get(AGENT.kind, namespace, name)
    if body is None:
        return None
    if "deletionTimestamp" in body["metadata"]:
        return await finish(world, body)
    try:
        agent = OpenClawAgent.model_validate(body)
    except ValidationError as error:
        await report.refuse(world, body, error, RESTS_ON)
        return None
    conditions = Conditions(RESTS_ON_WITH_GATEWAY if agent.spec.gateway else RESTS_ON)
    seen, again = _Seen(), None
    try:
        await _converge(world, agent, body, conditions, seen)
        conditions.ready("The key and the configuration are in place.")
    except Blocked as why:
        conditions.blocked(why)
        again = why.retry or _BLOCKED_SECONDS
    fresh = world.cache.get(AGENT.kind, namespace, name) or body
    await report.write_status(world, fresh, _status(world, agent, conditions, seen))
    return again


async def _converge(
    world: World, agent: OpenClawAgent, body: Mapping[str, Any], conditions: Conditions, seen: _Seen
) -> None:
    access = seen.access = accept(world, agent)
    conditions.true("RouteAccepted", "Accepted")
    await _hold(world, body)
    before = len(access.state.table)
    seen.row = await ensure_key(world, agent, access)
    if len(access.state.table) != before:
        world.wake_after((ROUTE.kind, *agent.route_key), _COUNT_SECONDS)
    conditions.true("KeyReady", "Live")
    _see_budget(seen.row, conditions)
    private = allow_private_network(access.state.reach, agent.spec.config.allow_private_network)
    config = openclaw_config(agent, base_url=access.state.url, allow_private_network=private, models=access.models)
    configmap = agent_configmap(agent, config.text)
    await ensure(world, configmap, "ConfigReady")
    overruled = f"spec.config.extra can't change {', '.join(config.clashes)}." if config.clashes else ""
    conditions.true("ConfigReady", "Overruled" if overruled else "Rendered", overruled)
    seen.extra = {
        "allow_private_network": private,
        "default_model": agent.spec.default_model or access.models[0].name,
        "config_map_name": agent.config_map_name,
    }
    await deploy_gateway(world, agent, configmap, conditions)


async def _hold(world: World, body: Mapping[str, Any]) -> None:
    """Have the finalizer on the resource before anything exists that its deletion must end."""
    meta = body["metadata"]
    if names.FINALIZER not in meta.get("finalizers", ()):
        manifest = {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "metadata": {
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
                "finalizers": [names.FINALIZER],
            },
        }
        world.cache.observe(await world.kube.apply(manifest))


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


def _status(world: World, agent: OpenClawAgent, conditions: Conditions, seen: _Seen) -> dict[str, Any]:
    generation = agent.metadata.generation
    rendered = conditions.render(agent.status.conditions, generation=generation, now=world.now())
    mark = seen.row.mark if seen.row else None
    if seen.access is None or seen.row is None or mark is None:
        kept = agent.status.model_copy(update={"observed_generation": generation})
        return report.dump(kept, rendered)
    row, before = seen.row, agent.status.key
    short = row.token[:8]
    rotated = before.rotated_at if before.hash == short else timestamp(world.now())
    budget = row.limits.max_budget
    status = AgentStatus(
        observed_generation=generation,
        base_url=seen.access.state.url,
        key=KeyStatus(alias=row.alias, hash=short, generation=mark.generation, rotated_at=rotated),
        secret_name=agent.secret_name,
        spend=format_usd(row.spend),
        budget=format_usd(budget) if budget is not None else "",
        budget_resets_at=row.budget_resets_at,
        **(seen.extra or _kept(agent.status)),
    )
    return report.dump(status, rendered)


def _kept(status: AgentStatus) -> dict[str, Any]:
    return {
        "allow_private_network": status.allow_private_network,
        "default_model": status.default_model,
        "config_map_name": status.config_map_name,
    }
