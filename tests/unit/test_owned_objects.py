"""Objects that a policy of the cluster changes while they are written, or whose name two agents want."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from litclaw.kube.errors import ConflictError
from litclaw.kube.resources import DEPLOYMENT
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.core.owned_objects import ensure
from litclaw.render.agent.configmap import agent_configmap
from litclaw.render.metadata import Manifest, owned_object

from .scenes import Body, FakeKube, Scene, agent_of


class Mirror(FakeKube):
    """A cluster whose policy replaces the registry of every image, and adds a limit."""

    registry = "mirror.example.com"

    async def apply(self, manifest: Mapping[str, Any], **options: Any) -> Body:
        """Apply a manifest as the policy has it."""
        [container] = manifest["spec"]["containers"]
        image = container["image"].replace("docker.io", self.registry)
        spec = {**manifest["spec"], "containers": [{**container, "image": image}], "limit": 1}
        return await super().apply({**manifest, "spec": spec}, **options)


def manifest(image: str = "docker.io/x:1", **spec: Any) -> Manifest:
    """Something with an image."""
    body = owned_object(agent_of(), "apps/v1", "Deployment", "x", component="gateway")
    return {**body, "spec": {"containers": [{"name": "x", "image": image}], **spec}}


async def test_what_a_policy_changes_is_applied_once() -> None:
    scene = Scene()
    kube = scene.context.kube = Mirror()  # type: ignore[assignment]
    for _ in range(5):
        found = await ensure(scene.context, manifest(), ConditionType.GATEWAY_READY)
    assert len(kube.applied) == 1 and found["spec"]["containers"][0]["image"] == "mirror.example.com/x:1"
    await ensure(scene.context, manifest("docker.io/x:2"), ConditionType.GATEWAY_READY)
    await ensure(scene.context, manifest("docker.io/x:2"), ConditionType.GATEWAY_READY)
    assert len(kube.applied) == 2, "a change of ours is applied"

    live = kube.objects[DEPLOYMENT.kind, "n", "x"]
    edited = {**live, "metadata": {**live["metadata"], "resourceVersion": "5000"}}
    scene.cache.store({**edited, "spec": {**live["spec"], "limit": 7}})
    await ensure(scene.context, manifest("docker.io/x:2"), ConditionType.GATEWAY_READY)
    assert len(kube.applied) == 2, "a field that isn't ours may change"
    containers = [{"name": "x", "image": "elsewhere.example.com/x"}]
    newer = {**edited["metadata"], "resourceVersion": "5001"}
    scene.cache.store({**edited, "metadata": newer, "spec": {**live["spec"], "containers": containers}})
    await ensure(scene.context, manifest("docker.io/x:2"), ConditionType.GATEWAY_READY)
    assert len(kube.applied) == 3, "what somebody has changed since then is put right"


async def test_of_two_agents_with_one_configmap_name_one_has_it_and_the_other_a_condition() -> None:
    scene = Scene()
    scene.kube.write_seconds = 0.01
    agents = [agent_of(name=name, uid=name, config={"configMapName": "same"}) for name in "xy"]
    wanted = [agent_configmap(agent, "{}") for agent in agents]
    done = await asyncio.gather(
        *(ensure(scene.context, each, ConditionType.CONFIG_READY, is_new=True) for each in wanted),
        return_exceptions=True,
    )
    assert isinstance(done[0], dict) and isinstance(done[1], ConflictError), done
    with pytest.raises(Blocked, match="belongs to OpenClawAgent x.*let spec.config.configMapName name another"):
        await ensure(scene.context, wanted[1], ConditionType.CONFIG_READY)
