"""A route whose spec can't be validated: its proxy is reached all the same, so that keys are revoked there.

The API server refuses most of such specs. It accepts those that are too large, and those that a CRD of another release describes.
Nothing is deployed or offered by them.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from litclaw.api import names
from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.resources import SECRET, SERVICE
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import secret_values
from litclaw.reconcile.proxy.session import Credentials, RouteKey
from litclaw.reconcile.route.connect import checked_url, connect, locate, read_credentials
from litclaw.reconcile.route.master_key import master_key_before
from litclaw.render.route.secret import master_key_ref
from litclaw.render.route.service import service_url

_REACHED_BY = ("port", "masterKeySecretRef", "database", "redis")
"""The fields of spec.managed that say how the proxy is reached, and what the model requires."""


def reachable_part(body: Mapping[str, Any]) -> LiteLLMRoute | None:
    """A route with nothing in its spec but how its proxy is reached; None: that can't be validated either."""
    spec = body.get("spec") or {}
    kept = {name: spec[name] for name in ("managed", "external") if isinstance(spec.get(name), Mapping)}
    if managed := kept.get("managed"):
        kept["managed"] = {name: managed[name] for name in _REACHED_BY if name in managed}
    for status in (body.get("status") or {}, {}):
        try:
            return LiteLLMRoute.model_validate({"metadata": body["metadata"], "spec": kept, "status": status})
        except ValidationError:
            continue
    return None


async def connect_unreadable(context: Context, key: RouteKey, body: Mapping[str, Any]) -> None:
    """Connect a route to its proxy, or renew its credentials. A connection to another URL stays as it is.

    Raises:
        Blocked: a Secret isn't as it should be, or the URL can't be called.
    """
    route = reachable_part(body)
    if route is None:
        return
    external, managed = route.spec.external, route.spec.managed
    credentials: Credentials | None = None
    if external:
        credentials = await read_credentials(context, route, external, checked_url(external.url))
    elif managed:
        credentials = await _managed_credentials(context, route, managed)
    before = context.routes.get(key)
    if credentials is None or (before and before.session.url != credentials.url):
        return
    await locate(context, credentials.url)
    connection = connect(context, key, credentials)
    connection.session.blocks_spread = managed is None or managed.redis is not None


async def _managed_credentials(context: Context, route: LiteLLMRoute, managed: Managed) -> Credentials | None:
    """None: the Service, or the Secret that is ours to generate, doesn't exist, or is another owner's."""
    namespace, name = route.metadata.namespace, route.metadata.name
    owned = {(body["kind"], body["metadata"]["name"]) for body in context.cache.owned_by(namespace, route.metadata.uid)}
    needed = {(SERVICE.kind, names.route_workload(name))}
    if managed.master_key_secret_ref is None:
        needed.add((SECRET.kind, names.route_master_key(name)))
    if not needed <= owned:
        return None
    ref = master_key_ref(route, managed)
    master_key = await secret_values.key_value(context, namespace, ref, "spec.managed.masterKeySecretRef")
    former = await master_key_before(context, route, managed)
    return Credentials(service_url(route, managed), master_key, master_key_before=former)
