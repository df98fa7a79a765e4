"""The way to a route's proxy: its Secrets, and the session that it shares with other routes to the same proxy."""

import asyncio
import logging
import re
import socket
import ssl

import yarl

from litclaw.api.route import External, LiteLLMRoute
from litclaw.kube.errors import InvalidError
from litclaw.kube.resources import SERVICE
from litclaw.litellm.errors import LiteLLMError
from litclaw.net.address import Reach, base_url, host, reach
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals, secret_values
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.keys.delete import delete_keys
from litclaw.reconcile.proxy.connection import Connection
from litclaw.reconcile.proxy.session import Credentials, ProxySession, RouteKey
from litclaw.render.proxy_peer import ProxyPeer, address_peer, managed_peer, service_of, service_peer, url_port

log = logging.getLogger(__name__)

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_NO_CERTIFICATES = (
    "The Secret that spec.external.caBundleSecretRef names has no certificates in PEM: add the proxy's authority."
)


def checked_url(given: str) -> str:
    """The root of an external proxy.

    Raises:
        Blocked: it isn't a URL that can be called.
    """
    url = base_url(given)
    try:
        yarl.URL(url)
        url_port(url)
    except ValueError:
        message = f"spec.external.url {given!r} can't be called: correct its host or port."
        raise Blocked(ConditionType.PROXY_READY, "InvalidURL", message, stalled=True) from None
    return url


async def read_credentials(context: Context, route: LiteLLMRoute, external: External, url: str) -> Credentials:
    """An external proxy's master key, and the certificates that its own is checked against.

    Raises:
        Blocked: a Secret isn't as it should be.
    """
    namespace = route.metadata.namespace
    field = "spec.external.masterKeySecretRef"
    master_key = await secret_values.key_value(context, namespace, external.master_key_secret_ref, field)
    if external.ca_bundle_secret_ref is None:
        return Credentials(url, master_key)
    field = "spec.external.caBundleSecretRef"
    bundle = await secret_values.value(context, namespace, external.ca_bundle_secret_ref, field)
    # The certificates only: they go into agents' ConfigMaps, and the Secret may hold a private key too.
    certificates = _CERTIFICATE.findall(bundle.get_secret_value())
    if not certificates:
        raise _invalid_certificates()
    return Credentials(url, master_key, "".join(f"{certificate}\n" for certificate in certificates))


def _invalid_certificates() -> Blocked:
    return Blocked(
        ConditionType.SECRETS_READY,
        "InvalidCertificates",
        _NO_CERTIFICATES,
        stalled=True,
        retry=intervals.SECRET_BLOCKED,
    )


async def locate(url: str) -> tuple[Reach, bool]:
    """Where the proxy is, by its name and the addresses of the name; and True if the name resolves.

    Raises:
        Blocked: it is at a link-local or metadata address, to which no key may be sent.
    """
    addresses: list[str] = []
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host(url), None, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
    except (OSError, UnicodeError):
        log.debug("%s doesn't resolve", host(url))  # the observation reports it in a condition
    where = reach(url, addresses)
    if where is Reach.LINK_LOCAL:
        message = f"{url} is at a link-local or metadata address, which can't be a LiteLLM proxy: correct the URL."
        raise Blocked(ConditionType.PROXY_READY, "LinkLocalAddress", message, stalled=True, retry=intervals.REFUSED)
    return where, bool(addresses)


async def peer_of(context: Context, route: LiteLLMRoute, url: str) -> ProxyPeer:
    """The destination that the NetworkPolicies of the route's agents open."""
    if route.spec.managed:
        return managed_peer(route)
    if found := service_of(url, context.domain):
        try:
            service = await context.kube.get(SERVICE, *found)
        except InvalidError:
            service = None  # in a namespace that this operator may not read
        if service:
            return service_peer(url, service)
    return address_peer(url)


def connect(context: Context, key: RouteKey, credentials: Credentials) -> Connection:
    """The route's connection to its proxy. It lives as long as the URL stays; its session has the credentials of now.

    Raises:
        Blocked: the certificates are invalid.
    """
    connection = context.routes.get(key)
    if connection and connection.session.url != credentials.url:
        _leave(context, key, context.routes.pop(key).session)
        connection = None
    before = connection.session if connection else None
    try:
        session = context.proxies.session_for(key, credentials, before)
    except (ssl.SSLError, ValueError):
        raise _invalid_certificates() from None
    if connection is None:
        connection = context.routes[key] = Connection(session)
    elif session is not before:
        assert before is not None
        _move_undelivered(context, key, before, session)
        context.proxies.leave(key, before)
        connection.session = session
    return connection


def disconnect(context: Context, key: RouteKey) -> None:
    """Forget a route that is gone."""
    if connection := context.routes.pop(key, None):
        context.proxies.leave(key, connection.session)
    context.routes_seen.discard(key)
    context.enqueue_agents_if_changed(key, None)


def _move_undelivered(context: Context, key: RouteKey, before: ProxySession, session: ProxySession) -> None:
    """Keep the keys whose delivery has an unknown outcome: the other session is one of the same proxy."""
    for body in context.agents_of(key):
        uid = body["metadata"]["uid"]
        if uid in before.undelivered:
            session.undelivered[uid] = before.undelivered.pop(uid)
            if row := before.table.get(session.undelivered[uid][0]):
                session.table.put(row)


def _leave(context: Context, key: RouteKey, left: ProxySession) -> None:
    """End the keys that the route's agents had at a URL that it has left, unless the same proxy has another name now."""
    uids = [body["metadata"]["uid"] for body in context.agents_of(key)]

    async def last() -> None:
        now = context.routes.get(key)
        if now is None or not now.session.keys_read:
            return
        tokens = [row.token for uid in uids for row in left.table.of(uid) if now.session.table.get(row.token) is None]
        try:
            await delete_keys(left, tokens)
        except LiteLLMError as error:
            log.warning("%d keys are left at %s: %s", len(tokens), left.url, error)

    context.proxies.leave(key, left, last)
