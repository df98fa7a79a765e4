"""The migration of a managed route's database: once, by a Job, before the proxy's pods get a new image or database.

What has been migrated is written on the pods' template, not kept in the Job, which goes after a while. Until the Job has
succeeded the Deployment stays as it is, so that a failed migration takes nothing down.
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
from litclaw.reconcile.core import secret_values as secrets
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.core.owned_objects import check_ours, look, put
from litclaw.reconcile.route.secrets import RouteSecrets
from litclaw.render.metadata import sealed
from litclaw.render.route.migration_job import KEPT_SECONDS, route_migration_job

DATABASE_READY = "DatabaseReady"
_REPLACED_SECONDS = 2.0
_FAILED_SECONDS = 30.0
_START_SECONDS = 300.0


def migration_digest(route: LiteLLMRoute, managed: Managed, held: RouteSecrets) -> str:
    """A digest of what a migration depends on: the image, the database, and how LiteLLM connects to it."""
    connection = {k: v for k, v in route.spec.general_settings.items() if k.startswith("database_")}
    text = json.dumps([managed.image, connection], sort_keys=True)
    return secrets.keyed_digest(held.salt, {"how": SecretStr(text), "where": held.database_url})


def is_migrated(deployment: Mapping[str, Any] | None, migration: str) -> bool:
    """Whether the proxy's pods run, or are about to, on a database that is up to date for them."""
    if deployment is None:
        return False
    annotations = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    return bool(annotations.get(names.ANNOTATION_MIGRATED) == migration)


async def migrate(
    context: Context, route: LiteLLMRoute, managed: Managed, migration: str, *, serving: bool
) -> Blocked | None:
    """Have the migration's Job there, and look at how it goes.

    Args:
        serving: whether a proxy serves meanwhile.

    Returns:
        Why the pods can't change yet, or None.

    Raises:
        Blocked: something else has the Job's name.
    """
    wanted = route_migration_job(route, managed, migration)
    meta = wanted["metadata"]
    where = f"{meta['namespace']}/{meta['name']}"
    live = await look(context, JOB.kind, meta["namespace"], meta["name"])
    check_ours(live, wanted, DATABASE_READY)
    goes_on = " What ran before goes on." if serving else ""
    waits = f"Waits for Job {where}, which brings the database up to date for {managed.image}.{goes_on}"
    if live is None:
        await put(context, wanted, None, DATABASE_READY)
        return Blocked(DATABASE_READY, "Migrating", waits, stalled=False, serving=serving)
    if _ended(live, "Complete"):
        return None
    if digest_of(live) != digest_of(sealed(wanted)):
        # A Job's pods can't be changed: what was mended, such as a node selector, needs another Job.
        await context.kube.delete(JOB, meta["namespace"], meta["name"], uid=live["metadata"]["uid"])
        return Blocked(DATABASE_READY, "Migrating", waits, stalled=False, retry=_REPLACED_SECONDS, serving=serving)
    if failed := _ended(live, "Failed"):
        message = (
            f"Job {where}, which brings the database up to date for {managed.image}, has failed "
            f"({failed}).{goes_on} `kubectl -n {meta['namespace']} logs job/{meta['name']}` says why: mend the "
            f"database or the image. It is tried again by itself after {KEPT_SECONDS // 60} minutes."
        )
        return Blocked(DATABASE_READY, "MigrationFailed", message, stalled=True, retry=_FAILED_SECONDS, serving=serving)
    if is_stuck(live, context.now()):
        message = (
            f"Job {where}, which brings the database up to date for {managed.image}, has had no running container for "
            f"minutes.{goes_on} `kubectl -n {meta['namespace']} describe pods -l job-name={meta['name']}` says why: "
            "mend the image, or where the pods may run."
        )
        return Blocked(DATABASE_READY, "MigrationNotStarting", message, stalled=True, serving=serving)
    return Blocked(DATABASE_READY, "Migrating", waits, stalled=False, serving=serving)


def is_stuck(job: Mapping[str, Any], now: datetime) -> bool:
    """Whether a Job has had time enough and none of its containers runs."""
    status = job.get("status") or {}
    if status.get("ready") or not (started := status.get("startTime")):
        return False
    return (now - datetime.fromisoformat(started)).total_seconds() > _START_SECONDS


async def drop_stuck(context: Context, route: LiteLLMRoute, migration: str) -> None:
    """End the migrations that aren't wanted any more and have nothing running, such as one whose image isn't there.

    One that runs is never stopped half-way, and one that has ended goes by itself.
    """
    wanted = names.route_migration(route.metadata.name, migration)
    for body in context.cache.children(route.metadata.uid):
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
