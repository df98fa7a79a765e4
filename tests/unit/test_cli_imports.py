"""A command loads only what it needs. The modules are compared, because a time would depend on the machine."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from litclaw.cli import cluster
from litclaw.cli.main import app
from typer.testing import CliRunner

BIN = Path(sys.executable).parent
MODELS = {"pydantic", "pydantic_core", "litclaw.api.agent", "jsonschema"}
CLIENTS = {"aiohttp", "asyncio", "httpx", "kubernetes", "litclaw.kube.client", "yaml"}
OPERATOR = {"kopf", "litclaw.handlers", "litclaw.metrics", "litclaw.reconcile", "litclaw.render", "uvloop"}
SHELLS = ("bash", "zsh", "fish", "powershell")


def imported(*command: str, status: int = 0, **env: str) -> tuple[set[str], str]:
    """The modules that one of our programs imports, and its output."""
    program, *args = command
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(BIN / program), *args],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )
    assert done.returncode == status, done.stderr
    return set(re.findall(r"^import time: .*\| +(\S+)$", done.stderr, re.MULTILINE)), done.stdout


def completion(shell: str, line: str) -> dict[str, str]:
    """The environment in which a shell asks for the completion of a line's last word."""
    words = line.split(" ")
    return {
        "_LITCLAW_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_WORD_TO_COMPLETE": words[-1],
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }


def test_the_version_needs_neither_models_nor_clients() -> None:
    modules, printed = imported("litclaw", "version")
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", printed)
    assert not modules & (MODELS | CLIENTS | OPERATOR | {"rich"})


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "candidates", "others"),
    [
        ("litclaw ro", ["rotate"], ["status"]),
        ("litclaw ", ["rotate", "status"], []),
        ("litclaw rotate --gr", ["--grace"], ["--all"]),
        ("litclaw rotate -n team-a --max-concurrent 3 --dry", ["--dry-run"], ["--grace"]),
        ("litclaw status --output ", ["json", "yaml"], ["--watch"]),
    ],
)
def test_completion_needs_neither_models_nor_clients(
    shell: str, line: str, candidates: list[str], others: list[str]
) -> None:
    """Of commands, options and fixed values, in every shell."""
    modules, printed = imported("litclaw", **completion(shell, line))
    assert all(word in printed for word in candidates) and not any(word in printed for word in others)
    assert not modules & (MODELS | CLIENTS | OPERATOR | {"rich"})


def test_completion_for_kubectl_needs_neither_models_nor_clients() -> None:
    """In Cobra's form: a candidate, a tab and its help, then the directive."""
    modules, printed = imported("kubectl_complete-litclaw", "rota")
    assert printed.startswith("rotate\tRotate the keys") and printed.endswith("\n:0\n")
    assert not modules & (MODELS | CLIENTS | OPERATOR | {"rich"})


def test_status_needs_neither_models_nor_the_operator(tmp_path: Path) -> None:
    """Nor the synchronous half of the Kubernetes library."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "{current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}], users: [{name: a, user: {}}],"
        ' clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]}'
    )
    modules, _ = imported("litclaw", "status", "-A", status=3, KUBECONFIG=str(kubeconfig))
    assert {"aiohttp", "kubernetes.aio.client.rest"} <= modules
    assert not modules & (MODELS | OPERATOR | {"rich", "httpx", "requests", "oauthlib", "urllib3"})


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Completion disables logging in its process."""
    yield
    logging.disable(logging.NOTSET)


class Metadata:
    """A cluster with two agents."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def metadata(self, _: Any, namespace: str | None) -> list[dict[str, Any]]:
        found = [{"name": "scout", "namespace": "team-a"}, {"name": "seen", "namespace": "team-b"}]
        return [{"metadata": meta} for meta in found if namespace in (None, meta["namespace"])]


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("litclaw rotate team", ["team-a/scout", "team-b/seen"]),
        ("litclaw rotate -n team-a s", ["scout"]),
        ("litclaw rotate -n team-c s", []),
    ],
)
def test_names_are_completed_from_the_cluster(
    line: str, candidates: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(_: cluster.Target) -> Metadata:
        return Metadata()

    monkeypatch.setattr(cluster, "connect", connect)
    done = CliRunner(env=completion("bash", line)).invoke(app, prog_name="litclaw")
    assert done.stdout.split() == candidates


def test_without_a_cluster_there_are_no_names(tmp_path: Path) -> None:
    """And no message, which would appear in the middle of the user's line."""
    env = {**completion("bash", "litclaw rotate s"), "KUBECONFIG": str(tmp_path / "none")}
    done = CliRunner(env=env).invoke(app, prog_name="litclaw")
    assert done.exit_code == 0 and done.output.strip() == ""
