"""A managed route's own objects: its Secrets, its database, its proxy."""

import secrets as random
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from ..api import names
from ..api.base import SecretKeyRef
from ..api.route import LiteLLMRoute, Managed
from ..kube.resources import CONFIG_MAP, DEPLOYMENT, SECRET, SERVICE, STATEFUL_SET
from ..render.litellm_config import SettingClashError, secret_params
from ..render.metadata import Manifest, digest
from ..render.postgres import postgres_secret_data, postgres_service, postgres_statefulset
from ..render.route_configmap import route_configmap
from ..render.route_deployment import route_deployment
from ..render.route_secret import database_ref, generated_secret, master_key_ref, salt_key_ref
from ..render.route_service import route_service
from . import secrets
from .children import check_ours, ensure, look, put, remove_others
from .conditions import Blocked, Conditions
from .secrets import SECRETS_READY
from .world import World

_DATABASE_SCHEMES = ("postgresql://", "postgres://")


async def deploy(world: World, route: LiteLLMRoute, managed: Managed, conditions: Conditions) -> SecretStr:
    """Have everything there that the proxy consists of, and see that it runs.

    Returns:
        The master key.

    Raises:
        Blocked: something is missing, refused, or not running yet.
    """
    try:
        configmap = route_configmap(route)
    except SettingClashError as error:
        raise Blocked("ModelsReady", "InvalidSettings", f"{error}.", stalled=True) from None
    await _make_up_secrets(world, route, managed)
    held = await _read_secrets(world, route, managed)
    conditions.true(SECRETS_READY, "Found")
    database = await _deploy_database(world, route, managed)
    config_map = await ensure(world, configmap, "ProxyReady")
    salt = held[_slot(salt_key_ref(route, managed))]
    deployment = route_deployment(
        route,
        managed,
        config_digest=digest(configmap["data"]),
        secrets_digest=secrets.keyed_digest(salt, held),
    )
    service = await ensure(world, route_service(route, managed), "ProxyReady")
    if world.cache.get(*_key(deployment)) is None:
        _see_database(database)  # a proxy that starts before its database only crashes
    running = await ensure(world, deployment, "ProxyReady")
    wanted = [_key(body) for body in (config_map, service, running, *database)]
    # Never a StatefulSet: a database that is no longer wanted here still holds every key's spend.
    await remove_others(world, route.metadata.uid, wanted, (CONFIG_MAP.kind, SERVICE.kind, DEPLOYMENT.kind))
    _see_database(database)
    conditions.true("DatabaseReady", "Running" if database else "Configured")
    _see_proxy(running)
    return held[_slot(master_key_ref(route, managed))]


def _key(body: Mapping[str, Any]) -> tuple[str, str, str]:
    return (body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])


def _slot(ref: SecretKeyRef) -> str:
    return f"{ref.name}/{ref.key}"


async def _make_up_secrets(world: World, route: LiteLLMRoute, managed: Managed) -> None:
    """The Secrets that the resource leaves to us. Each is made once; one that is there is kept as it is."""
    name, namespace = route.metadata.name, route.metadata.namespace
    if managed.master_key_secret_ref is None:
        # Virtual keys outlive a change of the master key (measured), so a lost one is simply made anew.
        data = {names.MASTER_KEY: f"sk-{random.token_urlsafe(32)}"}
        await _make_once(world, generated_secret(route, names.route_master_key(name), "master-key", data))
    if managed.salt_key_secret_ref is None:
        before = world.cache.get(DEPLOYMENT.kind, namespace, names.route_workload(name))
        data = {names.SALT_KEY: random.token_urlsafe(32)}
        manifest = generated_secret(route, names.route_salt_key(name), "salt-key", data)
        await _make_once(world, manifest, lost_if=before, loses="what LiteLLM has encrypted in its database")
    if managed.database.embedded:
        before = world.cache.get(STATEFUL_SET.kind, namespace, names.route_postgres(name))
        data = postgres_secret_data(route, random.token_urlsafe(24))
        manifest = generated_secret(route, names.route_postgres(name), "database", data)
        await _make_once(world, manifest, lost_if=before, loses="the password of the database")


