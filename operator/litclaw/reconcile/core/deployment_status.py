"""Whether the pods of one of our Deployments are available."""

from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.reconcile.core.conditions import Blocked, ConditionType


def require_available(deployment: Mapping[str, Any], condition: ConditionType, waits: str) -> None:
    """Check that at least one pod is ready.

    Args:
        deployment: as it is in the cluster.
        condition: the condition that depends on it.
        waits: the message while the pods start.

    Raises:
        Blocked: none is ready yet, or none becomes ready.
    """
    status = deployment.get("status") or {}
    if status.get("readyReplicas"):
        return
    meta = deployment["metadata"]
    for each in status.get("conditions") or []:
        if each["type"] == "Progressing" and each["status"] == "False":
            message = (
                f"The pods of Deployment {meta['name']} don't get ready ({each['reason']}): look at `kubectl -n "
                f"{meta['namespace']} describe pods -l {names.LABEL_INSTANCE}={meta['labels'][names.LABEL_INSTANCE]}` "
                "and at their logs."
            )
            raise Blocked(condition, "DeploymentFailed", message, stalled=True)
    raise Blocked(condition, "Starting", waits, stalled=False)
