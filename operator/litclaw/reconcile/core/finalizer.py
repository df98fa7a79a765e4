"""Our finalizer on a resource: put on before anything exists that its deletion must end, let go when that has ended.

A deletion can't hang. What has to be ended at a proxy that can't be reached is waited for, for a stated time, and then
let go with an event; the sweep ends it when the proxy is back.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from litclaw.api import names
from litclaw.kube.errors import NotFoundError
from litclaw.kube.resources import BY_KIND
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import report

LET_GO_SECONDS = 120.0
"""For how long a deletion waits for a proxy that can't be reached."""
_RETRY_SECONDS = 5.0


def _frame(body: Mapping[str, Any], **meta: Any) -> dict[str, Any]:
    held = body["metadata"]
    return {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "metadata": {"name": held["name"], "namespace": held["namespace"], "uid": held["uid"], **meta},
    }


def has_finalizer(body: Mapping[str, Any]) -> bool:
    """Whether our finalizer is on the resource."""
    return names.FINALIZER in body["metadata"].get("finalizers", ())


async def hold(context: Context, body: Mapping[str, Any]) -> None:
    """Have the finalizer on the resource."""
    if not has_finalizer(body):
        await context.write(_frame(body, finalizers=[names.FINALIZER]), body)


async def remove_finalizer(context: Context, body: Mapping[str, Any]) -> None:
    """Apply the resource without our finalizer, which takes it away; one that somebody else has put on is patched away.

    Raises:
        ConflictError: it has changed meanwhile; the next pass finds it as it is.
    """
    try:
        left = await context.kube.apply(_frame(body))
        if has_finalizer(left):
            await context.kube.drop_finalizer(BY_KIND[body["kind"]], left, names.FINALIZER)
    except NotFoundError:
        return


async def remove_finalizer_when_late(context: Context, body: Mapping[str, Any], message: str) -> float | None:
    """Let a deleted resource go if it has waited long enough for its proxy, and say in an event what is left there.

    Returns:
        After how many seconds to try requeue_after, or None where it was let go.
    """
    deleted = datetime.fromisoformat(body["metadata"]["deletionTimestamp"])
    waited = (context.now() - deleted).total_seconds()
    if waited < LET_GO_SECONDS:
        return min(_RETRY_SECONDS, LET_GO_SECONDS - waited)
    await report.record(context, body, "Warning", "KeyLeftBehind", message)
    await remove_finalizer(context, body)
    return None