async def _make_once(
    world: World, manifest: Manifest, *, lost_if: Mapping[str, Any] | None = None, loses: str = ""
) -> None:
    meta = manifest["metadata"]
    live = await look(world, SECRET.kind, meta["namespace"], meta["name"])
    check_ours(live, manifest, SECRETS_READY)
    if live is not None:
        return
    if lost_if is not None:
        message = (
            f"Secret {meta['namespace']}/{meta['name']} is gone, and with it {loses}. Nothing is changed: restore the "
            f"Secret from a backup, or delete {lost_if['kind']} {meta['namespace']}/{lost_if['metadata']['name']} "
            "to have a new one made and start anew."
        )
        raise Blocked(SECRETS_READY, "SecretLost", message, stalled=True, retry=10.0)
    await put(world, manifest, None, SECRETS_READY)


def _references(route: LiteLLMRoute, managed: Managed) -> Iterator[tuple[str, SecretKeyRef]]:
    yield "spec.managed.masterKeySecretRef", master_key_ref(route, managed)
    yield "spec.managed.saltKeySecretRef", salt_key_ref(route, managed)
    yield "spec.managed.database.secretRef", database_ref(route, managed)
    for model in route.spec.models:
        for param, ref in secret_params(model):
            kind = "apiKeySecretRef" if ref == model.api_key_secret_ref else f"secretParams.{param}"
            yield f"spec.models[{model.name}].{kind}", ref


async def _read_secrets(world: World, route: LiteLLMRoute, managed: Managed) -> dict[str, SecretStr]:
    held: dict[str, SecretStr] = {}
    for field, ref in _references(route, managed):
        if _slot(ref) not in held:
            held[_slot(ref)] = await secrets.value(world, route.metadata.namespace, ref, field)
    ref = database_ref(route, managed)
    if not held[_slot(ref)].get_secret_value().startswith(_DATABASE_SCHEMES):
        message = (
            f"The key {ref.key!r} of Secret {route.metadata.namespace}/{ref.name} isn't a PostgreSQL URL: "
            "it must start with postgresql://."
        )
        raise Blocked("DatabaseReady", "InvalidDatabaseURL", message, stalled=True, retry=10.0)
    return held


async def _deploy_database(world: World, route: LiteLLMRoute, managed: Managed) -> list[dict[str, Any]]:
    if not (embedded := managed.database.embedded):
        return []
    service = await ensure(world, postgres_service(route), "DatabaseReady")
    stateful_set = await ensure(world, postgres_statefulset(route, embedded), "DatabaseReady")
    return [service, stateful_set]


def _see_database(database: list[dict[str, Any]]) -> None:
    for body in database:
        if body["kind"] == STATEFUL_SET.kind and not (body.get("status") or {}).get("readyReplicas"):
            message = f"Waits for the pod of StatefulSet {body['metadata']['name']}."
            raise Blocked("DatabaseReady", "Starting", message, stalled=False)


def _see_proxy(deployment: Mapping[str, Any]) -> None:
    status = deployment.get("status") or {}
    if status.get("readyReplicas"):
        return
    meta = deployment["metadata"]
    for condition in status.get("conditions") or []:
        if condition["type"] == "Progressing" and condition["status"] == "False":
            message = (
                f"The pods of Deployment {meta['name']} don't get ready ({condition['reason']}): look at "
                f"`kubectl -n {meta['namespace']} describe pods -l {names.LABEL_INSTANCE}="
                f"{meta['labels'][names.LABEL_INSTANCE]}` and at their logs."
            )
            raise Blocked("ProxyReady", "DeploymentFailed", message, stalled=True)
    message = f"Waits for the pods of Deployment {meta['name']}; LiteLLM takes a minute to start."
    raise Blocked("ProxyReady", "Starting", message, stalled=False)
