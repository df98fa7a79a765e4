"""The migration of a managed route's database: once, by a Job, before the proxy's pods get a new image or database.

The pods' template records what has been migrated, because the Job is deleted after a while. Until the Job has succeeded the
Deployment stays as it is, so that a failed migration takes nothing down.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from litclaw.api import names
from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.diff import digest_of
from litclaw.kube.resources import JOB
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.core.owned_objects import apply, check_ours, get_live
from litclaw.reconcile.core.pod_failure import CRASH
from litclaw.reconcile.core.secret_values import keyed_digest
from litclaw.reconcile.core.workload_status import workload_failure
from litclaw.reconcile.route.secrets import RouteSecrets
from litclaw.render.metadata import sealed
from litclaw.render.route.migration_job import KEPT_SECONDS, route_migration_job


def migration_digest(route: LiteLLMRoute, managed: Managed, values: RouteSecrets) -> str:
    """A digest of what a migration depends on: the image, the database, and how LiteLLM connects to it."""
    connection = {k: v for k, v in route.spec.general_settings.items() if k.startswith("database_")}
    text = json.dumps([managed.image, connection], sort_keys=True)
    return keyed_digest(values.salt, {"how": SecretStr(text), "where": values.database_url})


def is_migrated(deployment: Mapping[str, Any] | None, migration: str) -> bool:
    """Whether the proxy's pods run, or are about to, on a database that is up to date for them."""
    if deployment is None:
        return False
    annotations = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    return bool(annotations.get(names.ANNOTATION_MIGRATED) == migration)


async def migrate(
    context: Context, route: LiteLLMRoute, managed: Managed, migration: str, *, serving: bool
) -> Blocked | None:
    """Create the migration's Job, and report its progress.

    Args:
        serving: True if a proxy serves meanwhile.

    Returns:
        Why the pods can't change yet, or None.

    Raises:
        Blocked: something else has the Job's name.
    """
    wanted = route_migration_job(route, managed, migration)
    meta = wanted["metadata"]
    where = f"{meta['namespace']}/{meta['name']}"
    live = await get_live(context, JOB.kind, meta["namespace"], meta["name"])
    check_ours(live, wanted, ConditionType.DATABASE_READY)
    goes_on = " What ran before goes on." if serving else ""
    waits = f"Waits for Job {where}, which brings the database up to date for {managed.image}.{goes_on}"
    if live is None:
        await apply(context, wanted, None, ConditionType.DATABASE_READY)
        return Blocked(ConditionType.DATABASE_READY, "Migrating", waits, stalled=False, serving=serving)
    if _ended(live, "Complete"):
        return None
    runs = bool((live.get("status") or {}).get("ready"))
    if digest_of(live) != digest_of(sealed(wanted)) and not runs:
        # A Job's pods can't be changed: a corrected field, such as a node selector, needs another Job. One that migrates
        # goes on: whatever has changed, such as a model's Secret or this operator, the digest in its name hasn't.
        await context.kube.delete(JOB, meta["namespace"], meta["name"], uid=live["metadata"]["uid"])
        return Blocked(
            ConditionType.DATABASE_READY,
            "Migrating",
            waits,
            stalled=False,
            retry=intervals.MIGRATION_REPLACED,
            serving=serving,
        )
    if failed := _ended(live, "Failed"):
        failure = await workload_failure(context, live)
        why = failure.message if failure else f"`kubectl -n {meta['namespace']} logs job/{meta['name']}` tells why."
        message = (
            f"Job {where}, which brings the database up to date for {managed.image}, has failed ({failed}).{goes_on} Correct "
            f"the database or the image; it is tried again by itself after {KEPT_SECONDS // 60} minutes. {why}"
        )
        return Blocked(
            ConditionType.DATABASE_READY,
            "MigrationFailed",
            message,
            stalled=True,
            retry=intervals.MIGRATION_FAILED,
            serving=serving,
        )
    if not runs and (failure := await workload_failure(context, live)):
        message = f"{failure.message} Job {where} brings the database up to date for {managed.image}.{goes_on}"
        # A container that has failed is tried again by the Job, until it counts as failed.
        stalled = failure.stalled and failure.reason != CRASH
        reason = failure.reason if failure.reason != CRASH else "Migrating"
        return Blocked(ConditionType.DATABASE_READY, reason, message, stalled=stalled, serving=serving)
    if is_stuck(live, context.now()):
        message = (
            f"Job {where}, which brings the database up to date for {managed.image}, has had no running container for "
            f"minutes.{goes_on} `kubectl -n {meta['namespace']} describe pods -l job-name={meta['name']}` tells "
            "why: correct the image, or where the pods may run."
        )
        return Blocked(ConditionType.DATABASE_READY, "MigrationNotStarting", message, stalled=True, serving=serving)
    return Blocked(ConditionType.DATABASE_READY, "Migrating", waits, stalled=False, serving=serving)


def is_stuck(job: Mapping[str, Any], now: datetime) -> bool:
    """True if a Job has had time enough and none of its containers runs."""
    status = job.get("status") or {}
    if status.get("ready") or not (started := status.get("startTime")):
        return False
    return (now - datetime.fromisoformat(started)).total_seconds() > intervals.MIGRATION_START_LIMIT


async def drop_stuck(context: Context, route: LiteLLMRoute, migration: str) -> None:
    """Delete the migration Jobs that are no longer wanted and run nothing, such as one whose image doesn't exist.

    One that runs is never stopped half-way, and one that has ended is deleted by Kubernetes.
    """
    wanted = names.route_migration(route.metadata.name, migration)
    for body in context.cache.owned_by(route.metadata.namespace, route.metadata.uid):
        meta, status = body["metadata"], body.get("status") or {}
        if body["kind"] != JOB.kind or meta["name"] == wanted or "deletionTimestamp" in meta:
            continue
        if status.get("active") and not status.get("ready"):
            await context.kube.delete(JOB, meta["namespace"], meta["name"], uid=meta["uid"])


def _ended(job: Mapping[str, Any], how: str) -> str:
    """The reason of a Job's end of that kind, or an empty string."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition["type"] == how and condition["status"] == "True":
            return str(condition.get("reason") or how)
    return ""
