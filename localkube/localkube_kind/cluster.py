"""A cluster's life: create, find, load images, delete."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

from . import addons, apt, build, cache, cgroup, configuration, image
from .layout import CONTAINERD_SOCKET, Layout
from .progress import Progress

PACKAGES = (
    *("containerd", "runc", "containernetworking-plugins", "iptables", "ipset", "conntrack", "socat"),
    *("iproute2", "openssl", "busybox-static"),
)
_READY_SECONDS = 180.0


class ClusterError(RuntimeError):
    """What was asked can't be done; the message says why and what to do."""


@contextmanager
def _alone() -> Iterator[None]:
    """One command at a time changes what is shared."""
    with (cache.folder() / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def _started_at(pid: int) -> str | None:
    """When a process started, in ticks since this boot; None if there is none. With the boot's id it names a process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _pid(at: Layout) -> int | None:
    """The node's first process as the machine numbers it, or None where the node doesn't run."""
    try:
        state = json.loads(at.state_file.read_text())
    except (OSError, ValueError):
        return None
    alive = state["boot"] == _boot() and _started_at(state["pid"]) == state["started"]
    return int(state["pid"]) if alive else None


def names() -> list[str]:
    """The clusters that run."""
    return sorted(path.name for path in cache.folder("clusters").iterdir() if _pid(Layout(path.name)))


def layout(name: str) -> Layout:
    """Where a running cluster keeps what.

    Raises:
        ClusterError: there is no such cluster.
    """
    at = Layout(name)
    if not _pid(at):
        raise ClusterError(f"no cluster {name!r} runs: make it with `kind create cluster --name {name}`")
    return at


def _start(at: Layout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        configuration.write(at, host_port=listener.getsockname()[1])
        addons.write_pause(at)
        cgroup.create(at.cgroup)
        isolate = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        program = [sys.executable, "-m", "localkube_kind.node", at.name, "--listener", str(listener.fileno())]
        with (at.logs / "node.log").open("ab") as log:
            process = subprocess.Popen(
                [*isolate, *program],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).resolve().parent.parent,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
    first = _first_process(process, at)
    at.state_file.write_text(json.dumps({"pid": first, "started": _started_at(first), "boot": _boot()}))


def _first_process(unshare: subprocess.Popen[bytes], at: Layout) -> int:
    children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
    for _ in range(200):
        if unshare.poll() is not None:
            break
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.02)
    raise ClusterError(f"the node's namespaces can't be made: {(at.logs / 'node.log').read_text()[-2000:]}")


def kubectl(at: Layout, *args: str, stdin: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run kubectl as the cluster's administrator; the caller looks at the exit status."""
    command = [str(build.path_of("localkube")), "kubectl", "--kubeconfig", str(at.kubeconfig), *args]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)


def _wait(at: Layout, what: str, *args: str) -> None:
    """Until kubectl succeeds.

    Raises:
        ClusterError: it didn't in time, or the node died.
    """
    end = time.monotonic() + _READY_SECONDS
    while (done := kubectl(at, *args)).returncode:
        if not _pid(at):
            raise ClusterError(f"the node ended: {(at.logs / 'node.log').read_text()[-2000:]}")
        if time.monotonic() > end:
            raise ClusterError(f"{what} isn't there after {_READY_SECONDS:.0f} s ({done.stderr.strip()}); logs: {at.logs}")
        time.sleep(0.5)


