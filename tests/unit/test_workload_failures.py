"""Why pods don't run: found where the cluster has the sentence, and said with what to do."""

from collections.abc import Mapping
from typing import Any

import pytest
from litclaw.kube.errors import InvalidError
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.core.pod_failure import Failure, creation_failure, pod_failure
from litclaw.reconcile.core.workload_status import require_available, rollout_failure, workload_failure
from litclaw.reconcile.route.deploy import _require_database
from litclaw.reconcile.route.migration import migrate
from litclaw.render.metadata import sealed
from litclaw.render.route.migration_job import route_migration_job

from .proxies import Clock
from .routes import managed_route
from .scenes import Body, FakeKube, Scene

CREATED = "2026-11-24T09:59:00Z"
"""A minute before the clock of `Scene`."""
LABELS = {"app.kubernetes.io/instance": "main"}
QUOTA = "exceeded quota: q, requested: limits.memory=2Gi, used: limits.memory=0, limited: limits.memory=1Gi"


def workload(kind: str = "Deployment", **status: Any) -> Body:
    """A workload that was created a minute ago and has no ready pod."""
    meta = {"namespace": "ai", "name": "main-litellm", "uid": "w", "creationTimestamp": CREATED, "generation": 1}
    meta |= {"resourceVersion": "1"}
    spec: Body = {"selector": {"matchLabels": LABELS}, "template": {"metadata": {}}}
    return {"kind": kind, "metadata": meta, "spec": spec, "status": status}


def pod(*containers: Body, owner: str = "main-litellm-abc", kind: str = "ReplicaSet", **status: Any) -> Body:
    """A pod of the workload that isn't ready."""
    reference = {"kind": kind, "name": owner, "uid": "w", "controller": True, "apiVersion": "apps/v1"}
    labels = {**LABELS, "pod-template-hash": "abc"}
    meta = {"namespace": "ai", "name": "main-litellm-abc-x", "uid": "p", "resourceVersion": "1", "labels": labels}
    meta |= {"ownerReferences": [reference]}
    return {"kind": "Pod", "metadata": meta, "status": {"containerStatuses": list(containers), **status}}


def waiting(reason: str, message: str = "") -> Body:
    """A container that waits."""
    return {"name": "litellm", "image": "x.invalid/a:1", "state": {"waiting": {"reason": reason, "message": message}}}


def crashed(finished: str = CREATED, state: str = "running", **ended: Any) -> Body:
    """A container that has crashed, and runs again, waits, or has ended for good."""
    last = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": finished, **ended}}
    states = {"running": {"running": {}}, "waiting": {"waiting": {"reason": "CrashLoopBackOff"}}, "ended": last}
    return {"name": "litellm", "ready": False, "state": states[state], "lastState": {} if state == "ended" else last}


def unschedulable(since: str) -> Body:
    """The conditions of a pod that fits no node."""
    message = "0/3 nodes are available: 3 Insufficient memory."
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": since}
    return {"conditions": [{**scheduled, "message": message}]}


def seen(found: Body) -> Failure | None:
    return pod_failure(found, Clock()())


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (f'pods "main-litellm-abc-x7k2p" is forbidden: {QUOTA}', QUOTA),
        (f'Error creating: pods "main-migrate-0-x7k2p" is forbidden: {QUOTA}', QUOTA),
        (f'create Pod main-postgres-0 in StatefulSet main-postgres failed error: pods "main-postgres-0" is forbidden: {QUOTA}', QUOTA),
        ('Pod "x-1" is invalid: spec.containers[0].resources.requests: must be less than or equal to memory limit',
         "spec.containers[0].resources.requests: must be less than or equal to memory limit"),
        ('admission webhook "policy.example.com" denied the request: no', 'admission webhook "policy.example.com" denied the request: no'),
    ],
)  # fmt: skip
def test_what_refuses_the_pods_is_said_without_what_changes_in_each_attempt(message: str, why: str) -> None:
    found = creation_failure("Deployment ai/main-litellm", message)
    assert found.reason == "FailedCreate" and found.stalled
    assert found.message.startswith(f"The pods of Deployment ai/main-litellm aren't admitted: {why}. Correct ")


def test_an_image_that_cannot_be_pulled_has_one_sentence_in_every_attempt() -> None:
    cause = 'failed to pull and unpack image "x.invalid/a:1": not found'
    first = seen(pod(waiting("ErrImagePull", cause)))
    later = seen(pod(waiting("ImagePullBackOff", f'Back-off pulling image "x.invalid/a:1": ErrImagePull: {cause}')))
    assert first == later and first and first.reason == "ImagePullBackOff" and first.stalled
    assert (
        cause in first.message and "'x.invalid/a:1'" in first.message and "pod ai/main-litellm-abc-x" in first.message
    )
    older = seen(pod(waiting("ImagePullBackOff", 'Back-off pulling image "x.invalid/a:1"')))
    assert older and "can't be pulled" in older.message


