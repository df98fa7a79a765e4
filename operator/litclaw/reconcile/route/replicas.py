"""Leaving the number of a Deployment's pods to an autoscaler, without a moment at one pod.

With server-side apply, a field that its only manager drops is removed, and the API server sets the default: a Deployment
of five pods would shrink to one until the autoscaler's next cycle. So the current number is handed to a second field manager
first. The autoscaler's own write takes it over from that one.
"""

from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.kube.resources import DEPLOYMENT
from litclaw.reconcile.context import Context

_HAND_OVER = f"{names.FIELD_MANAGER}-autoscaling"


def owns_replicas(deployment: Mapping[str, Any]) -> bool:
    """True if we own the number of pods, by the managed fields."""
    for entry in deployment["metadata"].get("managedFields") or []:
        if entry.get("manager") == names.FIELD_MANAGER and entry.get("operation") == "Apply":
            spec = (entry.get("fieldsV1") or {}).get("f:spec") or {}
            if "f:replicas" in spec:
                return True
    return False


async def hand_over_replicas(context: Context, deployment: Mapping[str, Any]) -> None:
    """Hand the number of pods over, if we own it."""
    meta = deployment["metadata"]
    live = await context.kube.get(DEPLOYMENT, meta["namespace"], meta["name"])
    if live is None or live["metadata"]["uid"] != meta["uid"] or not owns_replicas(live):
        return
    manifest = {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
        "spec": {"replicas": live["spec"]["replicas"]},
    }
    await context.kube.apply(manifest, manager=_HAND_OVER)
