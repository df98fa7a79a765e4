"""What the commands refuse before they ask a cluster, how they fail without one, and how they print."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from litclaw.api import names
from litclaw.cli import cluster, output, rotate, rotate_agents, rotate_wait, status
from litclaw.cli.checks.operator import Found, check_operator
from litclaw.cli.main import app
from litclaw.cli.permissions import IN_CLUSTER, IN_NAMESPACES, LEADING
from litclaw.cli.rotate_wait import conclude, standing
from litclaw.cli.view import agent_row, health, route_row
from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError, UnavailableError, from_response
from litclaw.kube.resources import DEPLOYMENT, Resource
from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
GIVEN = ("--selector", "--route", "--what", "--grace", "--max-concurrent", "--stop-after-failures", "--name")
NOBODY = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: here, context: {cluster: here, user: me, namespace: team-a}}]
users: [{name: me, user: {token: sk-not-to-be-shown}}]
"""


@pytest.fixture
def nobody(tmp_path: Path) -> str:
    """A kubeconfig of a cluster that doesn't answer."""
    path = tmp_path / "kubeconfig"
    path.write_text(NOBODY)
    return str(path)


@pytest.mark.parametrize(
    "command", [["status"], ["doctor"], ["rotate", "--all"], ["rotate", "scout"], ["status", "--watch"]]
)
def test_a_cluster_that_is_not_there_is_status_3(command: list[str], nobody: str) -> None:
    """With where it was looked for and what to do; no traceback and no token."""
    done = CliRunner().invoke(app, [*command, "--kubeconfig", nobody])
    assert done.exit_code == 3, done.output
    assert "https://127.0.0.1:1 can't be reached" in done.output and nobody in done.output
    assert "Traceback" not in done.output and "sk-not-to-be-shown" not in done.output


@pytest.mark.parametrize("args", [["--kubeconfig", "/nowhere"], ["--context", "nope"]])
@pytest.mark.parametrize("command", [["status"], ["doctor"], ["rotate", "--all"]])
def test_a_kubeconfig_that_cannot_be_used_is_status_3(command: list[str], args: list[str], nobody: str) -> None:
    """Neither a file that isn't there nor a context that it hasn't."""
    given = args if args[0] == "--kubeconfig" else [*args, "--kubeconfig", nobody]
    done = CliRunner().invoke(app, [*command, *given])
    assert done.exit_code == 3 and "can't be used" in done.output, done.output


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["rotate"], "nothing says which keys"),
        (["rotate", "--what", "MasterKeys"], "nothing says which keys"),
        (["rotate", "--all", "-n", "team-a"], "--all means every agent"),
        (["rotate", "--all", "--grace", "soon"], "gracePeriod 'soon': must be"),
        (["rotate", "--all", "--what", "Everything"], "what.0 'Everything'"),
        (["rotate", "--all", "--timeout", "soon"], "--timeout soon isn't a length of time"),
        (["rotate", "-l", "team in (a)"], "isn't label=value"),
        (["rotate", "-l", "team!=a"], "isn't label=value"),
        (["rotate", "-l", "team=a,team=b"], "--selector names team twice"),
        (["rotate", "-l", "team=a", "-n", ""], "--namespace is empty"),
        (["rotate", "-l", "", "-n", "team-a"], "--selector is empty"),
        (["rotate", "-l", " ", "-n", "team-a"], "--selector is empty"),
        (["rotate", "-n", "team-a", "--route", ""], "--route is empty"),
        (["rotate", "--all", "--attach", ""], "--attach is empty"),
        (["rotate", "", "-n", "team-a"], "isn't [namespace/]name"),
        (["rotate", "scout", "-n", ""], "--namespace is empty"),
        (["rotate", "-l", "team=a", "--what", "MasterKeys"], "--selector is for agents"),
        (
            ["rotate", "-l", "team=a", "-n", "ai", "--what", "VirtualKeys", "--what", "MasterKeys"],
            "--namespace or --route",
        ),
        (["run", "--health", "0.0.0.0:99999"], "must be an address and a port"),
        (["rotate", "--route", "main"], "isn't namespace/name"),
        (["rotate", "scout", "--all"], "names of agents and --all exclude each other"),
        (["rotate", "scout", "--grace", "0s"], "names of agents and --grace exclude each other"),
        (["rotate", "--attach", "x", "--all"], "--attach and --all exclude each other"),
        (["rotate", "a/b/c"], "isn't [namespace/]name"),
        (["rotate", "--all", "--max-concurrent", "0"], "--max-concurrent"),
        (["status", "-A", "-n", "x"], "exclude each other"),
        (["status", "--watch", "-o", "json"], "--watch shows a table only"),
        (["status", "-o", "xml"], "xml"),
        (["render"], "--filename"),
        (["nonsense"], "nonsense"),
    ],
)
def test_what_cannot_be_meant_is_status_2(args: list[str], said: str, nobody: str) -> None:
    """Told in words, before a cluster is asked."""
    options = ["--kubeconfig", nobody] if args[0] in ("rotate", "status") else []
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*args, *options])
    assert done.exit_code == 2, done.output
    assert said in done.output and "Traceback" not in done.output


