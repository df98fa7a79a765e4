"""A managed route's objects: its Secrets, its database, its proxy, and the optional objects around the proxy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from litclaw.api import names
from litclaw.api.digest import digest
from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.cache import Key
from litclaw.kube.resources import (
    AUTOSCALER,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    POD_MONITOR,
    SERVICE,
    STATEFUL_SET,
)
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, Conditions, ConditionType
from litclaw.reconcile.core.owned_objects import check_ours, ensure, get_live, is_unchanged, remove_others
from litclaw.reconcile.core.workload_status import require_available, rollout_failure, workload_failure
from litclaw.reconcile.route.master_key import finish_master_key_rotation, remembered_master_key
from litclaw.reconcile.route.migration import drop_stuck, is_migrated, migrate, migration_digest
from litclaw.reconcile.route.replicas import hand_over_replicas
from litclaw.reconcile.route.secrets import route_secrets
from litclaw.render.metadata import Manifest
from litclaw.render.route.config_yaml import ModelsCollideError, SettingClashError
from litclaw.render.route.configmap import route_configmap
from litclaw.render.route.deployment import route_deployment
from litclaw.render.route.extras import route_extras
from litclaw.render.route.postgres import postgres_service, postgres_statefulset
from litclaw.render.route.service import former_ports, route_service

# Never a StatefulSet: a database that is no longer wanted here still has every key's spend. For Jobs see `drop_stuck`.
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
        master_key: the proxy's master key.
        master_key_before: the master key that some of its pods may still know instead.
        pending: why its pods aren't as they should be yet, while those from before serve.
    """

    master_key: SecretStr
    master_key_before: SecretStr | None
    pending: Blocked | None


async def deploy(context: Context, route: LiteLLMRoute, managed: Managed, conditions: Conditions) -> Deployed:
    """Apply everything that the proxy consists of, and check that it runs.

    Raises:
        Blocked: something is missing, refused, or not running yet.
    """
    configmap = _render_config(route)
    namespace, name = route.metadata.namespace, names.route_workload(route.metadata.name)
    before = await get_live(context, DEPLOYMENT.kind, namespace, name)
    secrets = await route_secrets(context, route, managed, before)
    conditions.set_true(ConditionType.SECRETS_READY, "Found")
    migration = migration_digest(route, managed, secrets)
    deployment = route_deployment(
        route,
        managed,
        config_digest=digest(configmap["data"]),
        secrets_digest=secrets.digest,
        migration=migration,
        salt=secrets.fingerprint,
    )
    check_ours(before, deployment, ConditionType.PROXY_READY)
    database = await _deploy_database(context, route, managed)
    service = context.cache.get(SERVICE.kind, namespace, name)
    former = former_ports(service, managed.port, context.now())
    exposed = route_service(route, managed, live=service, former=former)
    around = [configmap, exposed, *await _around(context, route, managed)]
    present = [await ensure(context, manifest, ConditionType.PROXY_READY) for manifest in around]
    pending: Blocked | None = None
    if not is_migrated(before, migration):
        await _require_database(context, database)
        pending = await migrate(context, route, managed, migration, serving=before is not None)
    if pending is None:
        if before and managed.autoscaling and not is_unchanged(context, before, deployment):
            await hand_over_replicas(context, before)
        running = await ensure(context, deployment, ConditionType.PROXY_READY)
    elif before:
        running = before
    else:
        raise pending
    wanted = [_key(body) for body in (*present, running, *database)]
    await remove_others(context, route.metadata, wanted, _REMOVED)
    await drop_stuck(context, route, migration)
    await _require_database(context, database)
    conditions.set_true(ConditionType.DATABASE_READY, "Running" if database else "Configured")
    if pending is None:
        await finish_master_key_rotation(context, route, running)
    else:
        conditions.set_false(ConditionType.DATABASE_READY, pending.reason, pending.message)
    waits = f"Waits for the pods of Deployment {namespace}/{name}; LiteLLM takes a minute to start."
    if managed.fixed_replicas == 0:
        message = "spec.managed.replicas is 0, so no call is answered: set it to 1 or more."
        raise Blocked(ConditionType.PROXY_READY, "ScaledToZero", message, stalled=True, retry=intervals.ROUTE_RESYNC)
    await require_available(context, running, ConditionType.PROXY_READY, waits)
    if pending is None and (failure := await rollout_failure(context, running)):
        message = f"{failure.message} What ran before goes on."
        pending = Blocked(ConditionType.PROXY_READY, failure.reason, message, stalled=failure.stalled, serving=True)
    key_before = secrets.master_key_before or await remembered_master_key(context, route, secrets.master_key, running)
    return Deployed(secrets.master_key, key_before, pending)


