"""Starts a node's first process from the machine's side, checks whether it lives, and ends it.

A process is identified by its pid, its start time and the boot id, so that a reused pid, or a state file from before a
reboot, is never mistaken for a node. While a cluster is being created, the node's standard input is a pipe from the
creating command, and the node ends when that command ends early, so no partial cluster stays.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import cache
from .layout import Layout

_HOME = Path(__file__).resolve().parent.parent
_START_SECONDS = 10.0
# Messages on the node's standard input: its state is recorded; its cluster is complete.
RECORDED = b"r"
COMPLETE = b"c"


class NodeError(RuntimeError):
    """A node's first process can't be started; the message says why."""


@dataclass(frozen=True)
class Start:
    """A started node, until its cluster is complete."""

    at: Layout
    process: subprocess.Popen[bytes]

    def complete(self) -> None:
        """Release the cluster for use; it now outlives the command that created it."""
        _write_state(self.at, {**_read_state(self.at), "complete": True})
        _tell(self.process, COMPLETE)


def _started_at(pid: int) -> str | None:
    """The start time of a process, in ticks since this boot; None if it doesn't live."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _read_state(at: Layout) -> dict[str, Any]:
    try:
        return dict(json.loads(at.state_file.read_text()))
    except (OSError, ValueError):
        return {}


def _write_state(at: Layout, state: dict[str, Any]) -> None:
    fresh = at.state_file.with_suffix(".new")
    fresh.write_text(json.dumps(state))
    fresh.rename(at.state_file)


def _tell(process: subprocess.Popen[bytes], what: bytes) -> None:
    assert process.stdin
    try:
        process.stdin.write(what)
        process.stdin.flush()
    except BrokenPipeError as error:
        raise NodeError("the node ended") from error


def pid(at: Layout) -> int | None:
    """The pid of the node's first process on the machine, or None if the node doesn't run."""
    state = _read_state(at)
    alive = state and state["boot"] == _boot() and _started_at(state["pid"]) == state["started"]
    return int(state["pid"]) if alive else None


def is_complete(at: Layout) -> bool:
    """Whether the node runs and the creation of its cluster has finished."""
    return bool(pid(at)) and bool(_read_state(at).get("complete", True))


def start(at: Layout, listener: int) -> Start:
    """Start a node in new network, mount and process namespaces.

    Args:
        at: the cluster's layout; its configuration must be written.
        listener: file descriptor of the socket that the node relays to its API server.

    Raises:
        NodeError: the namespaces can't be created.
    """
    isolate = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    program = [sys.executable, "-m", "localkube_kind.node", at.name, "--listener", str(listener)]
    with (at.logs / "node.log").open("ab") as log:
        process = subprocess.Popen(
            [*isolate, *program],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=_HOME,
            env={**os.environ, "LITCLAW_CACHE": str(cache.folder())},
            pass_fds=[listener],
            start_new_session=True,
        )
    first = _first_process(process, at)
    _write_state(at, {"pid": first, "started": _started_at(first), "boot": _boot(), "complete": False})
    _tell(process, RECORDED)
    return Start(at, process)


def _first_process(unshare: subprocess.Popen[bytes], at: Layout) -> int:
    children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
    end = time.monotonic() + _START_SECONDS
    while unshare.poll() is None and time.monotonic() < end:
        with suppress(OSError):
            if found := children.read_text().split():
                return int(found[0])
        time.sleep(0.02)
    unshare.kill()
    raise NodeError(f"the node's namespaces can't be created: {(at.logs / 'node.log').read_text()[-2000:]}")


def end(at: Layout) -> None:
    """End a node, if it runs. Its processes, mounts, interfaces and rules end with its namespaces."""
    if first := pid(at):
        os.kill(first, signal.SIGKILL)
        while _started_at(first):
            time.sleep(0.05)


def in_node(at: Layout, *command: str) -> list[str]:
    """A command line that runs in a node's namespaces."""
    return ["nsenter", "--target", str(pid(at)), "--mount", "--net", "--pid", *command]
