"""A new master key for a managed route: beside the old one in the Secret while the proxy's pods roll, alone afterwards."""

import secrets as random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from litclaw.api import names
from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.resources import ROUTE, SECRET
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import secret_values as secrets
from litclaw.reconcile.core.owned_objects import look, put
from litclaw.reconcile.core.secret_values import SECRETS_READY
from litclaw.reconcile.keys.due import runs_for
from litclaw.render.route.secret import generated_secret


def new_master_key() -> str:
    """A fresh master key with 256 bits of randomness."""
    return f"sk-{random.token_urlsafe(32)}"


def master_key_secret(context: Context, route: LiteLLMRoute, data: Mapping[str, str]) -> dict[str, Any]:
    """The Secret with a master key that is made now."""
    made = {names.ANNOTATION_MADE: context.now().isoformat()}
    return generated_secret(route, names.route_master_key(route.metadata.name), "master-key", data, made)


def is_master_key_older(context: Context, route: Mapping[str, Any], moment: datetime) -> bool:
    """Whether a route's master key was made before a moment, or its pods don't all know it yet."""
    meta = route["metadata"]
    secret = context.cache.get(SECRET.kind, meta["namespace"], names.route_master_key(meta["name"]))
    managed = route["spec"].get("managed")
    if secret is None or managed is None or managed.get("masterKeySecretRef"):
        return True  # whoever made it, we can't make another
    return names.MASTER_KEY_BEFORE in secret["data"] or _made_at(secret) < moment


def _made_at(secret: Mapping[str, Any]) -> datetime:
    try:
        return datetime.fromisoformat((secret["metadata"].get("annotations") or {})[names.ANNOTATION_MADE])
    except (KeyError, ValueError):
        return datetime.fromtimestamp(0, UTC)


async def renew(context: Context, route: LiteLLMRoute, managed: Managed, deployment: Mapping[str, Any] | None) -> None:
    """Put a new master key into the Secret where a rotation asks for it and none is on its way yet.

    Args:
        deployment: the proxy's Deployment as it is now; it says whether the proxy has ever had a salt.

    Raises:
        Blocked: the Secret is refused.
    """
    runs = runs_for(context, route.metadata.uid)
    if not runs:
        return
    if managed.master_key_secret_ref:
        ref = managed.master_key_secret_ref
        why = f"Secret {ref.name}, named in spec.managed.masterKeySecretRef, is its owner's: put a new key there."
        return context.fail_rotation(route.metadata.uid, f"NotOurs: {why} The proxy is rolled out by itself then.")
    if deployment and names.ANNOTATION_SALT not in (deployment["metadata"].get("annotations") or {}):
        why = "the proxy has never had a salt, so what LiteLLM has encrypted can be read with the old master key alone."
        return context.fail_rotation(route.metadata.uid, f"NoSalt: {why}")
    name, namespace = names.route_master_key(route.metadata.name), route.metadata.namespace
    live = await look(context, SECRET.kind, namespace, name)
    held = await secrets.values(context, namespace, name)
    if live is None or not held or names.MASTER_KEY not in held or names.MASTER_KEY_BEFORE in held:
        return
    if all(_made_at(live) >= run.not_before for run in runs):
        return
    data = {
        names.MASTER_KEY: new_master_key(),
        names.MASTER_KEY_BEFORE: held[names.MASTER_KEY].get_secret_value(),
    }
    await put(context, master_key_secret(context, route, data), live, SECRETS_READY)


async def key_before(context: Context, route: LiteLLMRoute, managed: Managed) -> SecretStr | None:
    """The master key that some of the proxy's pods may still know alone; None: they all know the present one."""
    held = None if managed.master_key_secret_ref else await _under_way(context, route)
    return held[names.MASTER_KEY_BEFORE] if held else None


async def settle(context: Context, route: LiteLLMRoute, deployment: Mapping[str, Any]) -> None:
    """Take the old master key out of the Secret when no pod knows it any more.

    Args:
        deployment: as it is in the cluster, with the new key in its template.

    Raises:
        Blocked: the Secret is refused.
    """
    if not _is_rolled_out(deployment):
        return
    if held := await _under_way(context, route):
        name, namespace = names.route_master_key(route.metadata.name), route.metadata.namespace
        live = await look(context, SECRET.kind, namespace, name)
        data = {names.MASTER_KEY: held[names.MASTER_KEY].get_secret_value()}
        made = {names.ANNOTATION_MADE: (live or {})["metadata"]["annotations"][names.ANNOTATION_MADE]}
        await put(context, generated_secret(route, name, "master-key", data, made), live, SECRETS_READY)
    body = context.cache.get(ROUTE.kind, route.metadata.namespace, route.metadata.name)
    for run in runs_for(context, route.metadata.uid):
        if body and not is_master_key_older(context, body, run.not_before):
            run.settle(route.metadata.uid, None)


async def _under_way(context: Context, route: LiteLLMRoute) -> dict[str, SecretStr] | None:
    name, namespace = names.route_master_key(route.metadata.name), route.metadata.namespace
    secret = context.cache.get(SECRET.kind, namespace, name)
    if secret is None or names.MASTER_KEY_BEFORE not in secret["data"]:
        return None
    held = await secrets.values(context, namespace, name)
    return held if held and names.MASTER_KEY_BEFORE in held else None


def _is_rolled_out(deployment: Mapping[str, Any]) -> bool:
    status = deployment.get("status") or {}
    if status.get("observedGeneration") != deployment["metadata"].get("generation"):
        return False
    wanted = status.get("replicas", 0)
    return bool(wanted) and status.get("updatedReplicas") == status.get("readyReplicas") == wanted
