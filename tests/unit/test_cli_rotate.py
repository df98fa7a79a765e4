"""``litclaw rotate`` and ``litclaw status`` with a cluster that gives prepared responses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from litclaw.api import names
from litclaw.cli import cluster
from litclaw.cli.errors import CommandError
from litclaw.cli.rotate import agents as rotate_agents
from litclaw.cli.rotate import wait as rotate_wait
from litclaw.cli.rotate.bar import Bar, ElapsedColumn
from litclaw.cli.rotate.create import create, preview
from litclaw.cli.rotate.patience import Patience, Until
from litclaw.cli.rotate.progress import RotationProgress
from litclaw.cli.rotate.request import request_of
from litclaw.cli.rotate.wait import follow, report
from litclaw.cli.status.read import Scope, read
from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError, from_response
from litclaw.kube.resources import DEPLOYMENT, Resource
from rich.console import Console

from tests.unit.cli_resources import agent, conditions, operator

OPTIONS = ("--selector", "--route", "--what", "--grace", "--max-concurrent", "--stop-after-failures", "--name")


class Responses(Kube):
    """A cluster that always gives the same responses; of several bodies, the last one is repeated.

    Args:
        bodies: responses to `get`, in turn.
        deployments: the operator's, or the refusal to list them.
        refusal: of all other lists.
    """

    def __init__(
        self, *bodies: dict[str, Any], deployments: Sequence[Any] | KubeError = (), refusal: KubeError | None = None
    ) -> None:
        self.bodies = list(bodies)
        self.deployments = deployments
        self.refusal = refusal
        self.created: list[dict[str, Any]] = []

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any] | None:
        return self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]

    async def objects(self, resource: Resource, namespace: str | None = None, *, labels: str = "") -> list[Any]:
        found = self.deployments if resource is DEPLOYMENT else self.refusal or self.bodies
        if isinstance(found, KubeError):
            raise found
        return list(found)

    async def create(self, manifest: Mapping[str, Any], *, manager: str = "") -> dict[str, Any]:
        self.created.append(dict(manifest))
        return self.created[-1]

    def connection(self) -> cluster.LongConnection:
        async def connect(_: cluster.Target) -> Kube:
            return self

        return cluster.LongConnection(cluster.Target(), self, connect)


async def test_an_invalid_label_selector_is_status_2() -> None:
    """With the API server's message. Without a selector, the refusal is the cluster's error."""
    refusal = from_response(400, b'{"reason": "BadRequest", "message": "unable to parse requirement"}')
    scope = Scope("team-a", None, "a in (", not_ready=False, routes=True, agents=True)
    with pytest.raises(CommandError) as error:
        await read(Responses(refusal=refusal), scope)
    assert error.value.status == 2 and "'a in (' isn't a label selector: unable to parse" in error.value.message
    with pytest.raises(KubeError):
        await read(Responses(refusal=refusal), replace(scope, labels=""))


def requesting(name: str, value: str, **status: Any) -> dict[str, Any]:
    """An agent whose annotation requests a new key."""
    body = agent(**status)
    meta = {**body["metadata"], "name": name, "annotations": {names.ANNOTATION_ROTATE: value}, "generation": 2}
    return {**body, "metadata": meta}


def stalled(generation: int) -> list[dict[str, Any]]:
    """Conditions of an agent whose route doesn't exist."""
    given = conditions(Ready=("False", "RouteNotFound", "No route."), Stalled=("True", "RouteNotFound", "No route."))
    return [{**each, "observedGeneration": generation} for each in given]


async def wait_for_agents(kube: Responses, *agents: str, seconds: float | None = None) -> list[dict[str, Any]]:
    """Wait for agents of team-a, whose annotation has the value v."""
    patience = Patience(Until.ROTATED, seconds)
    return await rotate_agents.wait(kube.connection(), [("team-a", name) for name in agents], "v", patience)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses."""
    monkeypatch.setattr(rotate_agents, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(rotate_agents, "_STALLED_SECONDS", 0.0)
    monkeypatch.setattr(rotate_wait, "_POLL_SECONDS", 0.0)


@pytest.mark.usefixtures("quick")
async def test_the_wait_ends_if_an_agent_cannot_get_a_key() -> None:
    """Because it is stalled in its current generation, or its annotation was changed. A suspended agent gets a key."""
    with pytest.raises(CommandError) as error:
        await wait_for_agents(Responses(requesting("a", "v", conditions=stalled(2))), "a")
    assert error.value.status == 1 and "team-a/a: RouteNotFound: No route." in error.value.remedy
    with pytest.raises(CommandError) as error:
        await wait_for_agents(Responses(requesting("a", "other", lastHandledRotation="other")), "a")
    assert error.value.status == 1 and "has changed its annotation litclaw.dev/rotate" in error.value.remedy
    suspended = conditions(Ready=("True", "Suspended", "It is suspended."), Stalled=("False", "Suspended", ""))
    waiting, done = requesting("a", "v", conditions=suspended), requesting("a", "v", lastHandledRotation="v")
    assert await wait_for_agents(Responses(waiting, waiting, done), "a") == [done]
    # Conditions of an older generation are ignored.
    assert await wait_for_agents(Responses(requesting("a", "v", conditions=stalled(1)), done), "a") == [done]


@pytest.mark.usefixtures("quick")
async def test_the_wait_goes_on_while_one_agent_may_get_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    """An agent that has its new key may be asked for another one meanwhile."""
    stuck, waiting = requesting("a", "v", conditions=stalled(2)), requesting("b", "v")
    done, later = requesting("b", "v", lastHandledRotation="v"), requesting("b", "w", lastHandledRotation="w")
    with pytest.raises(CommandError) as error:
        await wait_for_agents(Responses(stuck, waiting, stuck, done, stuck, later), "a", "b")
    assert error.value.message.startswith("1 agent without a new key") and "team-a/b" not in error.value.remedy
    assert "team-a/b has a new key." in capsys.readouterr().err


async def test_a_stalled_agent_has_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its problem may just have been fixed, and the operator retries."""
    monkeypatch.setattr(rotate_agents, "_POLL_SECONDS", 0.0)
    done = requesting("a", "v", lastHandledRotation="v")
    assert await wait_for_agents(Responses(requesting("a", "v", conditions=stalled(2)), done), "a") == [done]


