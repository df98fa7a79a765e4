"""The external proxies at which a route may have keys: the current one, and those that it has left.

They are in the route's status before the first key is created there, with the name of the master key's Secret: a process
that starts later, or another leader, finds the keys to be ended. A former proxy is swept until no key of the route is left.

The Secret may have another master key by then, usually that of the new proxy. It isn't sent to the former one: the status has
a digest of the URL that is keyed with the master key of then. So nobody who may write a status can direct the operator to
send a master key elsewhere either.
"""

import asyncio
import hashlib
import hmac
import ssl
from collections.abc import Container, Mapping
from datetime import datetime, timedelta
from typing import Any

from litclaw.api.route import MOST_FORMER_PROXIES, External, KnownProxy, LiteLLMRoute
from litclaw.kube.objects import route_key_of
from litclaw.kube.resources import ROUTE
from litclaw.litellm.errors import LiteLLMError
from litclaw.litellm.keys import KeyRow, utc
from litclaw.net.address import base_url
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, timestamp
from litclaw.reconcile.core.events import emit_event
from litclaw.reconcile.core.status import write_status
from litclaw.reconcile.keys.delete import delete_keys
from litclaw.reconcile.proxy.one_proxy import is_one_proxy
from litclaw.reconcile.proxy.session import Credentials, ProxySession, RouteKey
from litclaw.reconcile.route.claims import route_of, session_of
from litclaw.reconcile.route.connect import checked_url, locate, read_credentials
from litclaw.reconcile.route.secrets import weakness
from litclaw.reconcile.route.sweep import sweep, sweeper

Proxies = tuple[KnownProxy, ...]

_CLOCKS_DIFFER = timedelta(hours=1)


class LostError(Exception):
    """A former proxy can't be reached, and why."""


def url_of(route: LiteLLMRoute) -> str:
    """The URL of a route's external proxy; empty for a managed one."""
    return base_url(route.spec.external.url) if route.spec.external else ""


def proxies_of(route: LiteLLMRoute, now: datetime) -> Proxies:
    """The proxies in a route's status, with the time at which the route has left them."""
    url = url_of(route)
    return tuple(
        each.model_copy(update={"left_at": None if each.url == url else _left_at(each, now)})
        for each in route.status.proxies
    )


def _left_at(proxy: KnownProxy, now: datetime) -> str:
    """When a route left a proxy: now where the status doesn't say it, or says what can't be. Others may write a status."""
    try:
        left_at = utc(proxy.left_at or "")
        return proxy.left_at if proxy.left_at and left_at <= now + _CLOCKS_DIFFER else timestamp(now)
    except ValueError:
        return timestamp(now)


def _digest(credentials: Credentials) -> str:
    """See the module. Of a master key that could be guessed there is none, or the digest would show a right guess."""
    key = credentials.master_key.get_secret_value()
    if weakness(key):
        return ""
    return hmac.new(key.encode(), credentials.url.encode(), hashlib.sha256).hexdigest()[:16]


async def remember(
    context: Context, body: Mapping[str, Any], external: External, credentials: Credentials, known: Proxies
) -> Proxies:
    """Write the current proxy into the status, before agents get keys there.

    Returns:
        The proxies that the status has now.

    Raises:
        KubeError: it can't be written.
    """
    current = KnownProxy(
        url=credentials.url,
        master_key_secret_ref=external.master_key_secret_ref,
        ca_bundle_secret_ref=external.ca_bundle_secret_ref,
        master_key_digest=_digest(credentials),
    )
    proxies = (*(each for each in known if each.url != current.url), current)
    meta = body["metadata"]
    fresh = context.cache.get(ROUTE.kind, meta["namespace"], meta["name"]) or body
    status = dict(fresh.get("status") or {})
    if current not in known:
        await write_status(context, fresh, {**status, "proxies": [dumped(each) for each in proxies]})
    return proxies


def dumped(proxy: KnownProxy) -> dict[str, Any]:
    """An entry as the API keeps it."""
    return proxy.model_dump(by_alias=True, exclude_none=True, mode="json")


async def end_former_keys(context: Context, route: LiteLLMRoute, body: Mapping[str, Any], known: Proxies) -> Proxies:
    """Bring the keys at each proxy that the route has left closer to their end.

    Returns:
        The proxies that the status is to have.

    Raises:
        KubeError: it can't be decided now.
    """
    key = (route.metadata.namespace, route.metadata.name)
    former = [each for each in known if each.left_at]
    former.sort(key=lambda each: each.left_at or "")
    rest: list[KnownProxy] = [each for each in known if not each.left_at]
    for proxy in former[:-MOST_FORMER_PROXIES]:
        await _give_up(context, key, body, proxy, f"it has left more than {MOST_FORMER_PROXIES} proxies")
    for proxy in former[-MOST_FORMER_PROXIES:]:
        left = await _end_keys_at(context, key, route, body, proxy)
        rest += [left] if left else []
    wanted = {each.url for each in rest if each.left_at}
    for url in context.former.get(key, {}).keys() - wanted:
        context.proxies.leave(key, context.former[key].pop(url))
    return tuple(rest)


