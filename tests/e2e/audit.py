"""The operator's requests in the API server's audit log, where there is one (localkube)."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dev.cluster import docker_runs, tools

OPERATOR = "system:serviceaccount:litclaw-system:litclaw"
READS = ("get", "list", "watch")


def log_of(cluster: str) -> Path:
    """The audit log of a cluster; skips where there is none."""
    if docker_runs():
        pytest.skip("kind keeps no audit log")
    kind, _ = tools()
    return Path(subprocess.check_output([str(kind), "get", "audit-log", "--name", cluster], text=True).strip())


def requests(log: Path, start: int = 0) -> list[dict[str, Any]]:
    """The operator's requests from a position in the log on, oldest first."""
    with log.open() as lines:
        lines.seek(start)
        entries = [json.loads(line) for line in lines if OPERATOR in line and line.endswith("\n")]
    return [entry for entry in entries if entry["user"]["username"] == OPERATOR]
