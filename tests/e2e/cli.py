"""The ``litclaw`` command, as installed beside the Python that runs the tests, against the tests' cluster."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

from .api import Object
from .kube import Kube
from .waiting import LONG_SECONDS, PATIENCE_SECONDS

BIN = Path(sys.executable).parent


def environment(kube: Kube) -> dict[str, str]:
    """An environment with the tests' cluster as the current one, and the commands in the path."""
    kubeconfig = {"KUBECONFIG": str(kube.cluster.kubeconfig.absolute())} if kube.cluster.kubeconfig else {}
    return {**os.environ, **kubeconfig, "PATH": f"{BIN}:{os.environ['PATH']}"}


def litclaw(
    kube: Kube, *args: str, status: int | None = 0, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command and check its exit status; None: any."""
    command = [str(BIN / "litclaw"), *args]
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, env=environment(kube), timeout=LONG_SECONDS, check=False
    )
    assert status in (None, done.returncode), f"{' '.join(args)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done


def of_litclaw(kube: Kube, *args: str, status: int = 0) -> Any:
    """The JSON that a command prints."""
    return json.loads(litclaw(kube, *args, "-o", "json", status=status).stdout)


def at_terminal(kube: Kube, *args: str, columns: int = 80, status: int = 0) -> str:
    """The output of a command at a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {**environment(kube), "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        env.pop(name, None)
    process = subprocess.Popen([str(BIN / "litclaw"), *args], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    assert process.wait(timeout=PATIENCE_SECONDS) == status, shown.decode()
    return shown.decode()


def plain(shown: str) -> list[str]:
    """The lines of a terminal without colours and cursor movements; a line that is drawn again counts again."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).replace("\r", "\n").splitlines()


def as_account(kube: Kube, namespace: str, name: str, rules: list[Object], folder: Path) -> Path:
    """The kubeconfig of a service account that has only the permissions of some rules, in its namespace."""
    meta = {"name": name, "namespace": namespace}
    rbac = "rbac.authorization.k8s.io"
    kube.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", **meta}],
        },
    )
    token = kube.run("-n", namespace, "create", "token", name).stdout.strip()
    config = json.loads(kube.run("config", "view", "--raw", "--minify", "--flatten", "-o", "json").stdout)
    config["users"] = [{"name": name, "user": {"token": token}}]
    config["contexts"][0]["context"] |= {"user": name, "namespace": namespace}
    path = folder / f"{name}.kubeconfig"
    path.write_text(json.dumps(config))
    return path
