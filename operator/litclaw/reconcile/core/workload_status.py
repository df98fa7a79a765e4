"""Whether the pods of a workload of ours are available, and else why not.

Pods aren't watched: they are listed, by the workload's selector, where it isn't available. docs/design/workload-failures.md
has the reason.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from litclaw.kube.cache import owner_of
from litclaw.kube.errors import InvalidError
from litclaw.kube.objects import condition_of
from litclaw.kube.resources import DEPLOYMENT, EVENT, JOB, POD
from litclaw.net.backoff import jittered
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.cluster import Cluster
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.core.crash_log import last_lines
from litclaw.reconcile.core.pod_failure import Failure, creation_failure, pod_failure

ENDED = ("Failed", "Succeeded")
"""Phases of pods that run no more and stay: nothing restarts them."""


async def require_available(
    cluster: Cluster, deployment: Mapping[str, Any], condition: ConditionType, waits: str
) -> None:
    """Check that at least one pod is ready.

    Args:
        deployment: as it is in the cluster.
        condition: the condition that depends on it.
        waits: the message while the pods start.

    Raises:
        Blocked: none is ready yet, or none becomes ready.
    """
    if (deployment.get("status") or {}).get("readyReplicas"):
        return
    retry = _next_look(cluster, deployment)
    if failure := await workload_failure(cluster, deployment):
        raise Blocked(condition, failure.reason, failure.message, stalled=failure.stalled, retry=retry)
    progress = condition_of(deployment, "Progressing")
    if progress.get("status") == "False":
        meta = deployment["metadata"]
        message = (
            f"The pods of Deployment {meta['namespace']}/{meta['name']} don't get ready ({progress['reason']}): `kubectl -n "
            f"{meta['namespace']} describe pods -l {labels_of(deployment)}` and their logs tell why."
        )
        raise Blocked(condition, "DeploymentFailed", message, stalled=True, retry=retry)
    raise Blocked(condition, "Starting", waits, stalled=False, retry=retry)


async def rollout_failure(cluster: Cluster, deployment: Mapping[str, Any]) -> Failure | None:
    """Why the new pods of a Deployment don't run while those from before serve; None: they do, or nothing is known yet."""
    return None if is_rolled_out(deployment) else await workload_failure(cluster, deployment)


def is_rolled_out(deployment: Mapping[str, Any]) -> bool:
    """True if the controller has seen the Deployment as it is, and all pods that don't end already are of that template.

    A Deployment of no pods is rolled out when there is none.
    """
    status = deployment.get("status") or {}
    if status.get("observedGeneration") != deployment["metadata"].get("generation"):
        return False
    pods = status.get("replicas", 0)
    if not pods:
        return bool(deployment["spec"].get("replicas") == 0)
    return bool(status.get("updatedReplicas", 0) == status.get("readyReplicas", 0) == pods)


async def workload_failure(cluster: Cluster, workload: Mapping[str, Any]) -> Failure | None:
    """Why a Deployment, StatefulSet or Job has no running pod; None: it starts, or nothing is known yet."""
    where = f"{workload['kind']} {workload['metadata']['namespace']}/{workload['metadata']['name']}"
    refused = condition_of(workload, "ReplicaFailure")
    if refused.get("status") == "True":
        return creation_failure(where, refused.get("message", ""))
    if 0 <= _age(cluster, workload) < intervals.FIRST_LOOK:
        return None
    try:
        pods = await pods_of(cluster, workload)
        for pod in pods:
            if workload["kind"] != JOB.kind and (pod.get("status") or {}).get("phase") in ENDED:
                continue  # such as one that its node has evicted; another has taken its place
            if failure := pod_failure(pod, cluster.now()):
                return await _with_log(cluster, pod, failure)
        if not pods and workload["kind"] != DEPLOYMENT.kind and (why := await _refusal(cluster, workload)):
            return creation_failure(where, why)
    except InvalidError:
        return None  # an installation without the permission goes without the cause
    return None


async def _with_log(cluster: Cluster, pod: Mapping[str, Any], failure: Failure) -> Failure:
    """The failure, with the last lines of a crashed container's log where the installation allows reading it."""
    if not (failure.crashed and cluster.crash_logs):
        return failure
    lines = await last_lines(cluster, pod, failure.crashed, previous=failure.restarted)
    return replace(failure, message=f"{failure.message} Its last lines: {lines}") if lines else failure


async def pods_of(cluster: Cluster, workload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pods of a workload, those that are about to end too. A pod that only has its labels isn't one.

    Raises:
        KubeError: they can't be listed.
    """
    meta = workload["metadata"]
    if not (labels := labels_of(workload)):
        return []
    return await cluster.kube.select(POD, meta["namespace"], labels=labels, wanted=lambda pod: _belongs(pod, workload))


def labels_of(workload: Mapping[str, Any]) -> str:
    """The label selector of a workload's pods."""
    selector = (workload["spec"].get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{name}={value}" for name, value in sorted(selector.items()))


def _belongs(pod: Mapping[str, Any], workload: Mapping[str, Any]) -> bool:
    owner = owner_of(pod["metadata"])
    if owner is None:
        return False
    if workload["kind"] == DEPLOYMENT.kind:
        template = (pod["metadata"].get("labels") or {}).get("pod-template-hash")
        return (owner.kind, owner.name) == ("ReplicaSet", f"{workload['metadata']['name']}-{template}")
    return bool(owner.uid == workload["metadata"]["uid"])


async def _refusal(cluster: Cluster, workload: Mapping[str, Any]) -> str:
    """Why the pods of a Job or StatefulSet are refused: their controllers say so in an event, and not in the status."""
    meta = workload["metadata"]
    fields = f"involvedObject.uid={meta['uid']},reason=FailedCreate,type=Warning"
    events = await cluster.kube.select(EVENT, meta["namespace"], fields=fields)
    seen = {
        str(each.get("lastTimestamp") or each.get("eventTime") or ""): str(each.get("message") or "") for each in events
    }
    last = max(seen, default="")
    return seen[last] if last and cluster.seconds_since(last) < intervals.REFUSAL_FORGOTTEN else ""


def _age(cluster: Cluster, workload: Mapping[str, Any]) -> float:
    """Seconds since the workload was available."""
    meta = workload["metadata"]
    since = condition_of(workload, "Available").get("lastTransitionTime") or meta.get("creationTimestamp")
    return cluster.seconds_since(since) if since else 0.0


def _next_look(cluster: Cluster, workload: Mapping[str, Any]) -> float:
    """Seconds until a workload that isn't available is looked at again: what doesn't start for long is looked at less often."""
    return jittered(min(max(_age(cluster, workload) / 2, intervals.FIRST_LOOK), intervals.LAST_LOOK))
