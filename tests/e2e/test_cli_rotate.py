"""``litclaw rotate`` against a real cluster: the resource that it makes, its output, and its exit status."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .api import Object
from .cli import BIN, at_terminal, environment, litclaw, of_litclaw, plain
from .kube import Kube
from .proxy import Proxy
from .resources import AI, TEAM, agent
from .waiting import PATIENCE_SECONDS, eventually

CREW = {"crew": "rotated"}
OPERATOR = "litclaw-system"


@pytest.fixture(scope="module")
def crew(kube: Kube, proxy: Proxy) -> Iterator[list[str]]:
    """Two agents with a label, and one without."""
    names = ["rot-a", "rot-b", "rot-c"]
    for name in names:
        body = agent(name)
        body["metadata"]["labels"] = CREW if name != "rot-c" else {}
        kube.apply(body)
    for name in names:
        kube.wait_ready("openclawagent", TEAM, name)
    yield names
    for name in names:
        kube.delete("openclawagent", TEAM, name)
    kube.run("delete", "litellmkeyrotations", "--all")


def keys(kube: Kube, names: list[str]) -> list[str]:
    """The agents' keys."""
    return [kube.secret(TEAM, f"{name}-litellm")["LITELLM_API_KEY"] for name in names]


def rotation(kube: Kube, name: str) -> Object:
    """A rotation."""
    done = kube.run("get", "llkr", name, "-o", "json", "--show-managed-fields", check=False)
    assert done.returncode == 0, done.stderr
    found: Object = json.loads(done.stdout)
    return found


def phase(kube: Kube, name: str) -> str:
    """The phase of a rotation, by its status."""
    return str((rotation(kube, name).get("status") or {}).get("phase"))


def managers(body: Object) -> list[str]:
    """The field managers of an object."""
    return [each["manager"] for each in body["metadata"]["managedFields"]]


def test_a_dry_run_lists_and_makes_nothing(kube: Kube, crew: list[str]) -> None:
    """By label, by namespace, by route; and master keys by their route."""
    before = kube.list("litellmkeyrotations")
    done = litclaw(kube, "rotate", "-n", TEAM, "-l", "crew=rotated", "--dry-run")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["AGENT", f"{TEAM}/rot-a", f"{TEAM}/rot-b"]
    assert "Nothing is made: 2 agents would be rotated, old keys living on for 1h." in done.stderr
    found = of_litclaw(kube, "rotate", "--route", f"{AI}/main", "--what", "MasterKeys", "--dry-run")
    assert (found["agents"], found["routes"]) == ([], [f"{AI}/main"])
    done = litclaw(kube, "rotate", *crew[:2], "-n", TEAM, "--dry-run")
    assert f"Nothing is changed: {TEAM}/rot-a, {TEAM}/rot-b would get a new key." in done.stderr
    assert len(kube.list("litellmkeyrotations")) == len(before)


def test_a_selection_is_rotated_and_nobody_else(kube: Kube, crew: list[str]) -> None:
    """The resource has what was asked for; the wait prints a line a change, and ends when the new keys are in use."""
    before = keys(kube, crew)
    args = ("-n", TEAM, "-l", "crew=rotated", "--grace", "5m", "--max-concurrent", "3", "--stop-after-failures", "0")
    done = litclaw(kube, "rotate", *args, "--name", "chosen", "--wait", "--until", "rotated", "--timeout", "5m")
    assert done.stderr.startswith("LiteLLMKeyRotation chosen is made: 2 agents.\n")
    assert "Retiring: 2 of 2 keys rotated, 2 old keys still live until " in done.stderr
    assert "Every new key is in use. 2 old keys live on until " in done.stderr
    made = rotation(kube, "chosen")
    assert made["spec"] == {
        "selector": {"matchLabels": CREW},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": TEAM}},
        "what": ["VirtualKeys"],
        "gracePeriod": "5m",
        "maxConcurrent": 3,
        "stopAfterFailures": 0,
        "suspend": False,
    }
    assert "litclaw-cli" in managers(made)
    now = keys(kube, crew)
    assert [old == new for old, new in zip(before, now, strict=True)] == [False, False, True]
    assert not any(key in done.stdout + done.stderr for key in before + now)


def test_a_name_that_is_taken(kube: Kube, crew: list[str]) -> None:
    """Nothing is overwritten."""
    litclaw(kube, "rotate", "--route", f"{AI}/main", "-l", "crew=nobody", "--name", "mine", status=1)
    litclaw(kube, "rotate", "-l", "crew=rotated", "--name", "mine")
    done = litclaw(kube, "rotate", "-l", "crew=rotated", "--name", "mine", status=1)
    assert "there is a LiteLLMKeyRotation mine already" in done.stderr and "--attach mine" in done.stderr


def test_the_api_server_has_the_last_word(kube: Kube, crew: list[str]) -> None:
    """It refuses an invalid name, in its own words."""
    done = litclaw(kube, "rotate", "--all", "--name", "Not_a_name", status=2)
    assert "the API server refuses the rotation" in done.stderr and "Not_a_name" in done.stderr


