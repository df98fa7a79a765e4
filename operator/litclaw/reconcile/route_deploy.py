"""A managed route's own objects: its Secrets, its database, its proxy, and what stands around that."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from ..api import names
from ..api.managed import Managed
from ..api.route import LiteLLMRoute
from ..kube.cache import Key
from ..kube.diff import is_settled
from ..kube.resources import (
    AUTOSCALER,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    POD_MONITOR,
    SERVICE,
    STATEFUL_SET,
)
from ..render.litellm_config import ModelsCollideError, SettingClashError
from ..render.metadata import Manifest, digest, sealed
from ..render.postgres import postgres_service, postgres_statefulset
from ..render.route_around import around_proxy
from ..render.route_configmap import route_configmap
from ..render.route_deployment import route_deployment
from ..render.route_service import route_service
from . import master_key
from .children import check_ours, ensure, look, remove_others
from .conditions import PROXY_READY, Blocked, Conditions
from .replicas import hand_over_replicas
from .route_migration import DATABASE_READY, drop_stuck, is_migrated, migrate, migration_digest
from .route_secrets import route_secrets
from .running import see_running
from .secrets import SECRETS_READY
from .world import World

# Never a StatefulSet: a database that is no longer wanted here still holds every key's spend. For Jobs see `drop_stuck`.
_REMOVED: tuple[str, ...] = tuple(
    resource.kind
    for resource in (
        CONFIG_MAP,
        SERVICE,
        DEPLOYMENT,
        AUTOSCALER,
        DISRUPTION_BUDGET,
        NETWORK_POLICY,
        POD_MONITOR,
    )
)


@dataclass(frozen=True, slots=True)
class Deployed:
    """A proxy that runs.

    Attributes:
        master_key: what it is administered with.
        master_key_before: what some of its pods may still know in its place.
        held_back: why its pods aren't yet as they should be, while those from before serve.
    """

    master_key: SecretStr
    master_key_before: SecretStr | None
    held_back: Blocked | None


async def deploy(world: World, route: LiteLLMRoute, managed: Managed, conditions: Conditions) -> Deployed:
    """Have everything there that the proxy consists of, and see that it runs.

    Raises:
        Blocked: something is missing, refused, or not running yet.
    """
    configmap = _render_config(route)
    namespace, name = route.metadata.namespace, names.route_workload(route.metadata.name)
    before = await look(world, DEPLOYMENT.kind, namespace, name)
    held = await route_secrets(world, route, managed, before)
    conditions.true(SECRETS_READY, "Found")
    migration = migration_digest(route, managed, held)
    deployment = route_deployment(
        route,
        managed,
        config_digest=digest(configmap["data"]),
        secrets_digest=held.digest,
        migration=migration,
        salt=held.fingerprint,
    )
    check_ours(before, deployment, PROXY_READY)
    database = await _deploy_database(world, route, managed)
    around = [configmap, route_service(route, managed), *await _around(world, route, managed)]
    present = [await ensure(world, manifest, PROXY_READY) for manifest in around]
    held_back: Blocked | None = None
    if not is_migrated(before, migration):
        _see_database(database)
        held_back = await migrate(world, route, managed, migration, serving=before is not None)
    if held_back is None:
        if before and managed.autoscaling and not is_settled(before, sealed(deployment)):
            await hand_over_replicas(world, before)
        running = await ensure(world, deployment, PROXY_READY)
    elif before:
        running = before
    else:
        raise held_back
    wanted = [_key(body) for body in (*present, running, *database)]
    await remove_others(world, route.metadata.uid, wanted, _REMOVED)
    await drop_stuck(world, route, migration)
    _see_database(database)
    conditions.true(DATABASE_READY, "Running" if database else "Configured")
    if held_back is None:
        await master_key.settle(world, route, running)
    else:
        conditions.false(DATABASE_READY, held_back.reason, held_back.message)
    waits = f"Waits for the pods of Deployment {name}; LiteLLM takes a minute to start."
    see_running(running, PROXY_READY, waits)
    return Deployed(held.master_key, held.master_key_before, held_back)


async def withdraw(world: World, route: LiteLLMRoute) -> None:
    """Remove what a route has from when it was managed; its database and Secrets stay, as they hold what was spent."""
    await remove_others(world, route.metadata.uid, (), _REMOVED)


def _render_config(route: LiteLLMRoute) -> Manifest:
    try:
        return route_configmap(route)
    except SettingClashError as error:
        raise Blocked("ModelsReady", "InvalidSettings", f"{error}.", stalled=True) from None
    except ModelsCollideError as error:
        raise Blocked("ModelsReady", "ModelsCollide", f"{error}.", stalled=True) from None


async def _around(world: World, route: LiteLLMRoute, managed: Managed) -> list[Manifest]:
    postgres = world.cache.get(STATEFUL_SET.kind, route.metadata.namespace, names.route_postgres(route.metadata.name))
    around = around_proxy(
        route,
        managed,
        operator_namespace=world.own_namespace,
        keeps_database=postgres is not None,
        pod_monitors=await _knows_pod_monitors(world, route, managed),
    )
    if postgres and not managed.database.embedded:
        # Pods from before go on with it until the last of them is gone, and an owner takes its data out of it.
        around = [*around, postgres_service(route)]
    return around


async def _knows_pod_monitors(world: World, route: LiteLLMRoute, managed: Managed) -> bool:
    """Whether the cluster has the kind, asked only where it matters. No watch tells that a kind has gone."""
    key = (POD_MONITOR.kind, route.metadata.namespace, names.route_workload(route.metadata.name))
    held = world.cache.get(*key)
    if not (managed.monitoring.enabled or held):
        return False
    known = await world.kube.serves(POD_MONITOR)
    if held and not known:
        world.cache.forget(held)
    return known


def _key(body: Mapping[str, Any]) -> Key:
    return (body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])


async def _deploy_database(world: World, route: LiteLLMRoute, managed: Managed) -> list[dict[str, Any]]:
    if not (embedded := managed.database.embedded):
        return []
    service = await ensure(world, postgres_service(route), DATABASE_READY)
    stateful_set = await ensure(world, postgres_statefulset(route, embedded), DATABASE_READY)
    return [service, stateful_set]


def _see_database(database: list[dict[str, Any]]) -> None:
    for body in database:
        if body["kind"] == STATEFUL_SET.kind and not (body.get("status") or {}).get("readyReplicas"):
            message = f"Waits for the pod of StatefulSet {body['metadata']['name']}."
            raise Blocked(DATABASE_READY, "Starting", message, stalled=False)
