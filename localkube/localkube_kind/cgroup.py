"""The cgroup that a cluster is in, in every hierarchy of the machine: its pods and, for their share of the processors, the
components of its node."""

import os
import time
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
# Those that kubelet insists on.
_NEEDED = {"cpu", "cpuset", "memory", "pids"}
_EMPTY_SECONDS = 10.0

_NODE = "node"
# What kubeadm's static pods ask for, in thousandths of a processor; what else a node runs is in a slice of systemd's own.
_MILLI_CPU = {"kube-apiserver": 250, "kube-controller-manager": 200, "kube-scheduler": 100, "etcd": 100}
_SYSTEM = "system"
_SYSTEM_MILLI_CPU = 1000


def _is_unified() -> bool:
    return (_ROOT / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    if _is_unified():
        return [_ROOT]
    return [path for path in _ROOT.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]


def _hand_on_controllers() -> None:
    """Version 2 gives a group only the controllers that the one above it hands on; version 1 gives it all.

    Raises:
        RuntimeError: one that kubelet needs can't be handed on.
    """
    refused = []
    for controller in (_ROOT / "cgroup.controllers").read_text().split():
        try:
            (_ROOT / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError as error:
            refused.append(f"{controller} ({error.strerror})")
    if missing := _NEEDED - set((_ROOT / "cgroup.subtree_control").read_text().split()):
        why = f": {', '.join(refused)}" if refused else ""
        raise RuntimeError(
            f"the cgroup {_ROOT} has no {', '.join(sorted(missing))} for groups below it{why}. Inside a container,"
            " its own processes have to be moved to a group of their own first"
        )


def create(name: str) -> None:
    """Make it, with the machine's own processors and memory nodes where the hierarchy asks for them."""
    if _is_unified():
        _hand_on_controllers()
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (group / file).exists() and (hierarchy / file).exists():
                (group / file).write_text((hierarchy / file).read_text())
    node = _processors() / name / _NODE
    _make_weighed(node, 1000 * (os.cpu_count() or 1))  # as much as kubelet gives all pods together
    for component, milli in {**_MILLI_CPU, _SYSTEM: _SYSTEM_MILLI_CPU}.items():
        _make_weighed(node / component, milli)


def enter(name: str, component: str, pid: int) -> None:
    """Have a component of the node compete for the processors as on other nodes.

    In the root group each of its threads would weigh as much as all pods together.
    """
    group = _processors() / name / _NODE / (component if component in _MILLI_CPU else _SYSTEM)
    with suppress(ProcessLookupError):  # it has ended already
        (group / "cgroup.procs").write_text(str(pid))


def _processors() -> Path:
    """The hierarchy by which processors are given out."""
    return _ROOT if _is_unified() else _ROOT / "cpu"


def _make_weighed(group: Path, milli: int) -> None:
    if _is_unified():
        (group.parent / "cgroup.subtree_control").write_text("+cpu")
    group.mkdir(exist_ok=True)
    shares = milli * 1024 // 1000
    if _is_unified():
        (group / "cpu.weight").write_text(str(1 + (shares - 2) * 9999 // 262142))  # as kubelet converts them
    else:
        (group / "cpu.shares").write_text(str(shares))


def remove(name: str) -> None:
    """Remove it with all that is below it. Its processes are dead, and the kernel may take a moment to see it.

    Raises:
        RuntimeError: something is still in it.
    """
    for hierarchy in _hierarchies():
        group = hierarchy / name
        below = [path for path in group.rglob("*") if path.is_dir()]
        for folder in (*sorted(below, key=lambda path: len(path.parts), reverse=True), group):
            _rmdir(folder)


def _rmdir(folder: Path) -> None:
    end = time.monotonic() + _EMPTY_SECONDS
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > end:
                raise RuntimeError(f"the cgroup {folder} can't be removed: {error.strerror}") from error
            time.sleep(0.05)
        else:
            return
