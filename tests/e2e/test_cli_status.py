"""``litclaw status`` against a real cluster: in a pipe, at a terminal, as JSON, and with access to one namespace."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cli import as_account, at_terminal, environment, litclaw, of_litclaw, plain
from .kube import Kube
from .proxy import Proxy
from .resources import AI, TEAM, agent

LOST = "lost"
SEEN = ("-n", TEAM, "-l", "crew=seen")


@pytest.fixture(scope="module")
def seen(kube: Kube, proxy: Proxy) -> Iterator[str]:
    """A ready agent with a label that no other test uses."""
    body = agent("seen", key={"maxBudget": "5"})
    body["metadata"]["labels"] = {"crew": "seen"}
    kube.apply(body)
    kube.wait_ready("openclawagent", TEAM, "seen")
    yield "seen"
    kube.delete("openclawagent", TEAM, "seen")


@pytest.fixture(scope="module")
def lost(kube: Kube, proxy: Proxy) -> Iterator[str]:
    """An agent whose route doesn't exist."""
    body = agent(LOST, route="nowhere")
    body["metadata"]["labels"] = {"crew": "lost"}
    kube.apply(body)
    kube.wait_condition("openclawagent", TEAM, LOST, "Ready", "False", "RouteNotFound")
    yield LOST
    kube.delete("openclawagent", TEAM, LOST)


def test_a_ready_agent_and_its_route(kube: Kube, seen: str) -> None:
    """Status 0, with the fields of the resources."""
    shown = of_litclaw(kube, "status", *SEEN)
    [row] = shown["agents"]
    live = kube.must("openclawagent", TEAM, seen)["status"]
    assert row["ready"] is True and row["route"] == f"{AI}/main" and row["model"] == live["defaultModel"]
    assert row["keyRotatedAt"] == live["key"]["rotatedAt"] and row["budget"] == live["budget"]
    [route] = shown["routes"]
    live = kube.must("litellmroute", AI, "main")["status"]
    assert (route["url"], route["version"], route["models"]) == (live["url"], live["version"], live["models"])


def test_problems_are_reported_with_status_1(kube: Kube, seen: str, lost: str) -> None:
    """With the condition's message; with --not-ready or by its label, the agent is listed alone."""
    done = litclaw(kube, "status", "-n", TEAM, "--agents", status=1)
    assert f"OpenClawAgent {TEAM}/{lost}  RouteNotFound" in done.stdout
    assert f"  LiteLLMRoute {AI}/nowhere doesn't exist: create it, or " in done.stdout
    assert f"{TEAM}/{seen}" in done.stdout
    for args in (("--not-ready",), ("-l", "crew=lost")):
        shown = of_litclaw(kube, "status", "-n", TEAM, "--agents", *args, status=1)
        assert (lost, "RouteNotFound") in [(each["name"], each["reason"]) for each in shown["agents"]]
        assert seen not in [each["name"] for each in shown["agents"]] and "routes" not in shown


def test_nothing_is_no_failure(kube: Kube, proxy: Proxy) -> None:
    """The context's namespace has none, and the output names -A."""
    done = litclaw(kube, "status")
    assert done.stdout == "" and "No routes or agents in namespace default; -A looks at all." in done.stderr


def test_a_pipe_gets_a_row_a_line_without_colours(kube: Kube, seen: str) -> None:
    """For `grep` and `awk`."""
    text = litclaw(kube, "status", *SEEN, "--agents").stdout
    assert "\x1b" not in text
    [row] = [line.split() for line in text.splitlines() if line.startswith(f"{TEAM}/{seen} ")]
    assert row[1:4] == ["yes", f"{AI}/main", "claude-opus-4-6"]
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_terminal_of_80_columns_gets_colours_and_all_names(kube: Kube, seen: str) -> None:
    """No name is cut off, and no line is longer."""
    shown = at_terminal(kube, "status", *SEEN)
    assert "\x1b[32m" in shown
    lines = plain(shown)
    assert all(len(line) <= 80 for line in lines) and any(line.startswith(f"{TEAM}/{seen} ") for line in lines)


def test_who_may_see_one_namespace_sees_it(kube: Kube, seen: str, tmp_path: Path) -> None:
    """Routes elsewhere are left out, and a missing permission is reported without a traceback."""
    rules = [{"apiGroups": ["litclaw.dev"], "resources": ["openclawagents", "litellmroutes"], "verbs": ["get", "list"]}]
    kubeconfig = str(as_account(kube, TEAM, "reader", rules, tmp_path))
    shown = of_litclaw(kube, "status", "--kubeconfig", kubeconfig, "-l", "crew=seen")
    assert [each["name"] for each in shown["agents"]] == [seen] and shown["routes"] == []
    done = litclaw(kube, "status", "-A", "--kubeconfig", kubeconfig, status=3)
    assert "you aren't allowed to: openclawagents.litclaw.dev is forbidden" in done.stderr and "-n" in done.stderr
    done = litclaw(kube, "rotate", "--all", "--kubeconfig", kubeconfig, status=3)
    assert "litellmkeyrotations" in done.stderr and "cannot create" in done.stderr
    # doctor skips the checks that need access to more than one namespace.
    checks = of_litclaw(kube, "doctor", "--kubeconfig", kubeconfig)
    outcomes = {each["name"]: each["outcome"] for each in checks["checks"]}
    assert outcomes["API server"] == "ok" and outcomes["operator"] == "skip" and outcomes["leftovers"] == "skip"


def test_kubectl_runs_it_as_a_plugin_and_completes_it(kube: Kube, seen: str) -> None:
    """With kubectl itself, which finds kubectl-litclaw and kubectl_complete-litclaw in the path."""

    def kubectl(*args: str) -> str:
        command = [str(kube.cluster.kubectl_path), *args]
        return subprocess.run(command, capture_output=True, text=True, env=environment(kube), check=True).stdout

    assert f"{TEAM}/{seen}" in kubectl("litclaw", "status", *SEEN, "--agents")
    assert "Usage: kubectl litclaw" in kubectl("litclaw", "--help")
    assert kubectl("__complete", "litclaw", "rota").startswith("rotate\t")
    assert kubectl("__complete", "litclaw", "rotate", "-n", TEAM, seen[:3]).splitlines()[0] == seen
    assert f"{AI}/main" in kubectl("__complete", "litclaw", "status", "--route", "").splitlines()
