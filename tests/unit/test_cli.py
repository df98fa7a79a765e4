"""The command line without a cluster: invalid input, failures, help, completion, and what it reads from resources."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from litclaw.api.rotation import DEFAULT_GRACE
from litclaw.cli import cluster, output
from litclaw.cli.doctor.operator import OperatorDeployment, check_operator
from litclaw.cli.doctor.permissions import IN_CLUSTER, IN_NAMESPACES, LEADING
from litclaw.cli.main import app
from litclaw.cli.view import health
from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError, UnavailableError, from_response
from typer.main import get_command
from typer.testing import CliRunner

from tests.unit.cli_resources import agent, conditions, operator

ROOT = Path(__file__).resolve().parents[2]
NO_SERVER = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: here, context: {cluster: here, user: me, namespace: team-a}}]
users: [{name: me, user: {token: sk-not-to-be-shown}}]
"""


@pytest.fixture
def no_server(tmp_path: Path) -> str:
    """A kubeconfig of a cluster that doesn't answer."""
    path = tmp_path / "kubeconfig"
    path.write_text(NO_SERVER)
    return str(path)


@pytest.mark.parametrize(
    "command", [["status"], ["doctor"], ["rotate", "--all"], ["rotate", "scout"], ["status", "--watch"]]
)
def test_a_cluster_that_does_not_answer_is_status_3(command: list[str], no_server: str) -> None:
    """The message names the server and the kubeconfig, without a traceback or the token."""
    done = CliRunner().invoke(app, [*command, "--kubeconfig", no_server])
    assert done.exit_code == 3, done.output
    assert "https://127.0.0.1:1 can't be reached" in done.output and no_server in done.output
    assert "Traceback" not in done.output and "sk-not-to-be-shown" not in done.output


@pytest.mark.parametrize("args", [["--kubeconfig", "/nowhere"], ["--context", "nope"]])
@pytest.mark.parametrize("command", [["status"], ["doctor"], ["rotate", "--all"]])
def test_a_kubeconfig_that_cannot_be_used_is_status_3(command: list[str], args: list[str], no_server: str) -> None:
    """A missing file, and a missing context."""
    given = args if args[0] == "--kubeconfig" else [*args, "--kubeconfig", no_server]
    done = CliRunner().invoke(app, [*command, *given])
    assert done.exit_code == 3 and "can't be used" in done.output, done.output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["rotate"], "nothing selects the keys"),
        (["rotate", "--what", "MasterKeys"], "nothing selects the keys"),
        (["rotate", "--all", "-n", "team-a"], "--all means every agent"),
        (["rotate", "--all", "--grace", "soon"], "gracePeriod 'soon': must be"),
        (["rotate", "--all", "--what", "Everything"], "what.0 'Everything'"),
        (["rotate", "--all", "--timeout", "soon"], "--timeout soon isn't a duration"),
        (["rotate", "--all", "--timeout", ""], "--timeout  isn't a duration"),
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
        (["rotate", "--attach", "x", "--dry-run"], "--attach and --dry-run exclude each other"),
        (["rotate", "a/b/c"], "isn't [namespace/]name"),
        (["rotate", "--all", "--max-concurrent", "0"], "--max-concurrent"),
        (["rotate", "--all", "--until", "never"], "--until"),
        (["status", "-A", "-n", "x"], "exclude each other"),
        (["status", "--watch", "-o", "json"], "--watch shows a table only"),
        (["status", "-o", "xml"], "xml"),
        (["render"], "--filename"),
        (["nonsense"], "nonsense"),
        (["statsu"], "status"),
    ],
)
def test_invalid_options_are_status_2(args: list[str], message: str, no_server: str) -> None:
    """Reported before a request is sent."""
    options = ["--kubeconfig", no_server] if args[0] in ("rotate", "status") else []
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*args, *options])
    assert done.exit_code == 2, done.output
    assert message in done.output and "Traceback" not in done.output


@pytest.mark.parametrize("command", ["status", "doctor", "rotate", "render"])
def test_help_explains_the_exit_statuses(command: str) -> None:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [command, "--help"])
    assert done.exit_code == 0 and "Exit status: 0 all is well" in done.output


def test_help_lists_every_command_and_the_resources_own_defaults() -> None:
    runner = CliRunner(env={"COLUMNS": "200"})
    help_ = runner.invoke(app, ["--help"]).output
    for command in ("run", "crds", "status", "doctor", "render", "rotate", "version"):
        assert re.search(rf"^\W+{command} +[A-Z]", help_, re.MULTILINE), command
    assert f"Default: {DEFAULT_GRACE}." in runner.invoke(app, ["rotate", "--help"]).output


@pytest.mark.parametrize("content", [None, "[1]"])
def test_the_operator_without_a_kubeconfig_is_status_3(content: str | None, tmp_path: Path) -> None:
    """In its own process, because it sets up logging and the recursion limit of the whole process."""
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


def test_the_shells_script_asks_litclaw() -> None:
    program = str(Path(sys.executable).parent / "litclaw")
    env = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run([program, "--show-completion", "bash"], env=env, capture_output=True, text=True, check=True)
    assert "_LITCLAW_COMPLETE=complete_bash" in done.stdout