@pytest.mark.usefixtures("quick")
async def test_the_wait_ends_if_the_rotation_is_suspended() -> None:
    """The remedy resumes it. A rotation that was resumed a moment ago goes on."""
    body: dict[str, Any] = {"spec": {"suspend": True}, "status": {"phase": "Suspended", "total": 3, "rotated": 1}}
    patience = Patience(Until.COMPLETED, None)
    with pytest.raises(CommandError) as error:
        await follow(Responses(body).connection(), "r", patience)
    assert error.value.status == 1 and "r is suspended: Suspended: 1 of 3 keys rotated" in error.value.message
    assert """kubectl patch llkr r --type merge -p '{"spec":{"suspend":false}}'""" in error.value.remedy
    assert "litclaw rotate --attach r" in error.value.remedy
    completed = {"spec": {}, "status": {"phase": "Completed"}}
    running = {**body, "status": {"phase": "Running"}}
    assert await follow(Responses(running, {**body, "spec": {}}, completed).connection(), "r", patience) == completed


async def test_no_rotation_is_created_if_no_operator_watches_rotations() -> None:
    """A rotation belongs to no namespace, and an operator with --namespaces doesn't watch it."""
    request = request_of({"--all": True, **dict.fromkeys(OPTIONS)}, None)
    some, all_ = operator("--namespaces=a,b"), operator()
    body = agent(key={"hash": "0"})
    for work in (create, preview):
        kube = Responses(body, deployments=[some])
        with pytest.raises(CommandError) as error:
            await work(kube, request)
        assert error.value.status == 1 and kube.created == []
        assert "Deployment ops/litclaw" in error.value.message and "--namespaces a,b" in error.value.message
        assert "litclaw rotate team-a/scout" in error.value.remedy
    for deployments in ([some, all_], [], from_response(403, b"{}")):
        kube = Responses(body, deployments=deployments)
        await create(kube, request)
        assert len(kube.created) == 1


def test_the_progress_of_a_rotation_is_a_line() -> None:
    assert str(RotationProgress.of({})) == "Pending: 0 of 0 keys rotated"
    body = {"status": {"phase": "Retiring", "total": 3, "rotated": 2, "failed": 1, "retiring": 2}}
    body["status"]["retiringUntil"] = "2026-11-24T11:00:00Z"
    line = str(RotationProgress.of(body))
    assert line == "Retiring: 2 of 3 keys rotated, 1 failed, 2 old keys still live until 2026-11-24 11:00:00Z"


def test_a_rotation_with_failures_ends_with_their_names() -> None:
    """Without names, with the message of its condition."""
    failures = [{"agent": "team-a/x", "reason": "AliasTaken: it is."}, {"route": "ai/main", "reason": "NotOurs: no."}]
    status = {"phase": "Failed", "total": 3, "rotated": 1, "failed": 2, "failures": failures}
    with pytest.raises(CommandError) as error:
        report("r", {"status": status})
    assert error.value.status == 1 and "r has 2 failures" in error.value.message
    assert error.value.remedy.startswith("  team-a/x: AliasTaken: it is.\n  ai/main: NotOurs: no.\nFix that")
    ready = conditions(Ready=("False", "Stopped", "Too many."))
    with pytest.raises(CommandError) as error:
        report("r", {"status": {"phase": "Stopped", "failed": 1, "conditions": ready}})
    assert "and was stopped" in error.value.message and "  and 1 more" in error.value.remedy
    with pytest.raises(CommandError) as error:
        report("r", {"status": {"phase": "Failed", "conditions": ready}})
    assert error.value.remedy.startswith("  Too many.\n")


def test_the_bars_clock_runs_while_old_keys_live() -> None:
    """Rich stops its clock once all of a task is done."""
    clock = [100.0]
    bar = Bar(Console(width=80, get_time=lambda: clock[0]))
    bar.show(RotationProgress("Retiring", total=2, rotated=2, retiring=2))
    clock[0] += 75
    [task] = bar.progress.tasks
    assert ElapsedColumn().render(task).plain == "0:01:15"
    assert task.fields["more"] == "[yellow]2 old keys live[/yellow]"
