"""A managed route's Secrets: missing ones that are ours are generated once, all are read, and weak ones are refused."""

import secrets as random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from litclaw.api import names
from litclaw.api.base import SecretKeyRef
from litclaw.api.managed import SHORTEST_SECRET, Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.resources import CONFIG_MAP, DEPLOYMENT, SECRET, STATEFUL_SET
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals, secret_values
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.core.owned_objects import apply, check_ours, get_live
from litclaw.reconcile.route.master_key import (
    master_key_before,
    master_key_secret,
    new_master_key,
    rotate_master_key_if_due,
)
from litclaw.render.metadata import Manifest
from litclaw.render.route.config_yaml import secret_params
from litclaw.render.route.postgres import postgres_secret_data
from litclaw.render.route.secret import database_ref, generated_secret, master_key_ref, salt_key_ref

_DATABASE_SCHEMES = ("postgresql://", "postgres://")
_REDIS_SCHEMES = ("redis://", "rediss://")
_FEWEST_CHARACTERS = 5  # of different ones: a key of sixteen zeros is no key


@dataclass(frozen=True, slots=True)
class RouteSecrets:
    """The secret values of a proxy.

    Attributes:
        master_key_before: the one that pods from before know instead, while a master key is rotated.
        fingerprint: of the salt, keyed with itself: it changes when the salt does, and reveals nothing about it.
        digest: of all values, keyed with the salt.
    """

    master_key: SecretStr
    master_key_before: SecretStr | None
    salt: SecretStr
    database_url: SecretStr
    fingerprint: str
    digest: str


async def route_secrets(
    context: Context, route: LiteLLMRoute, managed: Managed, deployment: Mapping[str, Any] | None
) -> RouteSecrets:
    """Generate the missing Secrets, and read all.

    Args:
        deployment: the proxy's Deployment as it is now, which has the fingerprint of the salt in use.

    Raises:
        Blocked: one is missing, lost, of another kind, or weak.
    """
    await _generate_missing(context, route, managed)
    await rotate_master_key_if_due(context, route, managed, deployment)
    found = await _read(context, route, managed)

    def of(ref: SecretKeyRef) -> SecretStr:
        return found[_slot(ref)]

    key, salt = of(master_key_ref(route, managed)), of(salt_key_ref(route, managed))
    fingerprint = secret_values.keyed_digest(salt, {"route": SecretStr(route.metadata.uid)})
    _check_master_key(route, managed, key)
    _check_salt(route, managed, salt, fingerprint, deployment)
    return RouteSecrets(
        master_key=key,
        master_key_before=await master_key_before(context, route, managed),
        salt=salt,
        database_url=of(database_ref(route, managed)),
        fingerprint=fingerprint,
        digest=secret_values.keyed_digest(salt, found),
    )


def _slot(ref: SecretKeyRef) -> str:
    return f"{ref.name}/{ref.key}"


async def _generate_missing(context: Context, route: LiteLLMRoute, managed: Managed) -> None:
    """Create the Secrets that the resource leaves to us. One that exists stays as it is."""
    name, namespace = route.metadata.name, route.metadata.namespace
    if managed.master_key_secret_ref is None:
        # Virtual keys outlive a change of the master key (measured), so a lost one is simply replaced.
        data = {names.MASTER_KEY: new_master_key()}
        await _create_once(context, master_key_secret(context, route, data))
    if managed.salt_key_secret_ref is None:
        before = context.cache.get(DEPLOYMENT.kind, namespace, names.route_workload(name))
        data = {names.SALT_KEY: random.token_urlsafe(32)}
        manifest = generated_secret(route, names.route_salt_key(name), "salt-key", data)
        await _create_once(context, manifest, lost_if=before, loses="what LiteLLM has encrypted in its database")
    if managed.database.embedded:
        before = context.cache.get(STATEFUL_SET.kind, namespace, names.route_postgres(name))
        data = postgres_secret_data(route, random.token_urlsafe(24))
        manifest = generated_secret(route, names.route_postgres(name), "database", data)
        await _create_once(context, manifest, lost_if=before, loses="the password of the database")


async def _create_once(
    context: Context, manifest: Manifest, *, lost_if: Mapping[str, Any] | None = None, loses: str = ""
) -> None:
    meta = manifest["metadata"]
    live = await get_live(context, SECRET.kind, meta["namespace"], meta["name"])
    check_ours(live, manifest, ConditionType.SECRETS_READY)
    if live is not None:
        return
    if lost_if is not None:
        message = (
            f"Secret {meta['namespace']}/{meta['name']} is gone, and with it {loses}. Nothing is changed: restore the "
            f"Secret from a backup, or delete {lost_if['kind']} {meta['namespace']}/{lost_if['metadata']['name']} "
            "to start over with a new one."
        )
        raise Blocked(ConditionType.SECRETS_READY, "SecretLost", message, stalled=True, retry=intervals.SECRET_BLOCKED)
    await apply(context, manifest, None, ConditionType.SECRETS_READY)


