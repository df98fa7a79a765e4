"""Our finalizer on a resource: added before anything exists that the deletion must end, removed when that has ended.

A deletion can't hang. If a proxy can't be reached, the deletion waits for a stated time, and then the finalizer is removed
with an event; the sweep ends the key when the proxy is back. The time counts from the first attempt of this process: after
an outage of the operator, the first attempt isn't the last.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from litclaw.api import names
from litclaw.kube.errors import NotFoundError
from litclaw.kube.resources import BY_KIND
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.cluster import Cluster
from litclaw.reconcile.core.events import emit_event


def _metadata_only(body: Mapping[str, Any], **meta: Any) -> dict[str, Any]:
    own = body["metadata"]
    return {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "metadata": {"name": own["name"], "namespace": own["namespace"], "uid": own["uid"], **meta},
    }


def has_finalizer(body: Mapping[str, Any]) -> bool:
    """True if our finalizer is on the resource."""
    return names.FINALIZER in body["metadata"].get("finalizers", ())


async def ensure_finalizer(cluster: Cluster, body: Mapping[str, Any]) -> None:
    """Add the finalizer where it is missing."""
    if not has_finalizer(body):
        await cluster.write(_metadata_only(body, finalizers=[names.FINALIZER]), body)


async def remove_finalizer(cluster: Cluster, body: Mapping[str, Any]) -> None:
    """Apply the resource without our finalizer, which removes it; one that somebody else added is patched away.

    Raises:
        ConflictError: the resource has changed meanwhile; the next pass reads it again.
    """
    cluster.forget_attempts(*_attempt(body))
    try:
        left = await cluster.kube.apply(_metadata_only(body))
        if has_finalizer(left):
            await cluster.kube.drop_finalizer(BY_KIND[body["kind"]], left, names.FINALIZER)
    except NotFoundError:
        return


def _attempt(body: Mapping[str, Any]) -> tuple[str, ...]:
    return (body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])


def seconds_waited(cluster: Cluster, body: Mapping[str, Any]) -> float:
    """For how long this process has tried to finish a deletion."""
    deleted = datetime.fromisoformat(body["metadata"]["deletionTimestamp"])
    return cluster.seconds_waited(deleted, _attempt(body))


async def remove_finalizer_when_late(cluster: Cluster, body: Mapping[str, Any], message: str) -> float | None:
    """Remove the finalizer of a deleted resource that has waited long enough for its proxy, with an event.

    Args:
        message: what is left at the proxy.

    Returns:
        Seconds after which to retry; None if the finalizer was removed.
    """
    waited = seconds_waited(cluster, body)
    if waited < intervals.FINALIZER_LIMIT:
        return min(intervals.FINALIZER_RETRY, intervals.FINALIZER_LIMIT - waited)
    await emit_event(cluster, body, "Warning", "KeyLeftBehind", message)
    await remove_finalizer(cluster, body)
    return None