async def withdraw(context: Context, route: LiteLLMRoute) -> None:
    """Remove the objects from when a route was managed. Its database and Secrets stay: the database has the spend of the keys."""
    await remove_others(context, route.metadata, (), _REMOVED)


def _render_config(route: LiteLLMRoute) -> Manifest:
    try:
        return route_configmap(route)
    except SettingClashError as error:
        raise Blocked(ConditionType.MODELS_READY, "InvalidSettings", f"{error}.", stalled=True) from None
    except ModelsCollideError as error:
        raise Blocked(ConditionType.MODELS_READY, "ModelsCollide", f"{error}.", stalled=True) from None


async def _around(context: Context, route: LiteLLMRoute, managed: Managed) -> list[Manifest]:
    postgres = context.cache.get(STATEFUL_SET.kind, route.metadata.namespace, names.route_postgres(route.metadata.name))
    around = route_extras(
        route,
        managed,
        operator_namespace=context.own_namespace,
        keeps_database=postgres is not None,
        pod_monitors=await _knows_pod_monitors(context, route, managed),
    )
    if postgres and not managed.database.embedded:
        # Pods from before use it until the last of them is gone, and an owner copies the data out of it.
        around = [*around, postgres_service(route)]
    return around


async def _knows_pod_monitors(context: Context, route: LiteLLMRoute, managed: Managed) -> bool:
    """True if the cluster serves the kind, asked only where it matters. No watch reports that a kind is gone."""
    key = (POD_MONITOR.kind, route.metadata.namespace, names.route_workload(route.metadata.name))
    cached = context.cache.get(*key)
    if not (managed.monitoring.enabled or cached):
        return False
    known = await context.kube.serves(POD_MONITOR)
    if cached and not known:
        context.cache.remove(cached)
    return known


def _key(body: Mapping[str, Any]) -> Key:
    return (body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])


async def _deploy_database(context: Context, route: LiteLLMRoute, managed: Managed) -> list[dict[str, Any]]:
    if not (embedded := managed.database.embedded):
        return []
    service = await ensure(context, postgres_service(route), ConditionType.DATABASE_READY)
    name = names.route_postgres(route.metadata.name)
    live = context.cache.get(STATEFUL_SET.kind, route.metadata.namespace, name)
    claims = live["spec"]["volumeClaimTemplates"] if live else []
    present = claims[0]["spec"]["resources"]["requests"]["storage"] if claims else None
    wanted = postgres_statefulset(route, embedded, present)
    stateful_set = await ensure(context, wanted, ConditionType.DATABASE_READY)
    return [service, stateful_set]


async def _require_database(context: Context, database: list[dict[str, Any]]) -> None:
    for body in database:
        if body["kind"] == STATEFUL_SET.kind and not (body.get("status") or {}).get("readyReplicas"):
            if failure := await workload_failure(context, body):
                raise Blocked(ConditionType.DATABASE_READY, failure.reason, failure.message, stalled=failure.stalled)
            message = f"Waits for the pod of StatefulSet {body['metadata']['name']}."
            raise Blocked(ConditionType.DATABASE_READY, "Starting", message, stalled=False)
