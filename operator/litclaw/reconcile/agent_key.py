"""An agent's virtual key: one live key, in its Secret, with the limits that the resource asks for.

The order survives a kill at any point. A key is registered before it is written into the Secret, so that what the
Secret holds is live; what is registered and never delivered is of the agent's uid, and the next pass ends it.
"""

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import SecretStr

from ..api import names
from ..api.agent import OpenClawAgent
from ..kube.cache import compact
from ..kube.diff import is_as
from ..kube.errors import ConflictError
from ..kube.resources import AGENT, NAMESPACE, SECRET
from ..litellm.errors import AliasTakenError, LicenceError, LiteLLMError, RejectedError, UnauthorizedError
from ..litellm.keys import CONTROLS, KeyRow, Mark, carried_spend, new_key
from ..render.agent_secret import agent_secret
from ..render.metadata import sealed
from . import agent_retain, secrets
from .agent_access import Access
from .agent_hold import Hold
from .agent_retain import wanted_mark
from .children import check_ours, look, put
from .conditions import Blocked, listed
from .key_end import end_keys
from .world import World

KEY_READY = "KeyReady"
_PLACEHOLDER = "-"
_PROXY_SECONDS = 10.0


async def ensure_key(world: World, agent: OpenClawAgent, access: Access) -> KeyRow:
    """Have a live key in the agent's Secret, and no other of the agent's.

    Returns:
        The key as the proxy has it.

    Raises:
        Blocked: the Secret's name or the alias is somebody else's, the proxy refuses a limit or isn't usable.
    """
    _check_names(world, agent)
    shape = agent_secret(agent, key=_PLACEHOLDER, base_url=access.state.url)
    live = await look(world, SECRET.kind, agent.metadata.namespace, agent.secret_name)
    try:
        await agent_retain.take_back(world, agent, access.state)
        if not agent_retain.was_left_behind(agent, access.state, live):
            check_ours(live, shape, KEY_READY)
        row = await _delivered(agent, access, live)
        if row is None:
            return await _mint(world, agent, access, live)
        row = await _keep_limits(agent, access, row)
        await _keep_secret(world, agent, access, live, shape)
        await _end_others(agent, access, row)
    except LiteLLMError as error:
        raise blocked_by(error, agent) from None
    return row


def _check_names(world: World, agent: OpenClawAgent) -> None:
    """See that the key takes no name of another namespace's, and that its metadata doesn't steer LiteLLM."""
    prefix, slash, _ = agent.alias.partition("/")
    if slash and prefix != agent.metadata.namespace and world.cache.get(NAMESPACE.kind, "", prefix):
        message = (
            f"spec.key.alias begins with {prefix}/, which is for the agents of that namespace: begin it with "
            f"{agent.metadata.namespace}/, or with what is no namespace."
        )
        raise Blocked(KEY_READY, "AliasReserved", message, stalled=True)
    if controls := CONTROLS & agent.spec.key.metadata.keys():
        message = (
            f"spec.key.metadata has {listed(sorted(controls))}, by which LiteLLM is steered: that is for its "
            "administrator. Choose another name."
        )
        raise Blocked(KEY_READY, "MetadataReserved", message, stalled=True)


def blocked_by(error: LiteLLMError, agent: OpenClawAgent) -> Blocked:
    """What to say of a proxy that doesn't do with the key as asked."""
    if isinstance(error, AliasTakenError):
        message = (
            f"Another key at the proxy is named {agent.alias!r}: let spec.key.alias name another, or delete that key."
        )
        return Blocked(KEY_READY, "AliasTaken", message, stalled=True, retry=60.0)
    if isinstance(error, LicenceError) and agent.spec.key.tags:
        message = (
            "LiteLLM takes spec.key.tags with its enterprise licence only: give the proxy one, or remove the tags."
        )
        return Blocked(KEY_READY, "Rejected", message, stalled=True, retry=60.0)
    if isinstance(error, RejectedError):
        return Blocked(KEY_READY, "Rejected", f"LiteLLM refuses the key: {error}. Mend spec.key.", stalled=True)
    if isinstance(error, UnauthorizedError):
        message = f"{error}: the route's conditions say what to do."
        return Blocked(KEY_READY, "MasterKeyRefused", message, stalled=False, retry=_PROXY_SECONDS)
    return Blocked(KEY_READY, "ProxyUnavailable", f"{error}; it is tried again.", stalled=False, retry=_PROXY_SECONDS)


async def _delivered(agent: OpenClawAgent, access: Access, live: dict[str, Any] | None) -> KeyRow | None:
    """The key that the Secret holds, if it is the agent's own and live."""
    token = ((live or {}).get("data") or {}).get(names.API_KEY)
    if token is None:
        return None
    row = access.state.table.get(token)
    if row is None:
        row = await access.state.client.key(token)
        if row:
            access.state.table.put(row)
    if row is None or row.mark is None or row.mark.agent != agent.metadata.uid or row.expires is not None:
        return None
    if row.blocked and not row.mark.held:
        message = f"The key {row.alias!r} is blocked in LiteLLM, and not by Litclaw: unblock it there."
        raise Blocked(KEY_READY, "KeyBlocked", message, stalled=True)
    return row