def test_single_agents_by_their_annotation(kube: Kube, crew: list[str]) -> None:
    """Each has handled its own value when the wait is over."""
    before = keys(kube, crew)
    done = litclaw(kube, "rotate", f"{TEAM}/rot-c", "--wait", "--timeout", "5m")
    assert f"{TEAM}/rot-c has a new key; the old one ends at " in done.stderr
    now = keys(kube, crew)
    assert now[:2] == before[:2] and now[2] != before[2]
    body = json.loads(kube.run("-n", TEAM, "get", "oca", "rot-c", "-o", "json", "--show-managed-fields").stdout)
    assert body["metadata"]["annotations"]["litclaw.dev/rotate"] == body["status"]["lastHandledRotation"]
    assert "litclaw-cli" in managers(body)
    done = litclaw(kube, "rotate", "nobody", "-n", TEAM, status=1)
    assert f"there is no agent {TEAM}/nobody" in done.stderr


def test_a_bar_at_a_terminal(kube: Kube, crew: list[str]) -> None:
    """The bar is full at the end, and shows how long old keys stay live."""
    shown = at_terminal(kube, "rotate", "-l", "crew=rotated", "--wait", "--until", "rotated", "--timeout", "5m")
    text = "\n".join(plain(shown))
    assert "2/2" in text and "━" in text and "2 old keys live for" in text
    assert all(len(line) <= 80 for line in plain(shown) if "━" in line)


def test_ctrl_c_leaves_the_rotation_and_says_how_to_go_on(kube: Kube, crew: list[str], tmp_path: Path) -> None:
    """Status 130; --attach resumes the wait, and a wait that is too short has status 1."""
    command = [str(BIN / "litclaw"), "rotate", "-l", "crew=rotated", "--name", "left", "--wait"]
    log = tmp_path / "log"
    with log.open("w") as printed:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=printed, env=environment(kube))
    eventually(lambda: "Retiring: " in log.read_text(), what="it waits for the old keys")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE_SECONDS) == 130, log.read_text()
    told = log.read_text()
    assert "LiteLLMKeyRotation left goes on" in told and "Traceback" not in told
    assert "  litclaw rotate --attach left\n  kubectl get llkr left -w" in told
    done = litclaw(kube, "rotate", "--attach", "left", "--until", "rotated")
    assert "Every new key is in use." in done.stderr
    done = litclaw(kube, "rotate", "--attach", "left", "--timeout", "1s", status=1)
    assert "LiteLLMKeyRotation left isn't completed after 1s" in done.stderr


@contextmanager
def no_operator(kube: Kube) -> Iterator[None]:
    """No operator runs, so only the test writes a rotation's status."""
    before = kube.must("deployment", OPERATOR, "litclaw")["spec"]["replicas"]
    kube.run("-n", OPERATOR, "scale", "deployment/litclaw", "--replicas=0")
    kube.run("-n", OPERATOR, "wait", "--for=delete", "pods", "-l", "app.kubernetes.io/name=litclaw", "--timeout=300s")
    try:
        yield
    finally:
        kube.run("delete", "litellmkeyrotations", "--all")
        kube.run("-n", OPERATOR, "scale", "deployment/litclaw", f"--replicas={before}")
        kube.run("-n", OPERATOR, "rollout", "status", "deployment/litclaw", "--timeout=300s")


def test_failures_are_named_with_status_1_and_a_silent_operator_is_reported(
    kube: Kube, crew: list[str], tmp_path: Path
) -> None:
    """By the status, which the test writes here."""
    with no_operator(kube):
        litclaw(kube, "rotate", "--all", "--name", "broken")
        command = [str(BIN / "litclaw"), "rotate", "--attach", "broken", "-o", "json"]
        log = tmp_path / "log"
        with log.open("w") as told:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told, text=True, env=environment(kube))
        silent = "The operator hasn't looked at it yet. Does it run? `litclaw doctor` tells."
        eventually(lambda: silent in log.read_text(), what="a hint that no operator runs")
        patch(kube, "broken", phase="Running", total=3, rotated=1, failed=0, retiring=1)
        eventually(lambda: "Running: 1 of 3 keys rotated, 1 old key still live" in log.read_text(), what="a line")
        failures = [{"agent": f"{TEAM}/rot-a", "reason": "NameTaken: the Secret is somebody's."}]
        patch(kube, "broken", phase="Stopped", total=3, rotated=1, failed=2, retiring=0, failures=failures)
        printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
        text = log.read_text()
        assert process.returncode == 1, text
        assert "LiteLLMKeyRotation broken has 2 failures and was stopped" in text
        assert f"  {TEAM}/rot-a: NameTaken: the Secret is somebody's.\n  and 1 more" in text
        assert json.loads(printed)["status"]["phase"] == "Stopped"
        patch(kube, "broken", phase="Completed", total=3, rotated=3, failed=0, retiring=0, failures=[])
        assert "Done: Completed: 3 of 3 keys rotated." in litclaw(kube, "rotate", "--attach", "broken").stderr


def patch(kube: Kube, name: str, **status: Any) -> None:
    """Write a rotation's status as the operator does."""
    kube.run("patch", "llkr", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