def test_a_container_that_cannot_be_started_says_what_it_lacks() -> None:
    found = seen(pod(waiting("CreateContainerConfigError", 'secret "gone" not found')))
    assert found and found.reason == "CreateContainerConfigError" and 'secret "gone" not found.' in found.message


def test_a_crash_is_a_crash_also_while_the_container_runs_again() -> None:
    found = {state: seen(pod(crashed(state=state))) for state in ("running", "waiting", "ended")}
    assert all(each and each.reason == "CrashLoopBackOff" and "exit code 1:" in each.message for each in found.values())
    running, ended = found["running"], found["ended"]
    assert running and "`kubectl -n ai logs main-litellm-abc-x -c litellm --previous`" in running.message
    assert ended and "-c litellm`" in ended.message
    memory = seen(pod(crashed(state="waiting", exitCode=137, reason="OOMKilled")))
    assert memory and "exit code 137 (OOMKilled): It needs more memory" in memory.message


def test_a_crash_of_long_ago_and_an_end_without_fault_are_none() -> None:
    assert seen(pod(crashed("2026-11-24T07:00:00Z"))) is None
    assert seen(pod(crashed(exitCode=0, reason="Completed"))) is None
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert seen(pod({**crashed(), "ready": True}, **ready)) is None


def test_no_message_of_a_container_is_repeated() -> None:
    """What a process writes to /dev/termination-log may hold a secret."""
    found = seen(pod(crashed(state="waiting", message="postgresql://u:secret@db")))
    assert found and "secret" not in found.message


def test_a_pod_that_fits_no_node_needs_a_person_when_no_autoscaler_has_helped() -> None:
    soon, late = (seen(pod(**unschedulable(since))) for since in ("2026-11-24T09:58:00Z", "2026-11-24T09:50:00Z"))
    assert soon and late and soon.message == late.message and "3 Insufficient memory" in soon.message
    assert soon.reason == "Unschedulable" and (soon.stalled, late.stalled) == (False, True)


async def why(scene: Scene, body: Body) -> Blocked:
    """Why a Deployment isn't available."""
    with pytest.raises(Blocked) as blocked:
        await require_available(scene.context, body, ConditionType.PROXY_READY, "Waits.")
    return blocked.value


async def test_a_quota_is_in_the_deployments_own_status() -> None:
    scene = Scene()
    failed = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": f'pods "x" is forbidden: {QUOTA}',
    }
    blocked = await why(scene, workload(conditions=[failed]))
    assert (blocked.reason, blocked.stalled) == ("FailedCreate", True) and QUOTA in blocked.message
    assert not scene.kube.listed, "nothing else is asked"


async def test_pods_are_listed_where_a_workload_is_not_available_and_not_before_it_can_be() -> None:
    scene = Scene(pod(waiting("ImagePullBackOff", "not found")))
    assert (await why(scene, workload())).reason == "ImagePullBackOff" and scene.kube.listed == ["Pod"]
    scene.kube.listed.clear()
    new = workload()
    new["metadata"]["creationTimestamp"] = "2026-11-24T09:59:55Z"
    blocked = await why(scene, new)
    assert (blocked.reason, blocked.stalled) == ("Starting", False) and not scene.kube.listed
    await require_available(scene.context, workload(readyReplicas=1), ConditionType.PROXY_READY, "")
    assert not scene.kube.listed


async def test_what_does_not_start_is_looked_at_again_within_a_minute() -> None:
    scene = Scene()
    for minutes, longest in ((0, 40), (60, 75)):
        scene.clock.pass_(minutes * 60)
        retry = (await why(scene, workload())).retry
        assert retry is not None and 7 < retry <= longest


async def test_a_foreign_pod_with_our_labels_says_nothing() -> None:
    scene = Scene(pod(waiting("ImagePullBackOff", "of a neighbour"), owner="other-abc"))
    assert (await why(scene, workload())).reason == "Starting"


async def test_an_evicted_pod_that_stays_says_nothing() -> None:
    scene = Scene(pod(crashed(state="ended"), phase="Failed"))
    assert (await why(scene, workload())).reason == "Starting"


async def test_without_the_permission_to_list_pods_a_workload_starts_until_its_deadline() -> None:
    class NoPods(FakeKube):
        async def select(self, *_: object, **__: object) -> list[Body]:
            raise InvalidError(403, "Forbidden", "pods is forbidden")

    scene = Scene()
    scene.context.kube = NoPods()  # type: ignore[assignment]
    assert (await why(scene, workload())).reason == "Starting"
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    blocked = await why(scene, workload(conditions=[late]))
    assert (
        blocked.reason == "DeploymentFailed" and "describe pods -l app.kubernetes.io/instance=main`" in blocked.message
    )


