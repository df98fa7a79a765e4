"""Keys that outlive their agent (``deletionPolicy: Retain``), and the agent of the same name that takes them back.

A retained key says whose it is in its own mark, and its Secret stays without an owner. Both are taken back by an agent
of exactly that namespace and name, and by nobody else; the sweep leaves them alone.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.kube.cache import owner_of
from litclaw.kube.resources import SECRET
from litclaw.litellm.keys import KeyRow, Mark
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.core import secret_values as secrets
from litclaw.reconcile.core.conditions import KEY_READY
from litclaw.reconcile.core.owned_objects import put
from litclaw.reconcile.keys.retire import retire_old_keys
from litclaw.render.agent.secret import agent_secret
from litclaw.render.metadata import without_owner


def full_name(agent: OpenClawAgent) -> str:
    """``<namespace>/<name>``, by which a retained key knows its agent."""
    return f"{agent.metadata.namespace}/{agent.metadata.name}"


def wanted_mark(agent: OpenClawAgent, mark: Mark) -> Mark:
    """The mark with what the agent's deletion policy says of it."""
    retain = agent.spec.key.deletion_policy == "Retain"
    return replace(mark, retained=full_name(agent) if retain else "")


async def _remark(state: RouteState, row: KeyRow, mark: Mark) -> None:
    await state.client.update_key(row.token, {"metadata": row.marked(mark)})
    state.table.put(replace(row, mark=mark))


async def retain_keys(context: Context, agent: OpenClawAgent, state: RouteState) -> None:
    """Set the agent's keys and its Secret free.

    Raises:
        LiteLLMError: the proxy couldn't be told.
        Blocked: a new key isn't accepted yet.
    """
    live = context.cache.get(SECRET.kind, agent.metadata.namespace, agent.secret_name)
    if live and (row := state.table.get(live["data"].get(names.API_KEY, ""))):
        await retire_old_keys(context, agent, state, row)  # a key of which nobody thinks any more needs an end
    for row in state.table.of(agent.metadata.uid):
        if row.mark and row.mark != wanted_mark(agent, row.mark):
            await _remark(state, row, wanted_mark(agent, row.mark))
    owner = owner_of(live["metadata"]) if live else None
    held = await secrets.values(context, agent.metadata.namespace, agent.secret_name)
    if live and held and names.API_KEY in held and owner and owner.uid == agent.metadata.uid:
        key = held[names.API_KEY].get_secret_value()
        manifest = agent_secret(agent, key=key, token=live["data"][names.API_KEY], base_url=state.url)
        await put(context, without_owner(manifest), live, KEY_READY)


async def adopt_retained_keys(context: Context, agent: OpenClawAgent, state: RouteState) -> None:
    """Put the agent's mark on the keys that a deleted agent of its name has left behind.

    Raises:
        LiteLLMError: the proxy couldn't be told.
    """
    uid = agent.metadata.uid
    left = [row for row in state.table.retained_for(full_name(agent)) if row.mark and row.mark.agent != uid]
    if not left:
        return
    living = await context.living_agents()
    for row in left:
        if row.mark and row.mark.agent not in living:
            await _remark(state, row, replace(row.mark, agent=uid))


def is_retained_secret(agent: OpenClawAgent, state: RouteState, secret: Mapping[str, Any] | None) -> bool:
    """Whether a Secret without an owner holds a key that is the agent's by `adopt_retained_keys`."""
    if secret is None or owner_of(secret["metadata"]):
        return False
    labels = secret["metadata"].get("labels") or {}
    if labels.get(names.LABEL_MANAGED_BY) != names.MANAGED_BY:
        return False
    row = state.table.get((secret.get("data") or {}).get(names.API_KEY, ""))
    mark = row.mark if row else None
    return mark is not None and (mark.agent, mark.retained) == (agent.metadata.uid, full_name(agent))
