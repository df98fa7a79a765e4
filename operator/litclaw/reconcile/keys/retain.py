"""Keys that outlive their agent (``deletionPolicy: Retain``), and their adoption by the next agent of the same name.

A retained key's mark names its agent, and its Secret stays without an owner. An agent of exactly that namespace and name
adopts both, and nobody else does; the sweep leaves them alone.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.kube.cache import owner_of
from litclaw.kube.resources import NAMESPACE, SECRET
from litclaw.litellm.keys import KeyRow, Mark
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.conditions import ConditionType
from litclaw.reconcile.core.owned_objects import apply, get_live
from litclaw.reconcile.core.secret_values import values
from litclaw.reconcile.keys.retire import retire_old_keys
from litclaw.reconcile.proxy.session import ProxySession
from litclaw.render.agent.secret import agent_secret
from litclaw.render.metadata import without_owner


def full_name(agent: OpenClawAgent) -> str:
    """``<namespace>/<name>``, as a retained key's mark names its agent."""
    return f"{agent.metadata.namespace}/{agent.metadata.name}"


def wanted_mark(context: Context, agent: OpenClawAgent, mark: Mark, *, may_retain: bool) -> Mark:
    """The mark with the agent's route, and as its deletion policy wants it.

    Args:
        may_retain: True if the route lets keys outlive their agent.
    """
    retain = may_retain and agent.spec.key.deletion_policy == "Retain"
    marked = _retained(context, agent, mark) if retain else replace(mark, retained_for="", namespace_uid="")
    return replace(marked, route="/".join(agent.route_key))


def _retained(context: Context, agent: OpenClawAgent, mark: Mark) -> Mark:
    """The mark of a key that may outlive its agent."""
    home = context.cache.get(NAMESPACE.kind, "", agent.metadata.namespace)
    uid = home["metadata"]["uid"] if home else mark.namespace_uid
    return replace(mark, retained_for=full_name(agent), namespace_uid=uid)


async def _set_mark(session: ProxySession, row: KeyRow, mark: Mark) -> None:
    await session.client.update_key(row.token, {"metadata": row.marked(mark)})
    session.table.put(replace(row, mark=mark))


async def retain_keys(context: Context, agent: OpenClawAgent, session: ProxySession) -> None:
    """Detach the agent's keys at one proxy from the agent.

    Raises:
        LiteLLMError: the proxy didn't do it.
        Blocked: a new key isn't accepted yet.
    """
    live = await get_live(context, SECRET.kind, agent.metadata.namespace, agent.secret_name)
    if live and (row := session.table.get(live["data"].get(names.API_KEY, ""))):
        await retire_old_keys(context, agent, session, row)  # nobody else will: each old key needs an end now
    for row in session.table.of(agent.metadata.uid):
        if row.mark and not row.mark.retained_for:
            await _set_mark(session, row, _retained(context, agent, row.mark))


async def detach_secret(context: Context, agent: OpenClawAgent) -> None:
    """Detach the agent's Secret from the agent, so that it isn't deleted with it. No proxy is needed for that.

    Raises:
        Blocked: the API server refuses it.
    """
    live = await get_live(context, SECRET.kind, agent.metadata.namespace, agent.secret_name)
    owner = owner_of(live["metadata"]) if live else None
    if live is None or owner is None or owner.uid != agent.metadata.uid:
        return
    found = await values(context, agent.metadata.namespace, agent.secret_name)
    if found and names.API_KEY in found:
        key = found[names.API_KEY].get_secret_value()
        base_url = found[names.BASE_URL].get_secret_value() if names.BASE_URL in found else agent.status.base_url
        manifest = agent_secret(agent, key=key, token=live["data"][names.API_KEY], base_url=base_url)
        await apply(context, without_owner(manifest), live, ConditionType.KEY_READY)


async def adopt_retained_keys(context: Context, agent: OpenClawAgent, session: ProxySession) -> None:
    """Set the agent's uid in the marks of the keys that a deleted agent of its name has retained.

    Raises:
        LiteLLMError: the proxy didn't do it.
    """
    uid = agent.metadata.uid
    left = [row for row in session.table.retained_for(full_name(agent)) if row.mark and row.mark.agent != uid]
    if not left:
        return
    living = await context.living_agents()
    for row in left:
        if row.mark and row.mark.agent not in living:
            await _set_mark(session, row, replace(row.mark, agent=uid))


def is_retained_secret(agent: OpenClawAgent, session: ProxySession, secret: Mapping[str, Any] | None) -> bool:
    """True if a Secret without an owner holds a key that the agent has adopted."""
    if secret is None or owner_of(secret["metadata"]):
        return False
    labels = secret["metadata"].get("labels") or {}
    if labels.get(names.LABEL_MANAGED_BY) != names.MANAGED_BY:
        return False
    row = session.table.get((secret.get("data") or {}).get(names.API_KEY, ""))
    mark = row.mark if row else None
    # The uid alone decides: `_keep_limits` may have cleared retained_for before the Secret was adopted.
    return mark is not None and mark.agent == agent.metadata.uid
