"""Why a pod doesn't run, or isn't created, as the cluster tells it: pure functions over pods and messages.

docs/design/workload-failures.md lists which object has which sentence, and which of them a person must act on.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litclaw.reconcile.core import intervals

_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
_CREATION = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError")
CRASH = "CrashLoopBackOff"
_ATTEMPT = re.compile(
    r"^(\(combined from similar events\): )?(Error creating: |create Pod \S+ in StatefulSet \S+ failed error: )?"
    r'([Pp]ods? "[^"]*" is (forbidden|invalid): )?'
)
"""The part of a message that is another in each attempt to create a pod."""
_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*"(: )?(ErrImagePull: )?')
_LONGEST = 600


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a workload has no running pod.

    Attributes:
        reason: one CamelCase word, Kubernetes' own where it has one.
        message: what is wrong, where, and what to do. Nothing of it changes from one attempt of the cluster to the next.
        stalled: True if a person must act.
        crashed: the container that has crashed; empty: none has.
        restarted: True if that container runs again, or is about to.
    """

    reason: str
    message: str
    stalled: bool = True
    crashed: str = ""
    restarted: bool = False


def creation_failure(where: str, message: str) -> Failure:
    """For pods that the API server refuses: a quota, a LimitRange, Pod Security, an SCC, a webhook.

    Args:
        where: kind, namespace and name of the workload.
        message: of its controller, in a condition or an event.
    """
    why = _shortened(_ATTEMPT.sub("", message))
    return Failure(
        "FailedCreate",
        f"The pods of {where} aren't admitted: {why}. Correct what refuses them (a quota, a LimitRange, a policy), or the "
        "pod's settings in the resource.",
    )


def pod_failure(pod: Mapping[str, Any], now: datetime) -> Failure | None:
    """Why a pod doesn't get ready; None if it is ready, is about to end, or still starts."""
    status = pod.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    if "deletionTimestamp" in pod["metadata"] or conditions.get("Ready", {}).get("status") == "True":
        return None
    where = f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"
    for container in _containers(status):
        if failure := _container_failure(where, pod, container, now):
            return failure
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        message = (
            f"No node takes {where}: {_shortened(scheduled.get('message', ''))}. Add or free a node, or correct the "
            "resources, the storage, or where the pods may run."
        )
        # An autoscaler adds a node within minutes.
        stalled = not 0 <= _age(scheduled.get("lastTransitionTime"), now) < intervals.NODE_ADDED
        return Failure("Unschedulable", message, stalled)
    return None


def _containers(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _container_failure(
    where: str, pod: Mapping[str, Any], container: Mapping[str, Any], now: datetime
) -> Failure | None:
    name = container["name"]
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason, why = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _IMAGE:
        # The reason alternates with each attempt, and older kubelets give the cause in every other one only.
        cause = _shortened(_BACK_OFF.sub("", why)) or reason
        message = (
            f"The image {container.get('image')!r} of container {name} can't be pulled ({where}): {cause}. Correct the image "
            "or imagePullSecrets, or let the nodes reach the registry."
        )
        return Failure("ImagePullBackOff", message)
    if reason in _CREATION:
        message = (
            f"Container {name} of {where} can't be started: {_shortened(why) or reason}. Correct what it names in the "
            "resource, or create it."
        )
        return Failure(reason, message)
    ended = _ended(container)
    crashed = ended and _age(ended.get("finishedAt"), now) < intervals.CRASH_FORGOTTEN
    if ended and not container.get("ready") and (reason == CRASH or crashed):
        meta = pod["metadata"]
        restarted = "terminated" not in (container.get("state") or {})
        previous = " --previous" if restarted else ""
        remedy = f"`kubectl -n {meta['namespace']} logs {meta['name']} -c {name}{previous}` tells why."
        if ended.get("reason") == "OOMKilled":
            remedy = "It needs more memory: raise its limit in resources."
        message = f"Container {name} of {where} ends with {_exit(ended)}: {remedy}"
        return Failure(CRASH, message, crashed=name, restarted=restarted)
    return None


def _ended(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The last end of a container that was a failure."""
    for state in (container.get("state"), container.get("lastState")):
        ended: Mapping[str, Any] | None = (state or {}).get("terminated")
        if ended and (ended.get("exitCode") or ended.get("reason") == "OOMKilled"):
            return ended
    return None


def _exit(ended: Mapping[str, Any]) -> str:
    reason = ended.get("reason")
    more = f" ({reason})" if reason and reason != "Error" else ""
    return f"exit code {ended.get('exitCode')}{more}"


def _age(moment: str | None, now: datetime) -> float:
    return (now - datetime.fromisoformat(moment)).total_seconds() if moment else 0.0


def _shortened(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
