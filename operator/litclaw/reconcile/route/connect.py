"""The way to a route's proxy: its Secrets, and the session that it shares with other routes to the same proxy."""

import logging
import re
import ssl
from collections.abc import Iterator

import yarl

from litclaw.api.route import External, KnownProxy, LiteLLMRoute
from litclaw.kube.errors import InvalidError
from litclaw.kube.resources import SERVICE
from litclaw.net.address import REFUSED_ADDRESS, Reach, base_url, host, reach
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals, secret_values
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.proxy.connection import Connection
from litclaw.reconcile.proxy.session import Credentials, ProxySession, RouteKey
from litclaw.render.proxy_peer import ProxyPeer, address_peer, managed_peer, service_of, service_peer, url_port

log = logging.getLogger(__name__)

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+", re.ASCII)
_NO_CERTIFICATES = (
    "The Secret that spec.external.caBundleSecretRef names has no certificates in PEM, or one that is cut off: add the "
    "proxy's authority."
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


async def read_credentials(
    context: Context, route: LiteLLMRoute, proxy: External | KnownProxy, url: str, *, field: str = "spec.external"
) -> Credentials:
    """An external proxy's master key, and the certificates that its own is checked against.

    Args:
        field: where the Secrets are named, for the message.

    Raises:
        Blocked: a Secret isn't as it should be.
    """
    namespace = route.metadata.namespace
    ref = proxy.master_key_secret_ref
    master_key = await secret_values.key_value(context, namespace, ref, f"{field}.masterKeySecretRef")
    if proxy.ca_bundle_secret_ref is None:
        return Credentials(url, master_key)
    ref = proxy.ca_bundle_secret_ref
    bundle = await secret_values.value(context, namespace, ref, f"{field}.caBundleSecretRef")
    # The certificates only: they go into agents' ConfigMaps, and the Secret may hold a private key too.
    try:
        certificates = list(certificates_in(bundle.get_secret_value()))
    except ValueError:
        certificates = []
    if not certificates:
        raise _invalid_certificates()
    return Credentials(url, master_key, "".join(f"{certificate}\n" for certificate in certificates))


def certificates_in(text: str) -> Iterator[str]:
    """The certificates of a text in PEM, in linear time: a regular expression would need hours for a megabyte of beginnings.

    Raises:
        ValueError: one isn't base64, such as where it is cut off and something else follows, perhaps a private key.
    """
    at = 0
    while (begin := text.find(_BEGIN, at)) >= 0 and (end := text.find(_END, begin)) >= 0:
        at = end + len(_END)
        if not _BASE64.fullmatch(text, begin + len(_BEGIN), end):
            raise ValueError("a certificate that isn't base64")
        yield text[begin:at]


def _invalid_certificates() -> Blocked:
    return Blocked(
        ConditionType.SECRETS_READY,
        "InvalidCertificates",
        _NO_CERTIFICATES,
        stalled=True,
        retry=intervals.SECRET_BLOCKED,
    )


async def locate(context: Context, url: str) -> tuple[Reach, bool]:
    """Where the proxy is, by its name and the addresses of the name; and True if the name resolves.

    Raises:
        Blocked: it is at an address to which nothing is sent.
    """
    addresses: list[str] = []
    try:
        addresses = await context.resolver.addresses(host(url))
    except (OSError, UnicodeError):
        log.debug("%s doesn't resolve", host(url))  # the observation reports it in a condition
    where, guard = reach(url, addresses), context.guard
    own = guard.loopback and where is Reach.LOOPBACK
    if where is Reach.LINK_LOCAL or own or any(map(guard.refuses, (host(url), *addresses))):
        message = f"{url} leads to {REFUSED_ADDRESS}: correct the URL."
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

    The session of a URL that the route has left stays until the keys there have ended, see `former`.

    Raises:
        Blocked: the certificates are invalid.
    """
    connection = context.routes.get(key)
    if connection and connection.session.url != credentials.url:
        left = context.routes.pop(key).session
        context.former.setdefault(key, {})[left.url] = left
        connection = None
    before = connection.session if connection else None
    try:
        session = context.proxies.session_for(key, credentials, before)
    except (ssl.SSLError, ValueError):
        raise _invalid_certificates() from None
    if connection is None:
        connection = context.routes[key] = Connection(session)
        if (former := context.former.get(key, {}).pop(credentials.url, None)) and former is not session:
            context.proxies.leave(key, former)
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
    for session in context.former.pop(key, {}).values():
        context.proxies.leave(key, session)
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
