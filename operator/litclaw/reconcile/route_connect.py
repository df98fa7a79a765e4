"""The way to a route's proxy: its Secrets, and the client that is kept for as long as nothing about it changes."""

import ssl

from pydantic import SecretStr

from ..api.route import External, LiteLLMRoute
from ..kube.resources import SERVICE
from ..render.proxy_peer import ProxyPeer, address_peer, managed_peer, service_of, service_peer
from . import secrets
from .conditions import Blocked
from .key_table import KeyTable
from .secrets import SECRETS_READY
from .world import RouteState, World


async def read_secrets(world: World, route: LiteLLMRoute, external: External) -> tuple[SecretStr, str]:
    """An external proxy's master key, and the certificates that its own is checked against (empty: the usual ones).

    Raises:
        Blocked: a Secret isn't as it should be.
    """
    namespace = route.metadata.namespace
    field = "spec.external.masterKeySecretRef"
    master_key = await secrets.value(world, namespace, external.master_key_secret_ref, field)
    if external.ca_bundle_secret_ref is None:
        return master_key, ""
    field = "spec.external.caBundleSecretRef"
    authorities = await secrets.value(world, namespace, external.ca_bundle_secret_ref, field)
    return master_key, authorities.get_secret_value()


async def peer_of(world: World, route: LiteLLMRoute, url: str) -> ProxyPeer:
    """What the NetworkPolicies of the route's agents open."""
    if route.spec.managed:
        return managed_peer(route)
    if found := service_of(url):
        service = await world.kube.get(SERVICE, *found)
        if service:
            return service_peer(url, service)
    return address_peer(url)


def connect(world: World, route: LiteLLMRoute, url: str, master_key: SecretStr, authorities: str = "") -> RouteState:
    """What is known of the proxy: kept as long as its URL stays, with a client that has the right keys.

    Raises:
        Blocked: the certificates are none.
    """
    key = (route.metadata.namespace, route.metadata.name)
    state = world.routes.get(key)
    if state and state.url != url:
        world.retire(world.routes.pop(key).client)
        state = None
    if state and (state.master_key, state.authorities) == (master_key, authorities):
        return state
    try:
        client = world.connect(url, master_key, authorities)
    except (ssl.SSLError, ValueError):
        message = (
            "What spec.external.caBundleSecretRef names holds no certificates in PEM: put the proxy's authority in."
        )
        raise Blocked(SECRETS_READY, "InvalidCertificates", message, stalled=True, retry=10.0) from None
    if state is None:
        state = world.routes[key] = RouteState(client, master_key, KeyTable(world.cluster), authorities)
    else:
        world.retire(state.client)
        state.client, state.master_key, state.authorities = client, master_key, authorities
    return state