def create(name: str, kubeconfig: Path) -> None:
    """Make a cluster, from nothing where need be; what a dead one of this name left is removed first.

    Raises:
        ClusterError: there is one already, or a part doesn't come up.
    """
    if os.geteuid():
        raise ClusterError("localkube makes namespaces and mounts, and must run as root")
    with _alone():
        at = Layout(name)
        if _pid(at):
            raise ClusterError(f'node(s) already exist for a cluster with the name "{name}"')
        _remove(at)
        missing, wanted = build.missing(), apt.missing(PACKAGES)
        progress = Progress(total=len(missing) + bool(wanted) + 3)
        if wanted:
            with progress.step(f"installing {', '.join(wanted)}"):
                apt.install(PACKAGES)
        build.build(missing, progress)
        with progress.step(f"starting the node {at.node}"):
            _start(at)
            _wait(at, "the API server", "get", "--raw", "/readyz")
            _wait(at, "the default service account", "get", "serviceaccount", "default")
        with progress.step("installing DNS and storage"):
            load_archives(name, addons.archives())
            addons.apply(lambda text: kubectl(at, "apply", "--server-side", "-f", "-", stdin=text))
        with progress.step("waiting for the node, DNS and storage"):
            _wait(at, "the node", "wait", "--for=condition=Ready", f"node/{at.node}", "--timeout=1s")
            for deployment in addons.DEPLOYMENTS:
                _wait(at, deployment, "wait", "--for=condition=Available", "--timeout=1s", *deployment.split())
    merge_kubeconfig(at, kubeconfig)


def merge_kubeconfig(at: Layout, target: Path) -> None:
    """Put the cluster's context into a kubeconfig and make it the current one, as kind does."""
    target.parent.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "KUBECONFIG": f"{at.kubeconfig}:{target}"}
    command = [str(build.path_of("localkube")), "kubectl", "config", "view", "--flatten", "--raw"]
    merged = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout
    fresh = target.with_name(f".{target.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(merged)
    fresh.rename(target)


def _forget_kubeconfig(name: str, target: Path) -> None:
    if not target.exists() or not build.path_of("localkube").exists():
        return
    base = [str(build.path_of("localkube")), "kubectl", "config", "--kubeconfig", str(target)]
    context = f"kind-{name}"
    for command in (["delete-context", context], ["delete-cluster", context], ["delete-user", context]):
        subprocess.run([*base, *command], capture_output=True)
    current = subprocess.run([*base, "current-context"], capture_output=True, text=True).stdout.strip()
    if current == context:
        subprocess.run([*base, "unset", "current-context"], capture_output=True)


def _remove(at: Layout) -> None:
    """End a node and remove everything of it. Its namespaces take its processes, mounts and interfaces with them."""
    if pid := _pid(at):
        os.kill(pid, signal.SIGKILL)
        while _started_at(pid):
            time.sleep(0.05)
    cgroup.remove(at.cgroup)
    if at.root.exists():
        shutil.rmtree(at.root)


def delete(name: str, kubeconfig: Path) -> None:
    """Delete a cluster; there need not be one."""
    with _alone():
        _remove(Layout(name))
    _forget_kubeconfig(name, kubeconfig)


def in_node(at: Layout, *command: str) -> list[str]:
    """A command line that runs in a node's namespaces."""
    return ["nsenter", "--target", str(_pid(at)), "--mount", "--net", "--pid", *command]


def load_archives(name: str, archives: list[Path]) -> None:
    """Import image archives into the node, those that aren't there yet.

    Raises:
        ClusterError: there is no such cluster, or an archive can't be imported.
    """
    at = layout(name)
    done_file = at.root / "imported.json"
    done = json.loads(done_file.read_text()) if done_file.exists() else []
    for archive in archives:
        mark = f"{archive}:{archive.stat().st_mtime_ns}"
        if mark in done:
            continue
        command = in_node(at, "ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images", "import", str(archive))
        imported = subprocess.run(command, capture_output=True, text=True)
        if imported.returncode:
            raise ClusterError(f"{archive} can't be imported: {imported.stderr.strip()}")
        done.append(mark)
        done_file.write_text(json.dumps(done))


def has_image(name: str, reference: str) -> bool:
    """Whether the node holds an image of this name."""
    command = in_node(layout(name), "ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images", "ls", "-q")
    return image.full_name(reference) in subprocess.run(command, capture_output=True, text=True).stdout.split()