@pytest.mark.parametrize("command", ["status", "doctor", "rotate", "render"])
def test_help_says_what_the_exit_statuses_mean(command: str) -> None:
    """Where a script's author looks."""
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [command, "--help"])
    assert done.exit_code == 0 and "Exit status: 0 all is well" in done.output


@pytest.mark.parametrize("content", [None, "[1]"])
def test_the_operator_without_a_kubeconfig_is_status_3(content: str | None, tmp_path: Path) -> None:
    """In a sentence, as a process of its own: it sets up logs, and the whole process' recursion limit."""
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    program = str(Path(sys.executable).parent / "litclaw")
    env = {key: value for key, value in os.environ.items() if key != "KUBERNETES_SERVICE_HOST"}
    env |= {"KUBECONFIG": str(path), "HOME": str(tmp_path)}
    done = subprocess.run([program, "run"], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr and f"error: {path} can't be used: " in done.stderr
    assert "name a kubeconfig with $KUBECONFIG" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands_and_options(shell: str) -> None:
    """By what `--show-completion` prints, which asks litclaw itself."""
    words = {"COMP_WORDS": "litclaw ro", "COMP_CWORD": "1"}
    words |= {"_TYPER_COMPLETE_ARGS": "litclaw ro", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    runner = CliRunner(env={**words, "_LITCLAW_COMPLETE": f"complete_{shell}"})
    done = runner.invoke(app, prog_name="litclaw")
    assert "rotate" in done.stdout and "status" not in done.stdout


def test_the_shells_script_asks_litclaw() -> None:
    """As it is installed."""
    program = str(Path(sys.executable).parent / "litclaw")
    env = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run([program, "--show-completion", "bash"], env=env, capture_output=True, text=True, check=True)
    assert "_LITCLAW_COMPLETE=complete_bash" in done.stdout


def test_the_permissions_that_doctor_asks_for_are_those_of_deploy() -> None:
    """Neither one more nor one less: the operator is to have what it needs, and no more."""
    granted = set()
    for path in (ROOT / "deploy").rglob("*.yaml"):
        for body in yaml.safe_load_all(path.read_text()):
            if not body or body.get("kind") not in ("Role", "ClusterRole"):
                continue
            for rule in body["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        granted |= {(group, resource, verb) for verb in rule["verbs"]}
    assert granted == {tuple(each)[:3] for each in (*IN_NAMESPACES, *IN_CLUSTER, *LEADING)}


def agent(**status_: object) -> dict[str, object]:
    """An agent as the cluster has it."""
    return {
        "metadata": {"name": "scout", "namespace": "team-a", "generation": 1},
        "spec": {"routeRef": {"name": "main", "namespace": "ai"}},
        "status": {"observedGeneration": 1, **status_},
    }


def conditions(**given: tuple[str, str, str]) -> list[dict[str, str]]:
    """Conditions by type: status, reason, message."""
    return [{"type": name, "status": s, "reason": r, "message": m} for name, (s, r, m) in given.items()]


def test_health_is_what_the_conditions_say() -> None:
    """An agent without budget isn't well, and one that wasn't looked at isn't known."""
    ready = ("True", "Ready", "")
    assert health(agent(conditions=conditions(Ready=ready))).fine
    broken = health(agent(conditions=conditions(Ready=("False", "Gone", "Do this."), Stalled=("True", "Gone", ""))))
    assert (broken.ready, broken.stalled, broken.reason, broken.message) == (False, True, "Gone", "Do this.")
    moving = health(agent(conditions=conditions(Ready=("False", "Starting", "Waits."), Stalled=("False", "", ""))))
    assert (moving.ready, moving.stalled) == (False, False)
    spent = health(agent(conditions=conditions(Ready=ready, WithinBudget=("False", "Spent", "All spent."))))
    assert (spent.ready, spent.reason) == (False, "Spent")
    assert health({**agent(), "status": {}}).ready is None
    stale = agent(conditions=conditions(Ready=ready), observedGeneration=0)
    assert health(stale).reason == "NotSeen"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5s"), (119, "119s"), (600, "10m"), (11000, "3h3m"), (90000, "25h"), (3e5, "3d11h"), (2e6, "23d")],
)
def test_ages_have_two_units_at_the_most(seconds: float, text: str) -> None:
    """As kubectl's."""
    assert output.age(seconds) == text


def test_a_pipe_gets_whole_lines_and_a_narrow_terminal_nothing_that_is_cut() -> None:
    """A line a row in a pipe; at 80 columns every name and figure is still there."""
    row = agent_row(
        agent(
            conditions=conditions(Ready=("True", "Ready", "")),
            spend="12.50",
            budget="50.00",
            defaultModel="claude-opus-4-6",
            key={"rotatedAt": "2026-01-01T00:00:00Z", "nextRotation": "2036-01-01T00:00:00Z"},
        )
    )
    body = agent(
        conditions=conditions(Ready=("False", "Unreachable", "It can't be reached. " * 8)), url="http://x:4000"
    )
    seen = status.Seen([route_row(body)], [row])
    wide = Console(width=output.WIDE, force_terminal=False, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    wide.print(status.picture(seen, wide))
    lines = wide.export_text().splitlines()
    assert any("team-a/scout" in line and "12.50" in line and "25%" in line for line in lines)
    narrow = Console(width=80, force_terminal=True, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    narrow.print(status.picture(seen, narrow))
    text = narrow.export_text()
    assert all(len(line) <= 80 for line in text.splitlines())
    for word in ("team-a/scout", "12.50", "50.00", "25%", "Unreachable", "can't be reached"):
        assert word in text


def test_what_is_wrong_with_many_is_told_once() -> None:
    """A route that is down has all of its agents waiting."""
    waiting = conditions(Ready=("False", "RouteNotReady", "Waits for LiteLLMRoute ai/main."))
    bodies = [agent(conditions=waiting) for _ in range(1000)]
    rows = [replace(agent_row(body), name=f"a-{number}") for number, body in enumerate(bodies)]
    out = Console(width=output.WIDE, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    out.print(status.picture(status.Seen([], rows), out))
    lines = out.export_text().splitlines()
    assert len(lines) == 1000 + len(["headings", "blank", "title", "who", "what"])
    assert lines[-2].startswith("OpenClawAgent team-a/a-0, team-a/a-1, ") and "and 995 more  RouteNotReady" in lines[-2]


def test_how_far_a_rotation_is_is_a_line() -> None:
    """For who reads a log."""
    assert standing({}).line() == "Pending: 0 of 0 keys rotated"
    body = {"status": {"phase": "Retiring", "total": 3, "rotated": 2, "failed": 1, "retiring": 2}}
    body["status"]["retiringUntil"] = "2026-11-24T11:00:00Z"
    line = standing(body).line()
    assert line == "Retiring: 2 of 3 keys rotated, 1 failed, 2 old keys still live until 2026-11-24 11:00:00Z"


class Answers(Kube):
    """A cluster that gives some answers in turn; what is an error is raised."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.closed = False

    async def answer(self) -> object:
        """The next one."""
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def __aexit__(self, *_: object) -> None:
        self.closed = True


async def test_a_long_wait_endures_an_api_server_that_is_away_and_credentials_that_run_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """New credentials are asked for once; refused again, it is told."""
    monkeypatch.setattr(cluster, "_AGAIN_SECONDS", 0.0)
    away, unknown = UnavailableError(0, "Unreachable", ""), KubeError(401, "Unauthorized", "")
    old, new = Answers("first", away, away, unknown), Answers("found")

    async def connect(_: cluster.Target) -> Kube:
        return new

    line = cluster.Line(cluster.Target(), old, connect)
    assert await line.read(lambda kube: kube.answer()) == "first"  # type: ignore[attr-defined]
    assert await line.read(lambda kube: kube.answer()) == "found"  # type: ignore[attr-defined]
    assert old.closed and line.kube is new
    new.answers = [unknown, unknown]
    with pytest.raises(KubeError):
        await line.read(lambda kube: kube.answer())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnavailableError(0, "Unreachable", "TimeoutError from the API server"), "can't be reached"),
        (KubeError(401, "Unauthorized", "Unauthorized"), "doesn't know you"),
        (from_response(403, b'{"reason": "Forbidden", "message": "no"}'), "you aren't allowed to: no"),
        (from_response(404, b"404 page not found"), "doesn't know Litclaw's resources"),
        (from_response(500, b"{}"), "refuses it"),
    ],
)
def test_what_a_cluster_answers_becomes_a_sentence_and_status_3(error: KubeError, said: str) -> None:
    """With something to do where there is something."""
    fault = cluster.fault_of(error, "https://here", cluster.Target())
    assert said in fault.message and fault.status == 3


class Told(Kube):
    """A cluster that gives the same answers again and again; the last of several bodies stays.

    Args:
        bodies: what is got, in turn.
        deployments: those of the operator, or the refusal to list them.
        refusal: of all other lists.
    """

    def __init__(
        self, *bodies: dict[str, Any], deployments: Sequence[Any] | KubeError = (), refusal: KubeError | None = None
    ) -> None:
        self.bodies = list(bodies)
        self.deployments = deployments
        self.refusal = refusal
        self.made: list[dict[str, Any]] = []

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any] | None:
        return self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]

    async def objects(self, resource: Resource, namespace: str | None = None, *, labels: str = "") -> list[Any]:
        answer = self.deployments if resource is DEPLOYMENT else self.refusal or self.bodies
        if isinstance(answer, KubeError):
            raise answer
        return list(answer)

    async def create(self, manifest: Mapping[str, Any], *, manager: str = "") -> dict[str, Any]:
        self.made.append(dict(manifest))
        return self.made[-1]

    def line(self) -> cluster.Line:
        async def again(_: cluster.Target) -> Kube:
            return self

        return cluster.Line(cluster.Target(), self, again)


async def test_a_selector_that_is_none_is_status_2() -> None:
    """With what the API server says of it; without a selector it's the cluster's answer."""
    refusal = from_response(400, b'{"reason": "BadRequest", "message": "unable to parse requirement"}')
    scope = status.Scope("team-a", None, "a in (", not_ready=False, routes=True, agents=True)
    with pytest.raises(output.Fault) as told:
        await status.look(Told(refusal=refusal), scope)
    assert told.value.status == 2 and "'a in (' isn't a label selector: unable to parse" in told.value.message
    with pytest.raises(KubeError):
        await status.look(Told(refusal=refusal), replace(scope, labels=""))


def asked(name: str, value: str, **status_: Any) -> dict[str, Any]:
    """An agent whose annotation asks for a rotation."""
    body: dict[str, Any] = agent(**status_)
    meta = {**body["metadata"], "name": name, "annotations": {names.ANNOTATION_ROTATE: value}, "generation": 2}
    return {**body, "metadata": meta}


def stalled(generation: int) -> list[dict[str, Any]]:
    """Conditions of an agent that can't go on."""
    given = conditions(Ready=("False", "RouteNotFound", "No route."), Stalled=("True", "RouteNotFound", "No route."))
    return [{**each, "observedGeneration": generation} for each in given]


async def wait_for_agents(kube: Told, *keys: str, seconds: float | None = None) -> list[dict[str, Any]]:
    """Wait for agents of team-a that were asked with the value v."""
    patience = rotate_wait.Patience(rotate_wait.Until.ROTATED, seconds)
    return await rotate_agents._wait(kube.line(), [("team-a", key) for key in keys], "v", patience)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without time in between."""
    monkeypatch.setattr(rotate_agents, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(rotate_agents, "_STALLED_SECONDS", 0.0)
    monkeypatch.setattr(rotate_wait, "_LOOK_SECONDS", 0.0)


@pytest.mark.usefixtures("quick")
async def test_an_agent_that_cannot_get_a_key_is_not_waited_for() -> None:
    """It is stalled as it is now, or somebody asks for something else; a suspended one is rotated too."""
    with pytest.raises(output.Fault) as told:
        await wait_for_agents(Told(asked("a", "v", conditions=stalled(2))), "a")
    assert told.value.status == 1 and "team-a/a: RouteNotFound: No route." in told.value.remedy
    with pytest.raises(output.Fault) as told:
        await wait_for_agents(Told(asked("a", "other", lastHandledRotation="other")), "a")
    assert told.value.status == 1 and "has changed its annotation litclaw.dev/rotate" in told.value.remedy
    suspended = conditions(Ready=("True", "Suspended", "It rests."), Stalled=("False", "Suspended", ""))
    rests, done = asked("a", "v", conditions=suspended), asked("a", "v", lastHandledRotation="v")
    assert await wait_for_agents(Told(rests, rests, done), "a") == [done]
    # As it was seen before it was changed counts for nothing.
    assert await wait_for_agents(Told(asked("a", "v", conditions=stalled(1)), done), "a") == [done]


@pytest.mark.usefixtures("quick")
async def test_agents_that_go_on_are_waited_for_beside_one_that_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    """And one that has its key may be asked for another one."""
    stuck, waits = asked("a", "v", conditions=stalled(2)), asked("b", "v")
    done, again = asked("b", "v", lastHandledRotation="v"), asked("b", "w", lastHandledRotation="w")
    with pytest.raises(output.Fault) as told:
        await wait_for_agents(Told(stuck, waits, stuck, done, stuck, again), "a", "b")
    assert told.value.message.startswith("1 agent without a new key") and "team-a/b" not in told.value.remedy
    assert "team-a/b has a new key." in capsys.readouterr().err


async def test_what_stalled_an_agent_may_just_have_been_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator has some seconds to look at it anew."""
    monkeypatch.setattr(rotate_agents, "_LOOK_SECONDS", 0.0)
    done = asked("a", "v", lastHandledRotation="v")
    assert await wait_for_agents(Told(asked("a", "v", conditions=stalled(2)), done), "a") == [done]


@pytest.mark.usefixtures("quick")
async def test_a_rotation_that_rests_is_not_waited_for() -> None:
    """How to resume it is said; one that was resumed a moment ago goes on."""
    body: dict[str, Any] = {"spec": {"suspend": True}, "status": {"phase": "Suspended", "total": 3, "rotated": 1}}
    patience = rotate_wait.Patience(rotate_wait.Until.COMPLETED, None)
    with pytest.raises(output.Fault) as told:
        await rotate_wait._watched(Told(body).line(), "r", patience)
    assert told.value.status == 1 and "r is suspended: Suspended: 1 of 3 keys rotated" in told.value.message
    assert """kubectl patch llkr r --type merge -p '{"spec":{"suspend":false}}'""" in told.value.remedy
    assert "litclaw rotate --attach r" in told.value.remedy
    ends = {"spec": {}, "status": {"phase": "Completed"}}
    finishing = {**body, "status": {"phase": "Running"}}
    assert await rotate_wait._watched(Told(finishing, {**body, "spec": {}}, ends).line(), "r", patience) == ends


async def test_no_rotation_is_made_where_nobody_would_do_it() -> None:
    """An operator of some namespaces doesn't watch what is the whole cluster's."""
    wanted = rotate._wanted({"--all": True, **dict.fromkeys(GIVEN)}, None)
    some, whole = operator("--namespaces=a,b").body, operator().body
    body: dict[str, Any] = agent(key={"hash": "0"})
    for work in (rotate._make, rotate._would_be):
        kube = Told(body, deployments=[some])
        with pytest.raises(output.Fault) as told:
            await work(kube, wanted)
        assert told.value.status == 1 and kube.made == []
        assert "Deployment ops/litclaw" in told.value.message and "--namespaces a,b" in told.value.message
        assert "litclaw rotate team-a/scout" in told.value.remedy
    for deployments in ([some, whole], [], from_response(403, b"{}")):
        kube = Told(body, deployments=deployments)
        await rotate._make(kube, wanted)
        assert len(kube.made) == 1


def test_the_page_on_the_command_line_has_every_option_and_no_other() -> None:
    """Of the four commands that people use."""
    page = (ROOT / "docs" / "cli.md").read_text()
    known: set[str] = set()
    for command in get_command(app).commands.values():  # type: ignore[attr-defined]
        options = {name for param in command.params for name in param.opts if name.startswith("--")}
        known |= options
        if command.name in ("status", "doctor", "render", "rotate"):
            common = {"--help", "--output", "--namespace", "--all-namespaces", "--selector", "--filename"}
            section = page.split(f"\n## litclaw {command.name}\n")[1].split("\n## ")[0]
            missing = options - common - set(re.findall(r"--[a-z-]+", section + page.split("## litclaw status")[0]))
            assert not missing, (command.name, missing)
    others = {"--install-completion", "--show-completion", "--dry-run"}
    written = {
        option for option in re.findall(r"litclaw [a-z]+[^`\n]*", page) for option in re.findall(r"--[a-z-]+", option)
    }
    assert written <= known | others


def operator(*args: str) -> Found:
    """An operator's Deployment with some arguments."""
    pod = {"containers": [{"image": "registry:5000/litclaw:0.1.0@sha256:ab", "args": ["run", *args]}]}
    return Found({"metadata": {"name": "litclaw", "namespace": "ops"}, "spec": {"template": {"spec": pod}}})


def test_how_an_operator_is_told_to_run_is_read_from_its_arguments() -> None:
    """In both forms that an option may have."""
    assert operator().namespaces == () and operator().elects and operator().account == "default"
    assert operator("--namespaces=b,a").namespaces == operator("--namespaces", "a, b").namespaces == ("a", "b")
    assert not operator("--no-leader-elect").elects
    assert operator("--cluster-id", "x").option("--cluster-id") == "x"
    [_, release] = check_operator(operator())
    assert release.outcome == "ok" and "as this litclaw" in release.detail


def test_a_rotation_with_failures_ends_with_their_names() -> None:
    """And one that has none to name, with what its condition says."""
    failures = [{"agent": "team-a/x", "reason": "AliasTaken: it is."}, {"route": "ai/main", "reason": "NotOurs: no."}]
    status_ = {"phase": "Failed", "total": 3, "rotated": 1, "failed": 2, "failures": failures}
    with pytest.raises(output.Fault) as told:
        conclude("r", {"status": status_})
    assert told.value.status == 1 and "r has 2 failures" in told.value.message
    assert told.value.remedy.startswith("  team-a/x: AliasTaken: it is.\n  ai/main: NotOurs: no.\nMend that")
    ready = conditions(Ready=("False", "Stopped", "Too many."))
    with pytest.raises(output.Fault) as told:
        conclude("r", {"status": {"phase": "Stopped", "failed": 1, "conditions": ready}})
    assert "and was stopped" in told.value.message and "  and 1 more" in told.value.remedy
    with pytest.raises(output.Fault) as told:
        conclude("r", {"status": {"phase": "Failed", "conditions": ready}})
    assert told.value.remedy.startswith("  Too many.\n")


def test_the_bar_of_a_wait_goes_on_while_old_keys_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich takes a task for finished, and stops its clock, once all of it is done."""
    clock = [100.0]
    progress = rotate_wait._bar(Console(width=80))
    monkeypatch.setattr(progress, "get_time", lambda: clock[0])
    bar = rotate_wait._Bar(progress)
    bar.show(rotate_wait.Standing("Retiring", total=2, rotated=2, retiring=2))
    clock[0] += 75
    [task] = progress.tasks
    assert rotate_wait._Elapsed().render(task).plain == "0:01:15"
    assert task.fields["more"] == "[yellow]2 old keys live[/yellow]"
