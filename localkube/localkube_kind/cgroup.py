"""The cgroup of a cluster, in every hierarchy of the machine: for its pods and, to share the CPU, for the components
of its node."""

import os
import time
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
# The controllers that kubelet requires.
_NEEDED = {"cpu", "cpuset", "memory", "pids"}
_EMPTY_SECONDS = 10.0

_NODE = "node"
# The CPU requests of kubeadm's static pods, in thousandths of a core. Other node processes run in a slice of systemd.
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
    """Delegate the controllers. In version 2 a group has only those that its parent delegates; in version 1 it has all.

    Raises:
        RuntimeError: a controller that kubelet needs can't be delegated.
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
            f"the cgroup {_ROOT} doesn't delegate {', '.join(sorted(missing))} to groups below it{why}. Inside a"
            " container, its own processes have to be moved to a separate group first"
        )


def create(name: str) -> None:
    """Create the cgroup, with the machine's own CPUs and memory nodes where the hierarchy requires them."""
    if _is_unified():
        _hand_on_controllers()
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (group / file).exists() and (hierarchy / file).exists():
                (group / file).write_text((hierarchy / file).read_text())
    node = _processors() / name / _NODE
    _make_weighed(node, 1000 * (os.cpu_count() or 1))  # the weight that kubelet gives all pods together
    for component, milli in {**_MILLI_CPU, _SYSTEM: _SYSTEM_MILLI_CPU}.items():
        _make_weighed(node / component, milli)


def enter(name: str, component: str, pid: int) -> None:
    """Move a component of the node into its cgroup, so that it competes for CPU as on other nodes.

    In the root group each of its threads would weigh as much as all pods together.
    """
    group = _processors() / name / _NODE / (component if component in _MILLI_CPU else _SYSTEM)
    with suppress(ProcessLookupError):  # it has ended already
        (group / "cgroup.procs").write_text(str(pid))


def _processors() -> Path:
    """The hierarchy of the CPU controller."""
    return _ROOT if _is_unified() else _ROOT / "cpu"


def _make_weighed(group: Path, milli: int) -> None:
    if _is_unified():
        (group.parent / "cgroup.subtree_control").write_text("+cpu")
    group.mkdir(exist_ok=True)
    shares = milli * 1024 // 1000
    if _is_unified():
        (group / "cpu.weight").write_text(str(1 + (shares - 2) * 9999 // 262142))  # kubelet's conversion
    else:
        (group / "cpu.shares").write_text(str(shares))


def remove(name: str) -> None:
    """Remove the cgroup and all groups below it. The kernel may take a moment to release its dead processes.

    Raises:
        RuntimeError: a process is still in it.
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