async def _end_keys_at(
    context: Context, key: RouteKey, route: LiteLLMRoute, body: Mapping[str, Any], proxy: KnownProxy
) -> KnownProxy | None:
    """One pass over one proxy; returns its entry, or None when it is done with or given up."""
    left_at = utc(proxy.left_at or "")
    waited = context.seconds_waited(left_at, (ROUTE.kind, *key, proxy.url))
    late = waited >= intervals.FORMER_PROXY_LIMIT
    since = (context.now() - left_at).total_seconds()
    left_for = since if since >= 0 else waited  # also while no operator ran; a moment in the future is by another clock
    try:
        session = await reach(context, key, route, proxy)
        async with asyncio.timeout(intervals.SWEEP_LIMIT):
            message = await _pass(context, key, session, left_for, late=late)
    except TimeoutError:
        message = "Its keys are being ended."
    except (LiteLLMError, LostError) as error:
        message = str(error)
        if late:
            await _give_up(context, key, body, proxy, message)
            return None
    if message is None:
        context.forget_attempts(ROUTE.kind, *key, proxy.url)
        return None
    return proxy.model_copy(update={"message": message[:1024]})


async def _pass(context: Context, key: RouteKey, session: ProxySession, left_for: float, *, late: bool) -> str | None:
    """End what can be ended; returns why keys are left, or None if there are none.

    Args:
        left_for: seconds since the route left the proxy.
        late: True if its agents aren't waited for any longer.

    Raises:
        LiteLLMError, LostError: the proxy doesn't do it.
    """
    if not session.up_to_date:
        error = session.read_error or (session.observation.error if session.observation else None)
        raise LostError(str(error) if error else "It hasn't answered yet.")
    if sweeper(context, session) == key:
        await sweep(context, session)
    current = context.routes.get(key)
    arrived = current is not None and current.usable and current.session.up_to_date
    rows = keys_left(context, key, session)
    known = context.agents()
    listed = {row.token for row in rows if current and current.session.table.get(row.token)}
    ending = [row for row in rows if arrived and row.token not in listed and (late or _is_retained(row, known))]
    if ending:
        living = set() if late else await context.living_agents()
        await delete_keys(session, [row.token for row in ending if row.mark and row.mark.agent not in living])
        rows = keys_left(context, key, session)
    if rows and all(row.token in listed for row in rows):
        return (
            "The current proxy lists the keys that are left there, too. It may be the same one with another master key."
        )
    if rows:
        return "Keys are left there: their agents have no key at the current proxy yet."
    began = session.table.read_began
    settled = left_for - intervals.CLOSE_LATER  # a pass that had begun may have created a key there
    return None if began is not None and context.monotonic() - began < settled else "Its keys are read once more."


def keys_left(context: Context, key: RouteKey, session: ProxySession) -> list[KeyRow]:
    """The keys that are a route's own at a proxy that it has left, unless it is the current one by another name."""
    current = context.routes.get(key)
    same = current.session.table if current and is_one_proxy(current.session, session) else None
    agents = context.agents()
    found = []
    for uid in session.table.agents():
        agent = agents.get(uid)
        if agent and session_of(context, agent) is session:
            continue
        for row in session.table.of(uid):
            own = route_of(row)
            named = route_key_of(agent) if agent else None
            if key in (own, named if own is None else None) and not (same and same.get(row.token)):
                found.append(row)
    return found


def _is_retained(row: KeyRow, known: Container[str]) -> bool:
    """True for a key without an agent that is known: nobody can revoke it once the proxy is forgotten."""
    return row.mark is not None and row.mark.agent not in known


async def reach(context: Context, key: RouteKey, route: LiteLLMRoute, proxy: KnownProxy) -> ProxySession:
    """The session of a proxy that the route has left; a new one in a process that doesn't have it yet.

    Raises:
        LostError: nobody knows how it is reached any more.
    """
    if session := context.former.get(key, {}).get(proxy.url):
        return session
    try:
        credentials = await read_credentials(context, route, proxy, proxy.url, field="status.proxies[]")
        if not proxy.master_key_digest or _digest(credentials) != proxy.master_key_digest:
            where = f"Secret {route.metadata.namespace}/{proxy.master_key_secret_ref.name}"
            raise LostError(
                f"{where} doesn't have the master key of {proxy.url} any more, or one that could be guessed."
            )
        await locate(context, checked_url(proxy.url))
        session = context.proxies.session_for(key, credentials, None)
    except Blocked as error:
        raise LostError(error.message) from None
    except (ssl.SSLError, ValueError):
        raise LostError(f"The certificates for {proxy.url} are invalid.") from None
    context.former.setdefault(key, {})[proxy.url] = session
    return session


async def _give_up(context: Context, key: RouteKey, body: Mapping[str, Any], proxy: KnownProxy, why: str) -> None:
    message = (
        f"Keys of the route's agents may be left at {proxy.url}, which the route has left: "
        f"{why.rstrip('.')}. A route to it ends them."
    )
    await emit_event(context, body, "Warning", "KeyLeftBehind", message)
    context.forget_attempts(ROUTE.kind, *key, proxy.url)
