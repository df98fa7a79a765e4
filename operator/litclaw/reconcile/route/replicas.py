"""Leaving the number of a Deployment's pods to an autoscaler, without a moment at one pod.

With server-side apply a field that its only manager drops is gone, and the API server puts the default in: a Deployment
of five would shrink to one until the autoscaler looks again. So the number as it stands is handed to a second field
manager first. The autoscaler's own write takes it over from that one.
"""

from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.kube.resources import DEPLOYMENT
from litclaw.reconcile.context import Context

_HAND_OVER = f"{names.FIELD_MANAGER}-autoscaling"


def owns_replicas(deployment: Mapping[str, Any]) -> bool:
    """Whether it is we who say how many pods there are, by the fields' managers."""
    for entry in deployment["metadata"].get("managedFields") or []:
        if entry.get("manager") == names.FIELD_MANAGER and entry.get("operation") == "Apply":
            spec = (entry.get("fieldsV1") or {}).get("f:spec") or {}
            if "f:replicas" in spec:
                return True
    return False


async def hand_over_replicas(context: Context, deployment: Mapping[str, Any]) -> None:
    """Give the number of pods away, where it is ours."""
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
