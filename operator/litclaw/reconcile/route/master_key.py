"""A new master key for a managed route: beside the old one in the Secret while the pods are replaced, alone afterwards."""

import secrets as random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from litclaw.api import names
from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.errors import InvalidError
from litclaw.kube.resources import ROUTE, SECRET
from litclaw.litellm.keys import utc
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import ConditionType
from litclaw.reconcile.core.owned_objects import apply, get_live
from litclaw.reconcile.core.secret_values import values
from litclaw.reconcile.core.workload_status import ENDED, is_rolled_out, pods_of
from litclaw.reconcile.keys.due import runs_for
from litclaw.render.metadata import Manifest
from litclaw.render.route.secret import generated_secret


def new_master_key() -> str:
    """A fresh master key with 256 bits of randomness."""
    return f"sk-{random.token_urlsafe(32)}"


def master_key_secret(context: Context, route: LiteLLMRoute, data: Mapping[str, str]) -> Manifest:
    """The Secret with a master key that is created now."""
    return _secret(route, data, context.now().isoformat())


def _secret(route: LiteLLMRoute, data: Mapping[str, str], created: str) -> Manifest:
    annotations = {names.ANNOTATION_MADE: created}
    return generated_secret(route, names.route_master_key(route.metadata.name), "master-key", data, annotations)


def is_master_key_older(context: Context, route: Mapping[str, Any], moment: datetime) -> bool:
    """True if a route's master key was created before a moment, or some of its pods don't know it yet."""
    meta = route["metadata"]
    secret = context.cache.get(SECRET.kind, meta["namespace"], names.route_master_key(meta["name"]))
    managed = route["spec"].get("managed")
    if secret is None or managed is None or managed.get("masterKeySecretRef"):
        return True  # we can't create another
    return names.MASTER_KEY_BEFORE in secret["data"] or _created_at(secret) < moment


def _created_at(secret: Mapping[str, Any]) -> datetime:
    try:
        return utc((secret["metadata"].get("annotations") or {})[names.ANNOTATION_MADE])
    except (KeyError, ValueError):
        return datetime.fromtimestamp(0, UTC)


async def rotate_master_key_if_due(
    context: Context, route: LiteLLMRoute, managed: Managed, deployment: Mapping[str, Any] | None
) -> None:
    """Put a new master key into the Secret if a rotation run covers the route and none is being rolled out yet.

    Args:
        deployment: the proxy's Deployment as it is now; it shows whether the proxy has ever had a salt.

    Raises:
        Blocked: the Secret is refused.
    """
    runs = runs_for(context, route.metadata.uid)
    if not runs:
        return
    if managed.master_key_secret_ref:
        ref = managed.master_key_secret_ref
        why = f"Secret {ref.name}, named in spec.managed.masterKeySecretRef, is its owner's: put a new key there."
        return context.fail_rotation(route.metadata.uid, f"NotOurs: {why} The proxy is then rolled out by itself.")
    if deployment and names.ANNOTATION_SALT not in (deployment["metadata"].get("annotations") or {}):
        why = "the proxy has never had a salt, so only the old master key can decrypt what LiteLLM has encrypted."
        return context.fail_rotation(route.metadata.uid, f"NoSalt: {why}")
    name, namespace = names.route_master_key(route.metadata.name), route.metadata.namespace
    live = await get_live(context, SECRET.kind, namespace, name)
    current = await values(context, namespace, name)
    if live is None or not current or names.MASTER_KEY not in current or names.MASTER_KEY_BEFORE in current:
        return
    if all(_created_at(live) >= run.not_before for run in runs):
        return
    data = {
        names.MASTER_KEY: new_master_key(),
        names.MASTER_KEY_BEFORE: current[names.MASTER_KEY].get_secret_value(),
    }
    await apply(context, master_key_secret(context, route, data), live, ConditionType.SECRETS_READY)


async def master_key_before(context: Context, route: LiteLLMRoute, managed: Managed) -> SecretStr | None:
    """The master key that some of the proxy's pods may know instead of the present one; None: all know the present one."""
    current = None if managed.master_key_secret_ref else await _being_rotated(context, route)
    return current[names.MASTER_KEY_BEFORE] if current else None


async def finish_master_key_rotation(context: Context, route: LiteLLMRoute, deployment: Mapping[str, Any]) -> None:
    """Remove the old master key from the Secret when no pod knows it any more.

    Args:
        deployment: as it is in the cluster, with the new key in its template.

    Raises:
        Blocked: the Secret is refused.
    """
    if not is_rolled_out(deployment):
        return
    if current := await _being_rotated(context, route):
        if await _has_old_pods(context, route, deployment):
            return
        name, namespace = names.route_master_key(route.metadata.name), route.metadata.namespace
        live = await get_live(context, SECRET.kind, namespace, name)
        data = {names.MASTER_KEY: current[names.MASTER_KEY].get_secret_value()}
        # Somebody may have removed the annotation: then the key counts as created now.
        created = ((live or {}).get("metadata", {}).get("annotations") or {}).get(names.ANNOTATION_MADE)
        secret = _secret(route, data, created or context.now().isoformat())
        await apply(context, secret, live, ConditionType.SECRETS_READY)
    body = context.cache.get(ROUTE.kind, route.metadata.namespace, route.metadata.name)
    for run in runs_for(context, route.metadata.uid):
        if body and not is_master_key_older(context, body, run.not_before):
            run.mark_done(route.metadata.uid)


async def _being_rotated(context: Context, route: LiteLLMRoute) -> dict[str, SecretStr] | None:
    name, namespace = names.route_master_key(route.metadata.name), route.metadata.namespace
    secret = context.cache.get(SECRET.kind, namespace, name)
    if secret is None or names.MASTER_KEY_BEFORE not in secret["data"]:
        return None
    current = await values(context, namespace, name)
    return current if current and names.MASTER_KEY_BEFORE in current else None


async def remembered_master_key(
    context: Context, route: LiteLLMRoute, master_key: SecretStr, deployment: Mapping[str, Any]
) -> SecretStr | None:
    """The master key with which this process has called the proxy before somebody changed it, while a pod may know no other.

    Args:
        master_key: the present one.
        deployment: as it is in the cluster.
    """
    connection = context.routes.get((route.metadata.namespace, route.metadata.name))
    if connection is None:
        return None
    known = connection.session.credentials
    former = known.master_key_before if known.master_key == master_key else known.master_key
    if former is None or (is_rolled_out(deployment) and not await _has_old_pods(context, route, deployment)):
        return None
    return former


async def _has_old_pods(context: Context, route: LiteLLMRoute, deployment: Mapping[str, Any]) -> bool:
    """True if a pod with other Secrets still runs. A Deployment doesn't count the pods that are about to end, but they still
    answer. The route is reconciled again soon, since no watch reports their end.
    """
    wanted = _secrets_digest(deployment["spec"]["template"])
    try:
        pods = await pods_of(context, deployment)
    except InvalidError:
        return False  # an installation without the permission
    old = [
        pod for pod in pods if (pod.get("status") or {}).get("phase") not in ENDED and _secrets_digest(pod) != wanted
    ]
    if old:
        context.enqueue_after((ROUTE.kind, route.metadata.namespace, route.metadata.name), intervals.OLD_POD)
    return bool(old)


def _secrets_digest(pod: Mapping[str, Any]) -> str | None:
    found: str | None = (pod["metadata"].get("annotations") or {}).get(names.ANNOTATION_SECRETS)
    return found
