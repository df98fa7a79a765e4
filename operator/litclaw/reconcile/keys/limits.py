"""What an agent's keys may do, and lowering it at keys that aren't the agent's current one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from litclaw.api.agent import OpenClawAgent
from litclaw.api.quantity import usd
from litclaw.api.route import KeyDefaults
from litclaw.litellm.keys import KeyRow, Limits
from litclaw.reconcile.proxy.session import ProxySession

_NUMBERS = ("max_budget", "tpm_limit", "rpm_limit", "max_parallel_requests")


def wanted_limits(agent: OpenClawAgent, defaults: KeyDefaults, models: Sequence[str] = ()) -> Limits:
    """The limits that an agent's key should have.

    Args:
        defaults: of the route, for what the agent doesn't set.
        models: that the key may use; empty: all of the proxy.
    """
    key = agent.spec.key
    budget = key.max_budget if key.max_budget is not None else defaults.max_budget

    def limit(own: int | None, default: int | None) -> int | None:
        return (own if own is not None else default) or None

    return Limits(
        models=tuple(models),
        max_budget=float(usd(budget)) if budget is not None else None,
        budget_duration=key.budget_duration or defaults.budget_duration,
        tpm_limit=limit(key.tpm_limit, defaults.tpm_limit),
        rpm_limit=limit(key.rpm_limit, defaults.rpm_limit),
        max_parallel_requests=limit(key.max_parallel_requests, None),
        team_id=key.team,
        tags=tuple(key.tags),
    )


def lowered(row: KeyRow, wanted: Limits) -> Limits:
    """A key's limits without what exceeds the wanted ones. Nothing is raised, and the budget's period stays."""
    current = row.limits
    changes: dict[str, Any] = {}
    for name in _NUMBERS:
        most, now = getattr(wanted, name), getattr(current, name)
        if most is not None and (now is None or now > most):
            changes[name] = most
    if wanted.models and not (current.models and set(current.models) <= set(wanted.models)):
        # No model at all can't be said: an empty list means all.
        changes["models"] = tuple(name for name in current.models if name in wanted.models) or wanted.models
    return replace(current, **changes)


async def lower_limits(session: ProxySession, row: KeyRow, wanted: Limits) -> KeyRow:
    """Lower a key's limits where they exceed the wanted ones.

    Raises:
        LiteLLMError: the proxy didn't do it.
    """
    limits = lowered(row, wanted)
    if limits == row.limits:
        return row
    before, now = row.limits.payload(), limits.payload()
    await session.client.update_key(row.token, {name: now[name] for name in now if now[name] != before[name]})
    row = replace(row, limits=limits)
    session.table.put(row)
    return row
