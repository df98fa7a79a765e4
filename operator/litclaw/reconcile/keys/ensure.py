"""An agent's virtual key: one live key, in its Secret, with the limits that the resource asks for.

The order survives a kill at any point. A key is registered before it is written into the Secret, so that what the
Secret holds is live; what is registered and never delivered is of the agent's uid, and the next pass delivers it or, in
another process, which doesn't know its value, ends it. A key that is too old is replaced in the same way, but for its end,
which comes later: see `key_retire`.
"""

from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.kube.cache import compact
from litclaw.kube.diff import is_as
from litclaw.kube.resources import AGENT, NAMESPACE, SECRET
from litclaw.litellm.errors import AliasTakenError, LicenceError, LiteLLMError, RejectedError, UnauthorizedError
from litclaw.litellm.keys import CONTROLS, KeyRow
from litclaw.reconcile.agent.accept import Access
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.core import secret_values as secrets
from litclaw.reconcile.core.conditions import KEY_READY, Blocked, listed
from litclaw.reconcile.core.owned_objects import check_ours, look, put
from litclaw.reconcile.core.report import record
from litclaw.reconcile.keys import retain as agent_retain
from litclaw.reconcile.keys.due import due, runs_for
from litclaw.reconcile.keys.end import end_keys
from litclaw.reconcile.keys.mint import PROXY_SECONDS, Replacing, mint
from litclaw.reconcile.keys.period import reset_budget_if_due
from litclaw.reconcile.keys.retain import wanted_mark
from litclaw.reconcile.keys.retire import UPTAKE_SECONDS, retire_old_keys
from litclaw.render.agent.secret import agent_secret
from litclaw.render.metadata import Manifest, sealed

_PLACEHOLDER = "-"


async def ensure_key(context: Context, agent: OpenClawAgent, access: Access) -> tuple[KeyRow, float | None]:
    """Have a live key in the agent's Secret that isn't too old, and no other of the agent's without an end.

    Returns:
        The key as the proxy has it; and after how many seconds an older one wants to be looked at, or None.

    Raises:
        Blocked: the Secret's name or the alias is somebody else's, the proxy refuses a limit or isn't usable.
    """
    _check_names(context, agent)
    state = access.state
    shape = agent_secret(agent, key=_PLACEHOLDER, token=_PLACEHOLDER, base_url=state.url)
    where = (SECRET.kind, agent.metadata.namespace, agent.secret_name)
    cached = context.cache.get(*where) is not None
    live = await look(context, *where)
    value: SecretStr | None = None
    try:
        await agent_retain.adopt_retained_keys(context, agent, state)
        row, grace = await _find(context, agent, access, live, shape)
        if cached and (row is None or _newer(state, agent, row)):
            # The cache may be behind, as a standby's that takes over; nothing is ended because of that.
            live = await _see_secret(context, agent)
            row, grace = await _find(context, agent, access, live, shape)
        if row is None:
            row, value = await _new_key(context, agent, access, live)
        elif grace is not None:
            if agent.metadata.uid not in state.undelivered:
                # One that waits for its end gets it first, or it would be taken for surplus.
                await retire_old_keys(context, agent, state, row)
            row, value = await _new_key(context, agent, access, live, Replacing(row, grace))
            if not runs_for(context, agent.metadata.uid):  # a rotation tells of itself, not of ten thousand agents
                await _tell(context, agent, grace)
        else:
            state.undelivered.pop(agent.metadata.uid, None)
            if newer := _newer(state, agent, row):
                await end_keys(state, newer)
            row = await _keep_limits(agent, access, row)
            row = await reset_budget_if_due(context, state, row)
            await _keep_secret(context, agent, access, live, row)
        requeue_after = await retire_old_keys(context, agent, state, row, value)
    except LiteLLMError as error:
        raise blocked_by(error, agent) from None
    return state.table.get(row.token) or row, requeue_after


async def _find(
    context: Context, agent: OpenClawAgent, access: Access, live: dict[str, Any] | None, shape: Manifest
) -> tuple[KeyRow | None, int | None]:
    """The live key that the Secret holds, and the grace period with which it is to be replaced now, if it is."""
    if not agent_retain.is_retained_secret(agent, access.state, live):
        check_ours(live, shape, KEY_READY)
    row = await _delivered(agent, access, live)
    return row, due(context, agent, access.state, row) if row and access.state.usable else None


