"""The status of an agent."""

from typing import Any

from litclaw.api import names
from litclaw.api.agent import AgentStatus, KeyStatus, OpenClawAgent
from litclaw.api.quantity import format_usd
from litclaw.litellm.keys import KeyRow
from litclaw.reconcile.core.conditions import timestamp
from litclaw.reconcile.core.status import dump
from litclaw.reconcile.keys.due import created_at, next_rotation, rotate_annotation_digest
from litclaw.reconcile.keys.period import budget_resets_at
from litclaw.reconcile.keys.retire import retiring_until
from litclaw.reconcile.proxy.connection import Access


def agent_status(
    agent: OpenClawAgent,
    access: Access | None,
    row: KeyRow | None,
    rendered: dict[str, Any],
    conditions: list[dict[str, Any]],
) -> dict[str, Any]:
    """The status after a pass. Without a route or a key, everything but the conditions stays as it was.

    Args:
        rendered: the fields about the configuration; empty: they stay as they were.
    """
    generation, before = agent.metadata.generation, agent.status
    mark = row.mark if row else None
    if access is None or row is None or mark is None:
        return dump(before.model_copy(update={"observed_generation": generation}), conditions)
    rotation = next_rotation(agent, access.offer.key_defaults, row)
    until = retiring_until(access.session, agent.metadata.uid)
    value = agent.metadata.annotations.get(names.ANNOTATION_ROTATE, "")
    handled = value and mark.rotate_digest == rotate_annotation_digest(agent)
    budget = row.limits.max_budget
    status = AgentStatus(
        observed_generation=generation,
        base_url=access.offer.url,
        key=KeyStatus(
            alias=row.alias,
            hash=row.token[:8],
            generation=mark.generation,
            rotated_at=timestamp(created_at(row)),
            next_rotation=timestamp(rotation) if rotation else None,
            retiring_until=timestamp(until) if until else None,
        ),
        secret_name=agent.secret_name,
        spend=format_usd(row.spend),
        budget=format_usd(budget) if budget is not None else "",
        budget_resets_at=budget_resets_at(row),
        last_handled_rotation=value if handled else before.last_handled_rotation,
        **(rendered or _rendered_before(before)),
    )
    return dump(status, conditions)


def _rendered_before(before: AgentStatus) -> dict[str, Any]:
    return {
        "allow_private_network": before.allow_private_network,
        "default_model": before.default_model,
        "config_map_name": before.config_map_name,
    }
