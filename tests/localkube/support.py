"""Shared by the tests: localkube's command, a cluster's objects and pods, and a cluster's traces on the machine."""

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

Object = dict[str, Any]
T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
KUBECTL = ROOT / "localkube" / "kubectl"
BUSYBOX = "localhost/litclaw/busybox:1"


PATIENCE_SECONDS = 180.0
"""How long a test waits for an expected state. A passing test doesn't take that long, but on a busy machine everything
may take many times as long as on a quiet one."""


def eventually(look: Callable[[], T], *, timeout: float = PATIENCE_SECONDS, every: float = 0.2) -> T:
    """Call until the result is true, and return it.

    Raises:
        AssertionError: the result wasn't true in time.
    """
    end = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < end, f"not within {timeout:.0f} s; last: {found!r}"
        time.sleep(every)
    return found


class Kind:
    """localkube's command.

    Args:
        kubeconfig: for calls that name none.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.path = ROOT / "localkube" / "kind"
        self.env = {**os.environ, "KUBECONFIG": str(kubeconfig)}

    def call(self, *args: str, timeout: float = 1200) -> subprocess.CompletedProcess[str]:
        """Run it; the caller checks the exit status."""
        return subprocess.run(
            [str(self.path), *args], capture_output=True, text=True, timeout=timeout, env=self.env, check=False
        )

    def run(self, *args: str) -> str:
        """Run it and return what it prints."""
        done = self.call(*args)
        assert done.returncode == 0, f"kind {' '.join(args)}: {done.stderr}"
        return done.stdout

    def show(self, *args: str) -> None:
        """Run it with its output beside pytest's own."""
        subprocess.run([str(self.path), *args], env=self.env, check=True, timeout=2400)

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start it in the background."""
        return subprocess.Popen([str(self.path), *args], stderr=subprocess.PIPE, text=True, env=self.env)

    def clusters(self) -> list[str]:
        """The clusters that the command lists."""
        return self.run("get", "clusters").split()


class Kube:
    """A cluster's objects and pods."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def kubectl(
        self, *args: str, stdin: str | None = None, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl."""
        command = [str(KUBECTL), f"--kubeconfig={self.kubeconfig}", *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        assert not check or done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr}"
        return done

    def apply(self, *manifests: Object) -> None:
        """Apply objects."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.kubectl("apply", "--server-side", "-f", "-", stdin=text)

    def get(self, namespace: str, kind: str, name: str) -> Object:
        """An object, which must exist."""
        found: Object = json.loads(self.kubectl("-n", namespace, "get", kind, name, "-o", "json").stdout)
        return found

    def wait(self, namespace: str, what: str, condition: str, *, seconds: int = 240) -> None:
        """Wait until a condition is true."""
        self.kubectl("-n", namespace, "wait", f"--for={condition}", what, f"--timeout={seconds}s")

    def exec(self, namespace: str, pod: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a busybox command in a pod; the caller checks the exit status."""
        return self.kubectl("-n", namespace, "exec", pod, "--", "/bin/busybox", *command, check=False)

    def reaches(self, namespace: str, pod: str, address: str, port: int) -> bool:
        """Whether a pod gets a TCP connection: true when it is accepted, false when nothing answers for 3 s.

        False may also mean that a busy machine was too slow.
        """
        command = ("timeout", "10", "/bin/busybox", "nc", "-w", "3", address, str(port))
        return self.exec(namespace, pod, *command).returncode == 0

    def wait_reaches(self, namespace: str, pod: str, address: str, port: int) -> None:
        """Wait until a pod gets a TCP connection."""
        eventually(lambda: self.reaches(namespace, pod, address, port))


def pod(namespace: str, name: str, *command: str, labels: dict[str, str] | None = None, **container: Any) -> Object:
    """A pod of one busybox container that ends at once when it is deleted."""
    meta = {"name": name, "namespace": namespace, "labels": labels or {"app": name}}
    main = {"name": "main", "image": BUSYBOX, "imagePullPolicy": "Never", "args": list(command), **container}
    spec = {"containers": [main], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def descendants(pid: int) -> set[int]:
    """A process and its descendants, by their process numbers on the machine."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found, todo = set(), [pid]
    while todo:
        found.add(one := todo.pop())
        todo += children.get(one, [])
    return found


def namespaces(pids: Iterable[int] | None = None) -> set[str]:
    """The network, mount and process namespaces of some processes; None: of all on the machine."""
    chosen = [path.name for path in Path("/proc").iterdir() if path.name.isdigit()] if pids is None else pids
    found = set()
    for pid in chosen:
        with contextlib.suppress(OSError):
            found |= {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "mnt", "pid")}
    return found


def processes_of(name: str) -> list[str]:
    """The command lines of processes that name a cluster's files, and of its first process."""
    word = re.compile(rf"(/clusters/{re.escape(name)}(/|$)|localkube_kind\.node {re.escape(name)} )")
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            line = (folder / "cmdline").read_text(errors="replace").replace("\0", " ")
            if word.search(line):
                found.append(line)
    return found


def _lines(*command: str) -> set[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line for line in done.stdout.splitlines() if not line.startswith("#")}


def _children(*folders: str) -> set[str]:
    return {str(path) for folder in folders if Path(folder).is_dir() for path in Path(folder).iterdir()}


def machine(name: str) -> dict[str, set[str]]:
    """Everything but processes that a cluster could leave on the machine, as sets that can be compared."""
    tunables = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
    tunables += ("kernel/keys/root_maxkeys", "net/ipv4/ip_forward", "net/netfilter/nf_conntrack_max")
    return {
        "mounts": {
            line for line in Path("/proc/mounts").read_text().splitlines() if "/containers/storage/" not in line
        },
        "interfaces": _children("/sys/class/net"),
        "routes": _lines("ip", "route", "show", "table", "all"),
        "iptables": {re.sub(r"\[\d+:\d+\]", "", line) for line in _lines("iptables-save")},
        "nftables": _lines("nft", "list", "ruleset"),
        "cgroups": {str(path) for path in Path("/sys/fs/cgroup").rglob(f"*localkube-{name}") if path.is_dir()},
        "folders": _children("/run", "/var/lib", "/var/log", "/etc/cni", "/opt", "/usr/libexec", "/run/netns"),
        "kernel": {f"{tunable}={(Path('/proc/sys') / tunable).read_text()}" for tunable in tunables},
    }