def _references(route: LiteLLMRoute, managed: Managed) -> Iterator[tuple[str, SecretKeyRef]]:
    yield "spec.managed.masterKeySecretRef", master_key_ref(route, managed)
    yield "spec.managed.saltKeySecretRef", salt_key_ref(route, managed)
    yield "spec.managed.database.secretRef", database_ref(route, managed)
    if managed.redis:
        yield "spec.managed.redis.secretRef", managed.redis.secret_ref
    for model in route.spec.models:
        for param, ref in secret_params(model):
            kind = "apiKeySecretRef" if ref == model.api_key_secret_ref else f"secretParams.{param}"
            yield f"spec.models[{model.name}].{kind}", ref
    for entry in managed.env:
        if entry.value_from and entry.value_from.secret_key_ref:
            yield f"spec.managed.env[{entry.name}]", entry.value_from.secret_key_ref


async def _read(context: Context, route: LiteLLMRoute, managed: Managed) -> dict[str, SecretStr]:
    found: dict[str, SecretStr] = {}
    for field, ref in _references(route, managed):
        if _slot(ref) not in found:
            found[_slot(ref)] = await secret_values.value(context, route.metadata.namespace, ref, field)
    for source in managed.env_from:
        if source.secret_ref:
            name = source.secret_ref.name
            values = await secret_values.every_value(context, route.metadata.namespace, name, "spec.managed.envFrom")
            found |= {f"{name}/{key}": value for key, value in values.items()}
    for name in _config_maps(managed):
        # Not found: the pods tell. What is in it isn't secret, but its change reaches the pods as a Secret's does.
        config = await context.kube.get(CONFIG_MAP, route.metadata.namespace, name)
        found |= {
            f"configmap {name}/{key}": SecretStr(text) for key, text in ((config or {}).get("data") or {}).items()
        }
    ref = database_ref(route, managed)
    if not found[_slot(ref)].get_secret_value().startswith(_DATABASE_SCHEMES):
        message = f"{_where(route, ref)} isn't a PostgreSQL URL: it must start with postgresql://."
        raise Blocked(
            ConditionType.DATABASE_READY, "InvalidDatabaseURL", message, stalled=True, retry=intervals.SECRET_BLOCKED
        )
    if managed.redis:
        ref = managed.redis.secret_ref
        if not found[_slot(ref)].get_secret_value().startswith(_REDIS_SCHEMES):
            message = f"{_where(route, ref)} isn't a Redis URL: it must start with redis:// or rediss://."
            raise Blocked(
                ConditionType.SECRETS_READY, "InvalidRedisURL", message, stalled=True, retry=intervals.SECRET_BLOCKED
            )
    return found


def _config_maps(managed: Managed) -> list[str]:
    """The ConfigMaps that the pods' environment is made of."""
    found = {each.value_from.config_map_key_ref for each in managed.env if each.value_from}
    keys = {ref.name for ref in found if ref}
    return sorted(keys | {each.config_map_ref.name for each in managed.env_from if each.config_map_ref})


def _where(route: LiteLLMRoute, ref: SecretKeyRef) -> str:
    return f"The key {ref.key!r} of Secret {route.metadata.namespace}/{ref.name}"


def weakness(key: str) -> str | None:
    """The fault of a master key, without repeating the key, or None. It gives access to every key and budget of the proxy."""
    if key != key.strip() or any(each.isspace() for each in key):
        return "has white space in it, perhaps a line break at the end"
    if not (key.isascii() and key.isprintable()):
        return "has characters that no key has"
    if not key.startswith("sk-"):
        return "doesn't start with sk-"
    if len(key) < SHORTEST_SECRET:
        return f"has fewer than {SHORTEST_SECRET} characters"
    if len(set(key.removeprefix("sk-"))) < _FEWEST_CHARACTERS:
        return "repeats a few characters"
    return None


def _check_master_key(route: LiteLLMRoute, managed: Managed, key: SecretStr) -> None:
    if wrong := weakness(key.get_secret_value()):
        message = (
            f"{_where(route, master_key_ref(route, managed))} can't be the master key: it {wrong}. Put in sk- and at "
            "least 32 random characters, such as `sk-$(openssl rand -hex 32)`, without a line break."
        )
        raise Blocked(
            ConditionType.SECRETS_READY, "WeakMasterKey", message, stalled=True, retry=intervals.SECRET_BLOCKED
        )


def _check_salt(
    route: LiteLLMRoute, managed: Managed, salt: SecretStr, fingerprint: str, deployment: Mapping[str, Any] | None
) -> None:
    """A short salt is refused while it is new; one that has been used must stay."""
    where = _where(route, salt_key_ref(route, managed))
    annotations = (deployment or {}).get("metadata", {}).get("annotations") or {}
    used = annotations.get(names.ANNOTATION_SALT)
    if deployment is None and len(salt.get_secret_value()) < SHORTEST_SECRET:
        message = (
            f"{where} can't be the salt key: it has fewer than {SHORTEST_SECRET} characters. Put in at least 32 random "
            "ones, such as `openssl rand -hex 32`; it can't be changed later."
        )
        raise Blocked(ConditionType.SECRETS_READY, "WeakSaltKey", message, stalled=True, retry=intervals.SECRET_BLOCKED)
    if used not in (None, fingerprint):
        name = f"{route.metadata.namespace}/{names.route_workload(route.metadata.name)}"
        message = (
            f"{where} isn't the salt that LiteLLM has used: what it has encrypted in its database can't be read with "
            "another. The pods go on with the old one, and nothing is changed: put it back, or delete Deployment "
            f"{name} to start over with the new one."
        )
        raise Blocked(ConditionType.SECRETS_READY, "SaltChanged", message, stalled=True, retry=intervals.SECRET_BLOCKED)
