"""Reading the Secrets that a resource names. The cache has no values, so each read asks the API server."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

from pydantic import SecretStr

from litclaw.api.base import SecretKeyRef
from litclaw.kube.resources import SECRET
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.cluster import Cluster
from litclaw.reconcile.core.conditions import Blocked, ConditionType, listed


async def values(cluster: Cluster, namespace: str, name: str) -> dict[str, SecretStr] | None:
    """A Secret's values, or None where there is no such Secret."""
    live = await cluster.kube.get(SECRET, namespace, name)
    if live is None:
        return None
    data: Mapping[str, str] = live.get("data") or {}
    return {key: SecretStr(base64.b64decode(value).decode(errors="replace")) for key, value in data.items()}


async def every_value(cluster: Cluster, namespace: str, name: str, field: str) -> dict[str, SecretStr]:
    """All values of a Secret.

    Args:
        field: where the resource names the Secret, for the message.

    Raises:
        Blocked: there is no such Secret.
    """
    found = await values(cluster, namespace, name)
    if found is None:
        message = f"Secret {namespace}/{name}, named in {field}, doesn't exist: create it, or correct the name."
        raise Blocked(
            ConditionType.SECRETS_READY, "SecretNotFound", message, stalled=True, retry=intervals.SECRET_BLOCKED
        )
    return found


async def value(cluster: Cluster, namespace: str, ref: SecretKeyRef, field: str) -> SecretStr:
    """One value.

    Args:
        field: where the resource names the Secret, for the message.

    Raises:
        Blocked: there is no such Secret or key, or it is empty.
    """
    found = await every_value(cluster, namespace, ref.name, field)
    where = f"Secret {namespace}/{ref.name}"
    if ref.key not in found:
        message = f"{where} has no key {ref.key!r}, named in {field}: it has {listed(sorted(found))}."
        raise Blocked(
            ConditionType.SECRETS_READY, "SecretKeyNotFound", message, stalled=True, retry=intervals.SECRET_BLOCKED
        )
    if not found[ref.key].get_secret_value().strip():
        message = f"The key {ref.key!r} of {where}, named in {field}, is empty: set its value."
        raise Blocked(ConditionType.SECRETS_READY, "SecretEmpty", message, stalled=True, retry=intervals.SECRET_BLOCKED)
    return found[ref.key]


async def key_value(cluster: Cluster, namespace: str, ref: SecretKeyRef, field: str) -> SecretStr:
    """One value for an HTTP header, without the line break that an editor leaves at its end.

    Raises:
        Blocked: see `value`; or it has characters that no key has.
    """
    text = (await value(cluster, namespace, ref, field)).get_secret_value().strip()
    if not (text.isascii() and text.isprintable()):
        message = (
            f"The key {ref.key!r} of Secret {namespace}/{ref.name}, named in {field}, has characters that no key has."
        )
        raise Blocked(
            ConditionType.SECRETS_READY, "SecretInvalid", message, stalled=True, retry=intervals.SECRET_BLOCKED
        )
    return SecretStr(text)


def keyed_digest(key: SecretStr, values: Mapping[str, SecretStr]) -> str:
    """A digest of secret values that changes when one does, and reveals nothing about them without the key."""
    text = json.dumps({name: secret.get_secret_value() for name, secret in values.items()}, sort_keys=True)
    return hmac.new(key.get_secret_value().encode(), text.encode(), hashlib.sha256).hexdigest()[:16]
