"""The way to a route's proxy: its Secrets, and the client that is kept for as long as nothing about it changes."""

import logging
import re
import ssl

import yarl
from pydantic import SecretStr

from litclaw.api.route import External, LiteLLMRoute
from litclaw.kube.errors import InvalidError
from litclaw.kube.resources import SERVICE
from litclaw.litellm.errors import LiteLLMError
from litclaw.net.address import base_url
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.core import secret_values as secrets
from litclaw.reconcile.core.conditions import PROXY_READY, Blocked
from litclaw.reconcile.core.secret_values import SECRETS_READY
from litclaw.reconcile.keys.end import end_keys
from litclaw.reconcile.proxy.key_table import KeyTable
from litclaw.render.proxy_peer import ProxyPeer, address_peer, managed_peer, service_of, service_peer, url_port

log = logging.getLogger(__name__)

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_NO_CERTIFICATES = (
    "What spec.external.caBundleSecretRef names holds no certificates in PEM: put the proxy's authority in."
)


def checked_url(given: str) -> str:
    """The root of an external proxy.

    Raises:
        Blocked: it is no URL that can be called.
    """
    url = base_url(given)
    try:
        yarl.URL(url)
        url_port(url)
    except ValueError:
        message = f"spec.external.url {given!r} can't be called: mend its host or port."
        raise Blocked(PROXY_READY, "InvalidURL", message, stalled=True) from None
    return url


async def read_secrets(context: Context, route: LiteLLMRoute, external: External) -> tuple[SecretStr, str]:
    """An external proxy's master key, and the certificates that its own is checked against (empty: the usual ones).

    Raises:
        Blocked: a Secret isn't as it should be.
    """
    namespace = route.metadata.namespace
    field = "spec.external.masterKeySecretRef"
    master_key = await secrets.key_value(context, namespace, external.master_key_secret_ref, field)
    if external.ca_bundle_secret_ref is None:
        return master_key, ""
    field = "spec.external.caBundleSecretRef"
    bundle = await secrets.value(context, namespace, external.ca_bundle_secret_ref, field)
    # The certificates alone: they go into agents' ConfigMaps, and somebody may have put a private key beside them.
    certificates = _CERTIFICATE.findall(bundle.get_secret_value())
    if not certificates:
        raise Blocked(SECRETS_READY, "InvalidCertificates", _NO_CERTIFICATES, stalled=True, retry=10.0)
    return master_key, "".join(f"{certificate}\n" for certificate in certificates)


async def peer_of(context: Context, route: LiteLLMRoute, url: str) -> ProxyPeer:
    """What the NetworkPolicies of the route's agents open."""
    if route.spec.managed:
        return managed_peer(route)
    if found := service_of(url):
        try:
            service = await context.kube.get(SERVICE, *found)
        except InvalidError:
            service = None  # in a namespace that this operator may not read
        if service:
            return service_peer(url, service)
    return address_peer(url)


def connect(
    context: Context,
    route: LiteLLMRoute,
    url: str,
    master_key: SecretStr,
    authorities: str = "",
    master_key_before: SecretStr | None = None,
) -> RouteState:
    """What is known of the proxy: kept as long as its URL stays, with a client that has the right keys.

    Args:
        master_key_before: what some of the proxy's pods may still know in the master key's place.

    Raises:
        Blocked: the certificates are none.
    """
    key = (route.metadata.namespace, route.metadata.name)
    state = context.routes.get(key)
    if state and state.url != url:
        _leave(context, key, context.routes.pop(key))
        state = None
    secrets = (master_key, authorities, master_key_before)
    if state and state.secrets == secrets:
        return state
    try:
        client = context.connect(url, master_key, authorities, master_key_before)
    except (ssl.SSLError, ValueError):
        raise Blocked(SECRETS_READY, "InvalidCertificates", _NO_CERTIFICATES, stalled=True, retry=10.0) from None
    if state is None:
        state = context.routes[key] = RouteState(client, secrets, KeyTable(context.cluster))
    else:
        context.retire(state.client)
        state.client, state.secrets = client, secrets
    return state


def _leave(context: Context, key: tuple[str, str], left: RouteState) -> None:
    """Have the keys end that a route's agents had at a URL that it has left, unless it is the same proxy's."""
    uids = [body["metadata"]["uid"] for body in context.agents_of(key)]

    async def last() -> None:
        now = context.routes.get(key)
        if now is None or not now.seen:
            return
        tokens = [row.token for uid in uids for row in left.table.of(uid) if now.table.get(row.token) is None]
        try:
            await end_keys(left, tokens)
        except LiteLLMError as error:
            log.warning("%d keys are left at %s: %s", len(tokens), left.url, error)

    context.retire(left.client, last)
