"""An agent's virtual key: one live key, in its Secret, with the limits that the resource asks for.

The order survives a kill at any point. A key is registered before it is written into the Secret, so that the key in the
Secret is live. A registered key that was never delivered has the agent's uid in its mark: the next pass delivers it or, in
another process, which doesn't know its value, deletes it. A key that is due for rotation is replaced in the same way, except
for its end, which comes later: see `retire`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.kube.cache import compact, fingerprint, owner_of
from litclaw.kube.diff import is_as
from litclaw.kube.resources import AGENT, SECRET
from litclaw.litellm.errors import AliasTakenError, LicenceError, LiteLLMError, RejectedError, UnauthorizedError
from litclaw.litellm.keys import KeyRow, owners_metadata
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.core.events import emit_event
from litclaw.reconcile.core.owned_objects import apply, check_ours
from litclaw.reconcile.core.secret_values import values
from litclaw.reconcile.keys.alias import keep_alias
from litclaw.reconcile.keys.delete import delete_keys
from litclaw.reconcile.keys.due import rotation_due, rotation_policy, runs_for
from litclaw.reconcile.keys.limits import lower_limits
from litclaw.reconcile.keys.mint import PLACEHOLDER, Replacing, mint
from litclaw.reconcile.keys.period import reset_budget_if_due
from litclaw.reconcile.keys.retain import adopt_retained_keys, is_retained_secret, wanted_mark
from litclaw.reconcile.keys.retire import MOST_OLD, ends_at, key_gone, retire_old_keys
from litclaw.reconcile.proxy.connection import Access
from litclaw.reconcile.proxy.one_proxy import is_one_proxy
from litclaw.reconcile.proxy.session import ProxySession
from litclaw.render.agent.secret import VIRTUAL_KEY, agent_secret
from litclaw.render.metadata import Manifest, sealed


async def ensure_key(context: Context, agent: OpenClawAgent, access: Access) -> tuple[KeyRow, float | None]:
    """Keep one live key in the agent's Secret, replace it when it is due, and end the agent's other keys.

    Returns:
        The key as the proxy has it; and the seconds after which an older key needs another pass, or None.

    Raises:
        Blocked: another owner has the Secret's name or the alias, the proxy refuses a limit or isn't usable.
    """
    session = access.session
    shape = agent_secret(agent, key=PLACEHOLDER, token=PLACEHOLDER, base_url=session.url)
    cached = context.cache.get(SECRET.kind, agent.metadata.namespace, agent.secret_name)
    value: SecretStr | None = None
    try:
        await adopt_retained_keys(context, agent, session)
        live = cached or (None if _is_new(agent, session) else await _read_secret(context, agent, agent.secret_name))
        if live is None:
            live = await _rename_secret(context, agent, session)
        row, grace = await _find(context, agent, access, live, shape)
        if cached and (row is None or _newer(session, agent, row)):
            # The cache may be behind, such as that of a standby that takes over; no key is ended because of that.
            live = await _read_secret(context, agent, agent.secret_name)
            row, grace = await _find(context, agent, access, live, shape)
        if row is None:
            row, value = await _new_key(context, agent, access, live)
        elif grace is not None:
            row = await reset_budget_if_due(session, row)
            if agent.metadata.uid not in session.undelivered:
                # A replaced key that still has no end gets one first, or it would count as surplus.
                await retire_old_keys(context, agent, session, row)
            row, value = await _new_key(context, agent, access, live, Replacing(row, grace))
            if not runs_for(context, agent.metadata.uid):  # a rotation run has a status of its own: no event per agent
                await _emit_rotated(context, agent, grace)
        else:
            session.undelivered.pop(agent.metadata.uid, None)
            if newer := _newer(session, agent, row):
                await delete_keys(session, newer)
            row = await _keep_limits(context, agent, access, row)
            await _lower_old_keys(agent, access, row)
            await _keep_secret(context, agent, session, live, row)
        row = await reset_budget_if_due(session, row)  # before spend of the new period is added to that of the old one
        requeue_after = await retire_old_keys(context, agent, session, row, value)
        await keep_alias(context, agent, session, session.table.get(row.token) or row)
    except LiteLLMError as error:
        raise blocked_by(error, agent) from None
    return session.table.get(row.token) or row, requeue_after


async def _find(
    context: Context, agent: OpenClawAgent, access: Access, live: dict[str, Any] | None, shape: Manifest
) -> tuple[KeyRow | None, int | None]:
    """The live key that the Secret holds, and the grace period with which it is to be replaced now, if it is due."""
    session = access.session
    if not is_retained_secret(agent, session, live):
        try:
            check_ours(live, shape, ConditionType.KEY_READY)
        except Blocked:
            await _end_undelivered(agent, session)
            raise
    row = await _delivered(context, agent, session, live)
    if row and _is_for_this_proxy(context, agent, session, live) is False:
        # Whoever runs this proxy can list the key of another one. Until the agent has a key of its own here, that one stays.
        return row, rotation_policy(agent, access.offer.key_defaults).grace
    if row is None or not access.connection.usable or len(session.table.of(agent.metadata.uid)) > MOST_OLD:
        return row, None
    return row, rotation_due(context, agent, access.offer.key_defaults, row)


async def _end_undelivered(agent: OpenClawAgent, session: ProxySession) -> None:
    """End a key that can't be delivered any more: another owner has the Secret's name, so a write of ours is refused."""
    if undelivered := session.undelivered.get(agent.metadata.uid):
        await delete_keys(session, [undelivered[0]])
        del session.undelivered[agent.metadata.uid]


def _is_new(agent: OpenClawAgent, session: ProxySession) -> bool:
    """True in the first pass over an agent without keys: if a Secret of its name exists, the agent doesn't own it."""
    uid = agent.metadata.uid
    return not agent.status.conditions and uid not in session.undelivered and not session.table.of(uid)