async def _mint(world: World, agent: OpenClawAgent, access: Access, live: dict[str, Any] | None) -> KeyRow:
    state = access.state
    if not state.usable:
        message = f"Waits for {state.url}, where the key is to be made: the route's conditions say why it isn't ready."
        raise Blocked(KEY_READY, "RouteNotReady", message, stalled=False, retry=_PROXY_SECONDS)
    old = await _as_they_are(agent, access)
    generation = 1 + max([agent.status.key.generation, *(row.mark.generation for row in old if row.mark)])
    carried = carried_spend(old) if old else _spend_of_a_lost_key(world, agent, state.url)
    held = Hold.SUSPENDED.value if agent.spec.suspend else ""
    mark = wanted_mark(agent, Mark(world.cluster, agent.metadata.uid, generation, carried, held))
    for row in old:
        if row.alias == agent.alias:
            await _free_alias(access, row)
    value = new_key()
    made = await _generate(world, agent, access, value, mark)
    state.table.put(made)
    manifest = agent_secret(agent, key=value.get_secret_value(), base_url=state.url)
    try:
        await put(world, manifest, live, KEY_READY)
    except (Blocked, ConflictError):
        # Refused for sure: a key that nobody was given ends at once, or there would be one more with each try.
        await end_keys(state, [made.token])
        raise
    await _end_others(agent, access, made)
    return made


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


def _spend_of_a_lost_key(world: World, agent: OpenClawAgent, url: str) -> float:
    """What was last seen of a key that the proxy has no more, if its period isn't over: no budget is handed out twice."""
    status = agent.status
    if status.base_url != url or not status.spend:
        return 0.0
    if status.budget_resets_at and datetime.fromisoformat(status.budget_resets_at) <= world.now():
        return 0.0
    return float(status.spend)


async def _generate(world: World, agent: OpenClawAgent, access: Access, value: SecretStr, mark: Mark) -> KeyRow:
    client = access.state.client
    generate = partial(
        client.generate_key,
        value,
        alias=agent.alias,
        limits=access.limits,
        mark=mark,
        metadata=agent.spec.key.metadata,
    )
    try:
        return await generate()
    except AliasTakenError:
        async for row in client.list_keys(alias=agent.alias):
            if not await _may_take(world, agent, row):
                raise
            access.state.table.put(row)
            await _free_alias(access, row)
    return await generate()


async def _may_take(world: World, agent: OpenClawAgent, row: KeyRow) -> bool:
    """Whether a key that has our alias is the agent's own, or that of an agent of this cluster that is gone."""
    if row.mark is None or row.mark.cluster != world.cluster or row.mark.retained:
        return False
    if row.mark.agent == agent.metadata.uid:
        return True
    living, _ = await world.kube.uids(AGENT)
    return row.mark.agent not in living


async def _free_alias(access: Access, row: KeyRow) -> None:
    generation = row.mark.generation if row.mark else 0
    alias = f"{row.alias}#{generation}.{row.token[:8]}"
    await access.state.client.update_key(row.token, {"key_alias": alias})
    access.state.table.put(replace(row, alias=alias))


async def _keep_limits(agent: OpenClawAgent, access: Access, row: KeyRow) -> KeyRow:
    """Put right what of the key isn't as the resource says."""
    changes: dict[str, Any] = {}
    wanted, held = access.limits.payload(), row.limits.payload()
    changes.update({name: value for name, value in wanted.items() if held[name] != value})
    if row.alias != agent.alias:
        changes["key_alias"] = agent.alias
    if row.mark and (dict(row.metadata), row.mark) != (agent.spec.key.metadata, wanted_mark(agent, row.mark)):
        changes["metadata"] = row.marked(wanted_mark(agent, row.mark), agent.spec.key.metadata)
    if not changes:
        return row
    await access.state.client.update_key(row.token, changes)
    fresh = await access.state.client.key(row.token)
    if fresh is None:
        message = f"The key {row.alias!r} was deleted at the proxy just now; another one is made."
        access.state.table.drop([row.token])
        raise Blocked(KEY_READY, "KeyGone", message, stalled=False, retry=1.0)
    access.state.table.put(fresh)
    return fresh


async def _keep_secret(
    world: World, agent: OpenClawAgent, access: Access, live: dict[str, Any] | None, shape: dict[str, Any]
) -> None:
    """Put right what of the Secret isn't as it should be; the key in it is."""
    if live is None:
        return
    wanted = compact(sealed(shape))
    wanted["data"][names.API_KEY] = live["data"][names.API_KEY]
    if is_as(live, wanted):
        return
    held = await secrets.values(world, agent.metadata.namespace, agent.secret_name)
    if held and names.API_KEY in held:
        key = held[names.API_KEY].get_secret_value()
        await put(world, agent_secret(agent, key=key, base_url=access.state.url), live, KEY_READY)


async def _end_others(agent: OpenClawAgent, access: Access, row: KeyRow) -> None:
    surplus = [other.token for other in access.state.table.of(agent.metadata.uid) if other.token != row.token]
    if surplus:
        await end_keys(access.state, surplus)
