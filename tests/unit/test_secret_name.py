"""An agent's Secret gets another name: nobody who has its key is refused meanwhile."""

import base64

import pytest
from litclaw.kube.errors import UnavailableError
from litclaw.kube.resources import AGENT, SECRET
from litclaw.reconcile.agent.reconcile import reconcile_agent
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.keys.ensure import ensure_key

from .scenes import Body, Scene, agent_body, agent_of, route_body


@pytest.fixture
async def scene() -> Scene:
    """An agent that is ready, with its key in the Secret ``a-litellm``."""
    found = Scene(route_body(), agent_body())
    await reconcile_agent(found.context, "n", "a")
    assert list(secrets(found)) == ["a-litellm"]
    return found


def secrets(scene: Scene) -> dict[str, str]:
    """The key in each Secret."""
    found = {name: body["data"] for (kind, _, name), body in scene.kube.objects.items() if kind == SECRET.kind}
    return {name: base64.b64decode(data["LITELLM_API_KEY"]).decode() for name, data in found.items()}


def renamed(scene: Scene, name: str) -> None:
    scene.edit(AGENT.kind, "a", key={"secretName": name})


def body(scene: Scene) -> Body:
    found = scene.cache.get(AGENT.kind, "n", "a")
    assert found
    return found


async def test_the_same_key_is_in_the_new_one_and_the_former_one_goes_afterwards(scene: Scene) -> None:
    before, keys = secrets(scene)["a-litellm"], dict(scene.proxy.rows)
    renamed(scene, "mine")
    await reconcile_agent(scene.context, "n", "a")
    assert secrets(scene) == {"mine": before} and scene.proxy.rows == keys
    assert body(scene)["status"]["secretName"] == "mine"
    applied = len(scene.kube.applied)
    await reconcile_agent(scene.context, "n", "a")
    assert len(scene.kube.applied) == applied and scene.proxy.rows == keys


async def test_a_process_that_has_not_seen_the_former_one_finds_it_by_the_status(scene: Scene) -> None:
    before = secrets(scene)["a-litellm"]
    scene.cache.remove(scene.kube.objects[SECRET.kind, "n", "a-litellm"])
    renamed(scene, "mine")
    await reconcile_agent(scene.context, "n", "a")
    assert secrets(scene)["mine"] == before and len(scene.proxy.rows) == 1


async def test_a_write_whose_outcome_is_unknown_costs_nobody_the_key(scene: Scene) -> None:
    before, keys = secrets(scene)["a-litellm"], dict(scene.proxy.rows)
    renamed(scene, "mine")
    scene.kube.gives_up.add(SECRET.kind)
    with pytest.raises(UnavailableError):
        await reconcile_agent(scene.context, "n", "a")
    assert secrets(scene) == {"a-litellm": before}
    await reconcile_agent(scene.context, "n", "a")
    assert secrets(scene) == {"mine": before} and scene.proxy.rows == keys


async def test_a_name_that_is_taken_or_refused_leaves_everything_as_it_was(scene: Scene) -> None:
    before, keys = secrets(scene), dict(scene.proxy.rows)
    scene.kube.refuses[SECRET.kind] = "exceeded quota: none, requested: count/secrets=1"
    renamed(scene, "mine")
    await reconcile_agent(scene.context, "n", "a")
    assert secrets(scene) == before and scene.proxy.rows == keys
    del scene.kube.refuses[SECRET.kind]
    meta = {"namespace": "n", "name": "mine", "uid": "other", "resourceVersion": "1"}
    scene.kube.objects[SECRET.kind, "n", "mine"] = {
        "kind": SECRET.kind,
        "metadata": meta,
        "data": {"LITELLM_API_KEY": ""},
    }
    await reconcile_agent(scene.context, "n", "a")
    assert secrets(scene) == {**before, "mine": ""} and scene.proxy.rows == keys


async def test_a_status_cannot_name_a_secret_of_somebody_else(scene: Scene) -> None:
    meta = {"namespace": "n", "name": "theirs", "uid": "theirs", "resourceVersion": "1"}
    theirs = {**scene.kube.objects[SECRET.kind, "n", "a-litellm"], "metadata": meta}
    scene.kube.objects = {(SECRET.kind, "n", "theirs"): theirs}
    scene.cache.prune(SECRET.kind, set(), 10_000)
    agent = agent_of(key={"secretName": "mine"}, status={**body(scene)["status"], "secretName": "theirs"})
    await ensure_key(scene.context, agent, scene.access())
    assert secrets(scene)["mine"] != secrets(scene)["theirs"]


async def test_a_former_one_whose_key_is_gone_is_not_delivered_again(scene: Scene) -> None:
    before = secrets(scene)["a-litellm"]
    [token] = scene.proxy.rows
    del scene.proxy.rows[token]
    scene.session.table.drop([token])
    renamed(scene, "mine")
    await reconcile_agent(scene.context, "n", "a")
    assert list(secrets(scene)) == ["mine"] and secrets(scene)["mine"] != before and len(scene.proxy.rows) == 1


async def test_a_key_that_somebody_has_blocked_stays_blocked(scene: Scene) -> None:
    [token] = scene.proxy.rows
    scene.proxy.rows[token]["blocked"] = True
    await scene.read()
    renamed(scene, "mine")
    with pytest.raises(Blocked, match="KeyBlocked"):
        await ensure_key(
            scene.context, agent_of(key={"secretName": "mine"}, status=body(scene)["status"]), scene.access()
        )
    assert list(secrets(scene)) == ["a-litellm"]
