"""Adds a cluster's context to a kubeconfig of the host and removes it again, like kind."""

import os
import subprocess
from pathlib import Path

from . import build
from .layout import Layout


def _kubectl() -> str:
    return str(build.path_of("localkube"))


def kubectl(at: Layout, *args: str, stdin: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run kubectl as the cluster's administrator; the caller checks the exit status."""
    command = [
        _kubectl(),
        "kubectl",
        "--kubeconfig",
        str(at.kubeconfig),
        "--cache-dir",
        str(at.root / "kubectl"),
        *args,
    ]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)


def merge(at: Layout, target: Path) -> None:
    """Add the cluster's context to a kubeconfig and make it the current one."""
    env = {**os.environ, "KUBECONFIG": f"{at.kubeconfig}:{target}"}
    command = [_kubectl(), "kubectl", "config", "view", "--flatten", "--raw"]
    merged = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout
    fresh = target.with_name(f".{target.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(merged)
    fresh.rename(target)


def forget(name: str, target: Path) -> None:
    """Remove a cluster's context from a kubeconfig; neither has to exist."""
    if not target.exists() or not Path(_kubectl()).exists():
        return
    base = [_kubectl(), "kubectl", "config", "--kubeconfig", str(target)]
    context = f"kind-{name}"
    for command in (["delete-context", context], ["delete-cluster", context], ["delete-user", context]):
        subprocess.run([*base, *command], capture_output=True)
    current = subprocess.run([*base, "current-context"], capture_output=True, text=True).stdout.strip()
    if current == context:
        subprocess.run([*base, "unset", "current-context"], capture_output=True)