async def _tell(context: Context, agent: OpenClawAgent, grace: int) -> None:
    body = context.cache.get(AGENT.kind, agent.metadata.namespace, agent.metadata.name)
    if body:
        lives_on = (
            f"the old one is accepted for up to {grace + UPTAKE_SECONDS} s more"
            if not agent.spec.suspend
            else "the old one ends"
        )
        await record(context, body, "Normal", "KeyRotated", f"A new key is in Secret {agent.secret_name}; {lives_on}.")


def _check_names(context: Context, agent: OpenClawAgent) -> None:
    """See that the key takes no name of another namespace's, and that its metadata doesn't steer LiteLLM."""
    prefix, slash, _ = agent.alias.partition("/")
    if slash and prefix != agent.metadata.namespace and context.cache.get(NAMESPACE.kind, "", prefix):
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
        return Blocked(KEY_READY, "MasterKeyRefused", message, stalled=False, retry=PROXY_SECONDS)
    return Blocked(
        KEY_READY, "ProxyUnavailable", f"{error}; it is tried requeue_after.", stalled=False, retry=PROXY_SECONDS
    )


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


async def _new_key(
    context: Context,
    agent: OpenClawAgent,
    access: Access,
    live: dict[str, Any] | None,
    replacing: Replacing | None = None,
) -> tuple[KeyRow, SecretStr]:
    """A new key in the Secret, and its value. One that an earlier pass has made is put right as any other."""
    left, _ = access.state.undelivered.get(agent.metadata.uid, ("", None))
    row, value = await mint(context, agent, access, live, replacing)
    return await _keep_limits(agent, access, row) if row.token == left else row, value


async def _keep_limits(agent: OpenClawAgent, access: Access, row: KeyRow) -> KeyRow:
    """Put right what of the key isn't as the resource says."""
    changes: dict[str, Any] = {}
    wanted, held = access.limits.payload(), row.limits.payload()
    changes.update({name: value for name, value in wanted.items() if held[name] != value})
    if row.alias != agent.alias:
        changes["key_alias"] = agent.alias
    if row.mark and (dict(row.metadata), row.mark) != (agent.spec.key.metadata, wanted_mark(agent, row.mark)):
        changes["metadata"] = row.marked(wanted_mark(agent, row.mark), agent.spec.key.metadata)
    if "budget_duration" in changes and row.mark and row.mark.anew_at:
        mark = replace(wanted_mark(agent, row.mark), anew_at="")
        changes["metadata"] = row.marked(mark, agent.spec.key.metadata)
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
    context: Context, agent: OpenClawAgent, access: Access, live: dict[str, Any] | None, row: KeyRow
) -> None:
    """Put right what of the Secret isn't as it should be; the key in it is."""
    if live is None:
        return
    wanted = compact(sealed(agent_secret(agent, key=_PLACEHOLDER, token=row.token, base_url=access.state.url)))
    wanted["data"][names.API_KEY] = live["data"][names.API_KEY]
    if is_as(live, wanted):
        return
    held = await secrets.values(context, agent.metadata.namespace, agent.secret_name)
    if held and names.API_KEY in held:
        key = held[names.API_KEY].get_secret_value()
        manifest = agent_secret(agent, key=key, token=row.token, base_url=access.state.url)
        await put(context, manifest, live, KEY_READY)


async def _see_secret(context: Context, agent: OpenClawAgent) -> dict[str, Any] | None:
    """The agent's Secret as the API server has it, compact."""
    found = await context.kube.get(SECRET, agent.metadata.namespace, agent.secret_name)
    return compact({"apiVersion": SECRET.api_version, "kind": SECRET.kind, **found}) if found else None


def _newer(state: RouteState, agent: OpenClawAgent, row: KeyRow) -> list[str]:
    """What was made after the key in the Secret and never got there: it may have the alias."""
    assert row.mark is not None
    others = [other for other in state.table.of(agent.metadata.uid) if other.expires is None and other.mark]
    return [other.token for other in others if other.mark and other.mark.generation > row.mark.generation]
