"""The command line against the tests' cluster: ``litclaw`` as it is installed beside the Python that runs the tests."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .support import Kube

BIN = Path(sys.executable).parent


def environment(kube: Kube) -> dict[str, str]:
    """The tests' cluster as the current one, and the commands in the path."""
    kubeconfig = {"KUBECONFIG": str(kube.cluster.kubeconfig)} if kube.cluster.kubeconfig else {}
    return {**os.environ, **kubeconfig, "PATH": f"{BIN}:{os.environ['PATH']}"}


def litclaw(kube: Kube, *args: str, status: int = 0, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command that has to end with a status."""
    command = [str(BIN / "litclaw"), *args]
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, env=environment(kube), timeout=120, check=False
    )
    assert done.returncode == status, f"{' '.join(args)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done


def of_litclaw(kube: Kube, *args: str, status: int = 0) -> Any:
    """What a command prints as JSON."""
    return json.loads(litclaw(kube, *args, "-o", "json", status=status).stdout)
