"""The rotation of a managed route's master key: when it is refused, and how it ends."""

import base64
from typing import Any

import pytest
from litclaw.api import names
from litclaw.kube.resources import SECRET
from litclaw.reconcile.proxy.session import Credentials
from litclaw.reconcile.rotation.run import RotationRun
from litclaw.reconcile.route.master_key import (
    finish_master_key_rotation,
    is_master_key_older,
    master_key_before,
    remembered_master_key,
    rotate_master_key_if_due,
)
from litclaw.render.route.secret import generated_secret
from pydantic import SecretStr

from .routes import managed_route
from .scenes import Body, Scene

NEVER_SALTED = {"metadata": {"name": "main-litellm", "annotations": {"litclaw.dev/digest": "x"}}}
LABELS = {"app.kubernetes.io/instance": "main"}
META = {"name": "main-litellm", "namespace": "ai", "generation": 1, "annotations": {"litclaw.dev/salt": "x"}}
TEMPLATE = {"metadata": {"annotations": {names.ANNOTATION_SECRETS: "new"}}}
SALTED = {"kind": "Deployment", "metadata": META, "spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}}
ROLLED_OUT = {**SALTED, "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}}
ROLLING_OUT = {**SALTED, "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 1, "readyReplicas": 3}}
OLD = "sk-the-master-key-from-before"
ROUTE, MANAGED = managed_route()


def pod(digest: str, **status: str) -> Body:
    """A pod of the proxy, by the digest of its Secrets."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "main-litellm-1", "uid": "rs", "controller": True}
    labels = {**LABELS, "pod-template-hash": "1"}
    meta = {"name": f"main-litellm-1-{digest}", "namespace": "ai", "uid": digest, "resourceVersion": "1"}
    annotations = {names.ANNOTATION_SECRETS: digest}
    return {
        "kind": "Pod",
        "metadata": {**meta, "labels": labels, "annotations": annotations, "ownerReferences": [owner]},
        "status": status,
    }


def begin(scene: Scene) -> RotationRun:
    """Begin a rotation of the route's master key."""
    run = RotationRun(
        ("LiteLLMKeyRotation", "", "all"),
        not_before=scene.clock(),
        grace=0,
        limit=1,
        stop=0,
        enqueue=lambda request: None,
        monotonic=scene.clock.monotonic,
    )
    run.plan({ROUTE.metadata.uid: ("LiteLLMRoute", "ai", "main")}, {}, suspended=False)
    scene.context.runs["all"] = run
    return run


def secret(data: dict[str, str], created: str | None) -> Body:
    """The Secret with the master key."""
    annotations = {names.ANNOTATION_MADE: created} if created else {}
    body = generated_secret(ROUTE, names.route_master_key("main"), "master-key", data, annotations)
    return {**body, "metadata": {**body["metadata"], "uid": "s", "resourceVersion": "1"}}


def scene_with(data: dict[str, str], created: str | None) -> Scene:
    """A scene with the route and that Secret."""
    meta = {"namespace": "ai", "name": "main", "uid": ROUTE.metadata.uid, "resourceVersion": "1"}
    spec: Body = {"managed": {"database": {"embedded": {}}}}
    return Scene({"kind": "LiteLLMRoute", "metadata": meta, "spec": spec}, secret(data, created))


def values(scene: Scene) -> dict[str, str]:
    """What is in the Secret."""
    data = scene.kube.objects[SECRET.kind, "ai", names.route_master_key("main")]["data"]
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


@pytest.mark.parametrize("created", [None, "", "soon", "2026-11-24T09:00:00", "2026-11-24T09:00:00+99:99"])
async def test_an_annotation_that_is_no_moment_stands_for_an_old_key(created: str | None) -> None:
    scene = scene_with({names.MASTER_KEY: OLD}, created)
    run = begin(scene)
    assert is_master_key_older(scene.context, next(scene.cache.all("LiteLLMRoute")), run.not_before)
    await rotate_master_key_if_due(scene.context, ROUTE, MANAGED, SALTED)
    assert values(scene)[names.MASTER_KEY_BEFORE] == OLD


@pytest.mark.parametrize(
    ("managed", "deployment", "reason"),
    [
        ({}, NEVER_SALTED, "NoSalt: the proxy has never had a salt"),
        ({"masterKeySecretRef": {"name": "own", "key": "KEY"}}, None, "NotOurs: Secret own"),
    ],
)
async def test_it_is_refused_with_the_reason(managed: dict[str, Any], deployment: Body | None, reason: str) -> None:
    scene = Scene()
    run = begin(scene)
    route, given = managed_route(managed)
    await rotate_master_key_if_due(scene.context, route, given, deployment)
    [(_, why)] = run.failures.values()
    assert why.startswith(reason) and not scene.kube.applied


async def test_the_new_key_is_beside_the_old_one_until_every_pod_knows_it() -> None:
    scene = scene_with({names.MASTER_KEY: OLD}, "2026-11-24T09:00:00+00:00")
    body = next(scene.cache.all("LiteLLMRoute"))
    await rotate_master_key_if_due(scene.context, ROUTE, MANAGED, SALTED)
    assert values(scene) == {names.MASTER_KEY: OLD}, "no rotation covers the route"
    run = begin(scene)
    await rotate_master_key_if_due(scene.context, ROUTE, MANAGED, SALTED)
    new = values(scene)[names.MASTER_KEY]
    assert new != OLD and values(scene)[names.MASTER_KEY_BEFORE] == OLD
    before = await master_key_before(scene.context, ROUTE, MANAGED)
    assert before and before.get_secret_value() == OLD
    await rotate_master_key_if_due(scene.context, ROUTE, MANAGED, SALTED)
    await finish_master_key_rotation(scene.context, ROUTE, ROLLING_OUT)
    assert values(scene) == {names.MASTER_KEY: new, names.MASTER_KEY_BEFORE: OLD} and run.in_progress == 1
    assert is_master_key_older(scene.context, body, run.not_before)
    for each in (pod("new"), pod("old", phase="Running"), pod("evicted", phase="Failed")):
        scene.put(each)
    await finish_master_key_rotation(scene.context, ROUTE, ROLLED_OUT)
    assert values(scene)[names.MASTER_KEY_BEFORE] == OLD, "the Deployment doesn't count a pod that ends, but it answers"
    assert ("LiteLLMRoute", "ai", "main") in scene.enqueued
    del scene.kube.objects["Pod", "ai", "main-litellm-1-old"]
    await finish_master_key_rotation(scene.context, ROUTE, ROLLED_OUT)
    assert values(scene) == {names.MASTER_KEY: new} and run.in_progress == 0 and not run.failures
    assert not is_master_key_older(scene.context, body, run.not_before)
    assert await master_key_before(scene.context, ROUTE, MANAGED) is None


@pytest.mark.parametrize("created", [None, "yesterday"])
async def test_it_ends_also_where_somebody_has_removed_the_annotation_with_the_creation_time(
    created: str | None,
) -> None:
    scene = scene_with({names.MASTER_KEY: "sk-the-new-master-key", names.MASTER_KEY_BEFORE: OLD}, created)
    run = begin(scene)
    await finish_master_key_rotation(scene.context, ROUTE, ROLLED_OUT)
    assert values(scene) == {names.MASTER_KEY: "sk-the-new-master-key"}
    if created is None:
        assert run.in_progress == 0, "the key counts as created now"


async def test_a_proxy_without_pods_has_its_rotation_behind_it() -> None:
    scene = scene_with({names.MASTER_KEY: "sk-the-new-master-key", names.MASTER_KEY_BEFORE: OLD}, None)
    run = begin(scene)
    none: Body = {**SALTED, "spec": {**SALTED["spec"], "replicas": 0}, "status": {"observedGeneration": 1}}
    await finish_master_key_rotation(scene.context, ROUTE, none)
    assert values(scene) == {names.MASTER_KEY: "sk-the-new-master-key"} and run.in_progress == 0


async def test_a_key_that_its_owner_has_changed_is_known_until_the_last_old_pod_is_gone() -> None:
    scene = Scene()
    scene.context.routes["ai", "main"] = scene.connection
    former = scene.session.credentials.master_key
    assert await remembered_master_key(scene.context, ROUTE, former, ROLLED_OUT) is None, "it hasn't changed"

    new = SecretStr("sk-the-key-that-its-owner-has-put-there")
    assert await remembered_master_key(scene.context, ROUTE, new, ROLLING_OUT) == former
    scene.session.reconnect(Credentials(scene.session.url, new, master_key_before=former))
    assert await remembered_master_key(scene.context, ROUTE, new, ROLLING_OUT) == former
    scene.put(pod("old"))
    assert await remembered_master_key(scene.context, ROUTE, new, ROLLED_OUT) == former
    del scene.kube.objects["Pod", "ai", "main-litellm-1-old"]
    assert await remembered_master_key(scene.context, ROUTE, new, ROLLED_OUT) is None
