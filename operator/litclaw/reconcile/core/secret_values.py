"""Reading the Secrets that a resource names, and making up those that it leaves to us."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

from pydantic import SecretStr

from litclaw.api.base import SecretKeyRef
from litclaw.kube.resources import SECRET
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.conditions import Blocked

SECRETS_READY = "SecretsReady"
_LOOK_AGAIN_SECONDS = 10.0


async def values(context: Context, namespace: str, name: str) -> dict[str, SecretStr] | None:
    """A Secret's values, from the API: the cache holds none. None where there is no such Secret."""
    live = await context.kube.get(SECRET, namespace, name)
    if live is None:
        return None
    data: Mapping[str, str] = live.get("data") or {}
    return {key: SecretStr(base64.b64decode(value).decode(errors="replace")) for key, value in data.items()}


async def every_value(context: Context, namespace: str, name: str, field: str) -> dict[str, SecretStr]:
    """All values of a Secret.

    Args:
        field: where the resource names the Secret, for the message.

    Raises:
        Blocked: there is no such Secret.
    """
    found = await values(context, namespace, name)
    if found is None:
        message = f"Secret {namespace}/{name}, named in {field}, doesn't exist: create it, or mend the name."
        raise Blocked(SECRETS_READY, "SecretNotFound", message, stalled=True, retry=_LOOK_AGAIN_SECONDS)
    return found


async def value(context: Context, namespace: str, ref: SecretKeyRef, field: str) -> SecretStr:
    """One value.

    Args:
        field: where the resource names the Secret, for the message.

    Raises:
        Blocked: there is no such Secret or key, or it is empty.
    """
    found = await every_value(context, namespace, ref.name, field)
    where = f"Secret {namespace}/{ref.name}"
    if ref.key not in found:
        message = f"{where} has no key {ref.key!r}, named in {field}: it has {', '.join(sorted(found)) or 'none'}."
        raise Blocked(SECRETS_READY, "SecretKeyNotFound", message, stalled=True, retry=_LOOK_AGAIN_SECONDS)
    if not found[ref.key].get_secret_value().strip():
        message = f"The key {ref.key!r} of {where}, named in {field}, is empty: put the value in."
        raise Blocked(SECRETS_READY, "SecretEmpty", message, stalled=True, retry=_LOOK_AGAIN_SECONDS)
    return found[ref.key]


async def key_value(context: Context, namespace: str, ref: SecretKeyRef, field: str) -> SecretStr:
    """One value that goes into a header: without the line break that an editor leaves at its end.

    Raises:
        Blocked: see `value`; or it has characters that no key has.
    """
    text = (await value(context, namespace, ref, field)).get_secret_value().strip()
    if not (text.isascii() and text.isprintable()):
        message = f"The key {ref.key!r} of Secret {namespace}/{ref.name}, named in {field}, holds what can't be a key."
        raise Blocked(SECRETS_READY, "SecretInvalid", message, stalled=True, retry=_LOOK_AGAIN_SECONDS)
    return SecretStr(text)


def keyed_digest(key: SecretStr, held: Mapping[str, SecretStr]) -> str:
    """A digest of secret values that changes when one does, and tells nothing about them to who lacks the key."""
    text = json.dumps({name: secret.get_secret_value() for name, secret in held.items()}, sort_keys=True)
    return hmac.new(key.get_secret_value().encode(), text.encode(), hashlib.sha256).hexdigest()[:16]