async def _emit_rotated(context: Context, agent: OpenClawAgent, grace: int) -> None:
    body = context.cache.get(AGENT.kind, agent.metadata.namespace, agent.metadata.name)
    if body:
        old = (
            f"the old one is accepted for up to {grace + intervals.UPTAKE} s more"
            if not agent.spec.suspend
            else "the old one ends"
        )
        await emit_event(context, body, "Normal", "KeyRotated", f"A new key is in Secret {agent.secret_name}; {old}.")


def blocked_by(error: LiteLLMError, agent: OpenClawAgent) -> Blocked:
    """The condition for a proxy that doesn't do something about the agent's key."""
    if isinstance(error, AliasTakenError):
        message = (
            f"Another key at the proxy is named {agent.alias!r}: choose another spec.key.alias, or delete that key."
        )
        return Blocked(ConditionType.KEY_READY, "AliasTaken", message, stalled=True, retry=intervals.NAME_TAKEN)
    if isinstance(error, LicenceError) and agent.spec.key.tags:
        message = (
            "LiteLLM accepts spec.key.tags with its enterprise licence only: give the proxy one, or remove the tags."
        )
        return Blocked(ConditionType.KEY_READY, "Rejected", message, stalled=True, retry=intervals.REFUSED)
    if isinstance(error, RejectedError):
        message = f"LiteLLM refuses the key: {error}. Correct spec.key, or the proxy's settings."
        return Blocked(ConditionType.KEY_READY, "Rejected", message, stalled=True)
    if isinstance(error, UnauthorizedError):
        message = f"{error}: the route's conditions tell what to do."
        return Blocked(ConditionType.KEY_READY, "MasterKeyRefused", message, stalled=False, retry=intervals.PROXY_RETRY)
    message = f"{error}; it is tried again."
    return Blocked(ConditionType.KEY_READY, "ProxyUnavailable", message, stalled=False, retry=intervals.PROXY_RETRY)


def _is_for_this_proxy(
    context: Context, agent: OpenClawAgent, session: ProxySession, live: Mapping[str, Any] | None
) -> bool | None:
    """True if the key that the Secret holds was delivered for the proxy, by this URL or another; False: for another proxy.

    None: for a URL that no session of this process has.
    """
    url = ((live or {}).get("data") or {}).get(names.BASE_URL)
    if url in (None, fingerprint(session.url)) or agent.status.base_url == session.url:
        return True  # or somebody has changed the URL in the Secret
    known = [other for other in context.sessions() if fingerprint(other.url) == url]
    return any(is_one_proxy(session, other) for other in known) if known else None


async def _delivered(
    context: Context, agent: OpenClawAgent, session: ProxySession, live: Mapping[str, Any] | None
) -> KeyRow | None:
    """The key that the Secret holds, if it is the agent's own and live. Only its own proxy is asked for it."""
    token = ((live or {}).get("data") or {}).get(names.API_KEY)
    if token is None:
        return None
    row = session.table.get(token)
    if row is None and _is_for_this_proxy(context, agent, session, live):
        row = await session.client.key(token)
        if row:
            session.table.put(row)
    if (
        row is None
        or row.mark is None
        or not row.mark.is_of(context.cluster, agent.metadata.uid)
        or row.expires is not None
    ):
        return None
    if row.blocked and not row.mark.block_reason:
        message = f"The key {row.alias!r} is blocked in LiteLLM, and not by Litclaw: unblock it there."
        raise Blocked(ConditionType.KEY_READY, "KeyBlocked", message, stalled=True)
    return row


async def _new_key(
    context: Context,
    agent: OpenClawAgent,
    access: Access,
    live: dict[str, Any] | None,
    replacing: Replacing | None = None,
) -> tuple[KeyRow, SecretStr]:
    """A new key in the Secret, and its value. One that an earlier pass created gets the limits of now."""
    token, _ = access.session.undelivered.get(agent.metadata.uid, ("", None))
    row, value = await mint(context, agent, access, live, replacing)
    return await _keep_limits(context, agent, access, row) if row.token == token else row, value


