"""A gateway's objects where somebody else has changed them: its token, and its volume."""

from typing import Any

import pytest
from litclaw.kube.cache import Cache
from litclaw.kube.resources import DEPLOYMENT, SECRET, VOLUME_CLAIM
from litclaw.reconcile.agent.gateway import deploy_gateway
from litclaw.reconcile.agent.reconcile import REQUIRED_CONDITIONS_WITH_GATEWAY
from litclaw.reconcile.core.conditions import Blocked, Conditions
from litclaw.render.agent.configmap import agent_configmap
from litclaw.render.proxy_peer import ANYWHERE

from .scenes import Body, Scene, agent_of


async def deploy(scene: Scene, **gateway: Any) -> Blocked:
    """One pass; the pod isn't ready."""
    agent = agent_of(gateway=gateway)
    configmap = agent_configmap(agent, "{}")
    with pytest.raises(Blocked) as blocked:
        await deploy_gateway(scene.context, agent, configmap, ANYWHERE, Conditions(REQUIRED_CONDITIONS_WITH_GATEWAY))
    return blocked.value


def template(scene: Scene) -> Body:
    """The annotations of the gateway's pods."""
    deployment = scene.kube.objects[DEPLOYMENT.kind, "n", "a-openclaw"]
    annotations: Body = deployment["spec"]["template"]["metadata"]["annotations"]
    return annotations


def storage(scene: Scene) -> str:
    """The size that the claim asks for."""
    claim = scene.kube.objects[VOLUME_CLAIM.kind, "n", "a-openclaw"]
    size: str = claim["spec"]["resources"]["requests"]["storage"]
    return size


async def test_a_new_token_reaches_the_pod() -> None:
    scene = Scene()
    await deploy(scene)
    first = template(scene)
    await deploy(scene)
    assert template(scene) == first, "the same token, the same pod"
    secret = scene.kube.objects.pop((SECRET.kind, "n", "a-gateway"))
    scene.cache.remove(secret)
    await deploy(scene)
    assert template(scene) != first


def grow(scene: Scene, size: str) -> None:
    """Somebody lets the volume grow."""
    claim = scene.kube.objects[VOLUME_CLAIM.kind, "n", "a-openclaw"]
    meta = {**claim["metadata"], "resourceVersion": str(int(claim["metadata"]["resourceVersion"]) + 500)}
    scene.put({**claim, "metadata": meta, "spec": {**claim["spec"], "resources": {"requests": {"storage": size}}}})


async def test_a_volume_that_somebody_has_grown_stays_as_large() -> None:
    scene = Scene()
    await deploy(scene, storage="10Gi")
    grow(scene, "20Gi")
    await deploy(scene, storage="10Gi")
    assert storage(scene) == "20Gi"
    await deploy(scene, storage="30Gi")
    assert storage(scene) == "30Gi"


async def test_a_volume_that_cannot_grow_is_a_condition_and_the_rest_goes_on() -> None:
    scene = Scene()
    await deploy(scene, storage="10Gi")
    deployment = scene.kube.objects[DEPLOYMENT.kind, "n", "a-openclaw"]
    meta = {**deployment["metadata"], "resourceVersion": "2000"}
    scene.put({**deployment, "metadata": meta, "status": {"readyReplicas": 1}})
    scene.kube.refuses[VOLUME_CLAIM.kind] = "only dynamically provisioned pvc can be resized"
    blocked = await deploy(scene, storage="20Gi", image="example.com/openclaw:2")
    assert blocked.reason == "Refused" and blocked.stalled
    assert "can be resized. The gateway goes on with 10Gi: set spec.gateway.storage to that" in blocked.message
    deployment = scene.kube.objects[DEPLOYMENT.kind, "n", "a-openclaw"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/openclaw:2"


async def test_without_a_volume_there_is_no_gateway() -> None:
    scene = Scene()
    scene.kube.refuses[VOLUME_CLAIM.kind] = "exceeded quota"
    assert "exceeded quota" in (await deploy(scene)).message
    assert (DEPLOYMENT.kind, "n", "a-openclaw") not in scene.kube.objects


def test_an_answer_is_forgotten_with_its_object() -> None:
    cache = Cache()
    meta = {"namespace": "n", "name": "x", "uid": "u", "resourceVersion": "1"}
    owner = {"apiVersion": "litclaw.dev/v1alpha1", "kind": "OpenClawAgent", "name": "a", "uid": "o", "controller": True}
    body = {"kind": "Deployment", "metadata": {**meta, "ownerReferences": [owner]}}
    cache.store(body)
    cache.answers["u"] = "x"
    cache.remove(body)
    assert not cache.answers