def _is_for_people(role: dict[str, Any]) -> bool:
    """True if Kubernetes adds the role's rules to view, edit or admin."""
    return any("/aggregate-to-" in label for label in role["metadata"]["labels"])


def test_the_permissions_that_doctor_checks_are_those_of_deploy() -> None:
    """Not one more and not one less."""
    granted = set()
    for path in (ROOT / "deploy").rglob("*.yaml"):
        for body in yaml.safe_load_all(path.read_text()):
            if not body or body.get("kind") not in ("Role", "ClusterRole") or _is_for_people(body):
                continue
            for rule in body["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        granted |= {(group, resource, verb) for verb in rule["verbs"]}
    assert granted == {tuple(each)[:3] for each in (*IN_NAMESPACES, *IN_CLUSTER, *LEADING)}


def test_health_comes_from_the_conditions() -> None:
    """An agent without budget isn't ready, and the health of one that the operator hasn't seen is unknown."""
    ready = ("True", "Ready", "")
    assert health(agent(conditions=conditions(Ready=ready))).ok
    broken = health(agent(conditions=conditions(Ready=("False", "Gone", "Do this."), Stalled=("True", "Gone", ""))))
    assert (broken.ready, broken.stalled, broken.reason, broken.message) == (False, True, "Gone", "Do this.")
    moving = health(agent(conditions=conditions(Ready=("False", "Starting", "Waits."), Stalled=("False", "", ""))))
    assert (moving.ready, moving.stalled) == (False, False)
    spent = health(agent(conditions=conditions(Ready=ready, WithinBudget=("False", "Spent", "All spent."))))
    assert (spent.ready, spent.reason) == (False, "Spent")
    assert health({**agent(), "status": {}}).ready is None
    stale = agent(conditions=conditions(Ready=ready), observedGeneration=0)
    assert health(stale).reason == "NotSeen"
    deleted = agent(conditions=conditions(Ready=ready))
    deleted["metadata"]["deletionTimestamp"] = "2026-11-24T11:00:00Z"
    assert health(deleted).reason == "Deleting"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5s"), (119, "119s"), (600, "10m"), (11000, "3h3m"), (90000, "25h"), (3e5, "3d11h"), (2e6, "23d")],
)
def test_ages_have_at_most_two_units(seconds: float, text: str) -> None:
    """As in kubectl."""
    assert output.age(seconds) == text


class Responses(Kube):
    """A cluster that gives some responses in turn; an exception is raised."""

    def __init__(self, *responses: object) -> None:
        self.responses = list(responses)
        self.closed = False

    async def respond(self) -> object:
        """The next response."""
        found = self.responses.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def __aexit__(self, *_: object) -> None:
        self.closed = True


async def test_a_long_wait_tolerates_an_outage_and_expired_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials are renewed once; if they are refused again, that is the result."""
    monkeypatch.setattr(cluster, "_RETRY_SECONDS", 0.0)
    away, expired = UnavailableError(0, "Unreachable", ""), KubeError(401, "Unauthorized", "")
    old, new = Responses("first", away, away, expired), Responses("found")

    async def connect(_: cluster.Target) -> Kube:
        return new

    connection = cluster.LongConnection(cluster.Target(), old, connect)
    assert await connection.read(lambda kube: kube.respond()) == "first"  # type: ignore[attr-defined]
    assert await connection.read(lambda kube: kube.respond()) == "found"  # type: ignore[attr-defined]
    assert old.closed and connection.kube is new
    new.responses = [expired, expired]
    with pytest.raises(KubeError):
        await connection.read(lambda kube: kube.respond())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UnavailableError(0, "Unreachable", "TimeoutError from the API server"), "can't be reached"),
        (KubeError(401, "Unauthorized", "Unauthorized"), "rejects the credentials"),
        (from_response(403, b'{"reason": "Forbidden", "message": "no"}'), "you aren't allowed to: no"),
        (from_response(404, b"404 page not found"), "doesn't have Litclaw's CRDs"),
        (from_response(500, b"{}"), "refuses the request"),
    ],
)
def test_an_error_of_the_api_server_becomes_a_sentence_and_status_3(error: KubeError, message: str) -> None:
    found = cluster.error_for(error, "https://here", cluster.Target())
    assert message in found.message and found.status == 3


def test_the_page_on_the_command_line_has_exactly_the_options() -> None:
    """Of the four commands for people."""
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


def test_the_operators_options_are_read_from_its_arguments() -> None:
    """In both forms that an option may have."""

    def deployment(*args: str) -> OperatorDeployment:
        return OperatorDeployment(operator(*args))

    assert deployment().namespaces == () and deployment().elects and deployment().account == "default"
    assert deployment("--namespaces=b,a").namespaces == deployment("--namespaces", "a, b").namespaces == ("a", "b")
    assert not deployment("--no-leader-elect").elects
    assert deployment("--cluster-id", "x").option("--cluster-id") == "x"
    [_, release] = check_operator(deployment())
    assert release.outcome == "ok" and "as this litclaw" in release.detail