async def _keep_limits(context: Context, agent: OpenClawAgent, access: Access, row: KeyRow) -> KeyRow:
    """Correct the limits and metadata of the key where they differ from the resource."""
    session = access.session
    wanted, current = access.limits.payload(), row.limits.payload()
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if current[name] != value}
    if row.mark:
        mark = wanted_mark(context, agent, row.mark, may_retain=access.offer.allows_retain)
        if "budget_duration" in changes and mark.budget_resets_at:
            mark = replace(mark, budget_resets_at="")
        metadata = owners_metadata(agent.spec.key.metadata)
        if (dict(row.metadata), row.mark) != (metadata, mark):
            changes["metadata"] = row.marked(mark, metadata)
    if not changes:
        return row
    await session.client.update_key(row.token, changes)
    fresh = await session.client.key(row.token)
    if fresh is None:
        raise key_gone(session, row)
    session.table.put(fresh)
    return fresh


async def _lower_old_keys(agent: OpenClawAgent, access: Access, row: KeyRow) -> None:
    """Lower the limits of the replaced keys too: each is valid for its grace period, which may be days."""
    session = access.session
    for other in session.table.of(agent.metadata.uid):
        if other.token != row.token and (end := ends_at(other)) and end > session.now():
            await lower_limits(session, other, access.limits)


async def _keep_secret(
    context: Context, agent: OpenClawAgent, session: ProxySession, live: dict[str, Any] | None, row: KeyRow
) -> None:
    """Correct everything in the Secret but the key, which is right."""
    if live is None:
        return
    wanted = compact(sealed(agent_secret(agent, key=PLACEHOLDER, token=row.token, base_url=session.url)))
    wanted["data"][names.API_KEY] = live["data"][names.API_KEY]
    if is_as(live, wanted):
        return
    found = await values(context, agent.metadata.namespace, agent.secret_name)
    if found and names.API_KEY in found:
        key = found[names.API_KEY].get_secret_value()
        manifest = agent_secret(agent, key=key, token=row.token, base_url=session.url)
        await apply(context, manifest, live, ConditionType.KEY_READY)


async def _rename_secret(context: Context, agent: OpenClawAgent, session: ProxySession) -> dict[str, Any] | None:
    """Write the live key of a Secret under the agent's former `secret_name` into one with the name of now.

    So nobody who still has the former one is refused. It is deleted with the agent's other objects of before, when everything
    else names the new one.

    Returns:
        The new Secret, compact; None: there is no former one with a live key.

    Raises:
        Blocked: the API server refuses the Secret.
        ConflictError: somebody was faster.
    """
    for name in _former_secret_names(context, agent):
        former = await _read_secret(context, agent, name)
        owner = owner_of(former["metadata"]) if former else None
        if owner is None or owner.uid != agent.metadata.uid:
            continue
        row = None
        if _is_for_this_proxy(context, agent, session, former) is not False:
            row = await _delivered(context, agent, session, former)
        value = (await values(context, agent.metadata.namespace, name) or {}).get(names.API_KEY)
        if row and value and fingerprint(value.get_secret_value()) == row.token:
            manifest = agent_secret(agent, key=value.get_secret_value(), token=row.token, base_url=session.url)
            return compact(await apply(context, manifest, None, ConditionType.KEY_READY))
    return None


def _former_secret_names(context: Context, agent: OpenClawAgent) -> list[str]:
    """Of the status, which survives a restart, and of the cache, where the status could not be written."""
    found = {agent.status.secret_name}
    for body in context.cache.owned_by(agent.metadata.namespace, agent.metadata.uid):
        meta = body["metadata"]
        if body["kind"] == SECRET.kind and (meta.get("labels") or {}).get(names.LABEL_COMPONENT) == VIRTUAL_KEY:
            found.add(meta["name"])
    return sorted(found - {"", agent.secret_name})


async def _read_secret(context: Context, agent: OpenClawAgent, name: str) -> dict[str, Any] | None:
    """A Secret of the agent's namespace as the API server has it, compact."""
    found = await context.kube.get(SECRET, agent.metadata.namespace, name)
    return compact({"apiVersion": SECRET.api_version, "kind": SECRET.kind, **found}) if found else None


def _newer(session: ProxySession, agent: OpenClawAgent, row: KeyRow) -> list[str]:
    """Tokens of keys that were created after the delivered one, or beside it, and never delivered; one may hold the alias."""
    assert row.mark is not None
    others = [
        other for other in session.table.of(agent.metadata.uid) if other.expires is None and other.token != row.token
    ]
    return [other.token for other in others if other.mark and other.mark.generation >= row.mark.generation]