async def test_a_roll_out_that_is_stuck_is_reported_while_the_pods_from_before_serve() -> None:
    scene = Scene(pod(waiting("ImagePullBackOff", "not found")))
    rolling = workload(observedGeneration=1, replicas=2, updatedReplicas=1, readyReplicas=1)
    found = await rollout_failure(scene.context, rolling)
    assert found and found.reason == "ImagePullBackOff"
    done = workload(observedGeneration=1, replicas=2, updatedReplicas=2, readyReplicas=2)
    scene.kube.listed.clear()
    assert await rollout_failure(scene.context, done) is None and not scene.kube.listed


def event(message: str, last: str) -> Body:
    """An event of the workload's controller."""
    meta = {"namespace": "ai", "name": f"e-{last}", "uid": last, "resourceVersion": "1"}
    return {
        "kind": "Event",
        "metadata": meta,
        "involvedObject": {"uid": "w"},
        "message": message,
        "lastTimestamp": last,
    }


@pytest.mark.parametrize("kind", ["StatefulSet", "Job"])
async def test_a_job_and_a_statefulset_have_it_in_an_event_alone(kind: str) -> None:
    scene = Scene(event("Error creating: old", "2026-11-24T09:00:00Z"), event(f"Error creating: {QUOTA}", CREATED))
    found = await workload_failure(scene.context, workload(kind))
    assert found and found.reason == "FailedCreate" and f": {QUOTA}." in found.message
    scene.clock.pass_(3000)
    assert await workload_failure(scene.context, workload(kind)) is None, "it would have been refused again since"
    scene.clock.pass_(-3000)
    scene.put(pod(waiting("ContainerCreating"), owner="main-litellm", kind=kind))
    scene.kube.listed.clear()
    assert await workload_failure(scene.context, workload(kind)) is None
    assert scene.kube.listed == ["Pod"], "there is a pod, so events of before don't count"


async def test_postgresql_says_why_it_does_not_run() -> None:
    scene = Scene(pod(owner="main-litellm", kind="StatefulSet", **unschedulable("2026-11-24T09:50:00Z")))
    with pytest.raises(Blocked) as blocked:
        await _require_database(scene.context, [workload("StatefulSet")])
    assert blocked.value.reason == "Unschedulable" and blocked.value.condition == ConditionType.DATABASE_READY


def job(status: Mapping[str, Any], **managed: Any) -> Body:
    """The migration's Job as an earlier pass has created it."""
    body = sealed(route_migration_job(*managed_route(managed), "0" * 16))
    meta = {**body["metadata"], "uid": "w", "resourceVersion": "1", "creationTimestamp": CREATED}
    return {**body, "metadata": meta, "spec": {**body["spec"], "selector": {"matchLabels": LABELS}}, "status": status}


async def migration(scene: Scene, **managed: Any) -> Blocked:
    """One look at it."""
    found = await migrate(scene.context, *managed_route(managed), "0" * 16, serving=True)
    assert found
    return found


async def test_the_migration_says_why_its_pod_does_not_run_and_what_serves_meanwhile() -> None:
    scene = Scene(job({"active": 1, "ready": 0}), pod(waiting("ErrImagePull", "not found"), owner="j", kind="Job"))
    found = await migration(scene)
    assert (found.reason, found.stalled, found.serving) == ("ImagePullBackOff", True, True)
    assert found.message.endswith("What ran before goes on.")


async def test_a_failed_container_of_the_migration_is_tried_again_and_its_exit_code_is_reported() -> None:
    scene = Scene(job({"active": 1, "ready": 0}), pod(crashed(state="ended"), owner="j", kind="Job", phase="Failed"))
    found = await migration(scene)
    assert (found.reason, found.stalled) == ("Migrating", False) and "exit code 1" in found.message
    failed = [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]
    scene.put({**job({"conditions": failed}), "metadata": {**job({})["metadata"], "resourceVersion": "2"}})
    found = await migration(scene)
    assert (found.reason, found.stalled) == ("MigrationFailed", True)
    assert "(BackoffLimitExceeded)" in found.message and "ends with exit code 1: `kubectl -n ai logs " in found.message
    scene.kube.objects.pop(("Pod", "ai", "main-litellm-abc-x"))
    assert "`kubectl -n ai logs job/main-migrate-00000000` tells why." in (await migration(scene)).message


async def test_a_running_migration_is_not_killed_by_an_unrelated_edit() -> None:
    scene = Scene(job({"active": 1, "ready": 1}))
    found = await migration(scene, podLabels={"x": "y"})
    assert found.reason == "Migrating" and not scene.kube.deleted
    scene = Scene(job({"active": 1, "ready": 0}))
    await migration(scene, podLabels={"x": "y"})
    assert scene.kube.deleted == ["main-migrate-00000000"], "one that runs nothing is replaced"
