"""Creates, finds and deletes clusters, and loads images into them."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from . import addons, apt, build, cache, cgroup, configuration, image, kubeconfig, network_policy, node_process
from .layout import CONTAINERD_SOCKET, Layout
from .node_process import in_node
from .progress import Progress, say

PACKAGES = (
    *("containerd", "runc", "containernetworking-plugins", "iptables", "nftables", "conntrack", "socat"),
    *("iproute2", "openssl", "busybox-static"),
)
# With the suffix "-control-plane", a name is a node's name and a label's value, which have at most 63 characters.
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,46}[a-z0-9])?")
_READY_SECONDS = 180.0


class ClusterError(RuntimeError):
    """A call failed; the message says why and what to do."""


@contextmanager
def _alone() -> Iterator[None]:
    """Lock the cache, because only one command at a time may change it."""
    with (cache.folder() / "lock").open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            say("waiting for another localkube command to end …")
            flock(lock, LOCK_EX)
        yield


def _layout_of(name: str) -> Layout:
    """The layout of a cluster, whether or not it exists.

    Raises:
        ClusterError: no cluster can have this name.
    """
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f"{name!r} is not a cluster's name: use 1 to 48 of a-z, 0-9, '-' and '.', the first and last a-z or 0-9"
        )
    return Layout(name)


def names() -> list[str]:
    """The running clusters, without those that are still being created."""
    return sorted(
        path.name for path in cache.folder("clusters").iterdir() if node_process.is_complete(Layout(path.name))
    )


def layout(name: str) -> Layout:
    """The layout of a running cluster.

    Raises:
        ClusterError: there is no such cluster.
    """
    at = _layout_of(name)
    if not node_process.pid(at):
        raise ClusterError(f"no cluster {name!r} runs: create it with `kind create cluster --name {name}`")
    return at


def _wait(at: Layout, what: str, *args: str) -> None:
    """Wait until kubectl succeeds.

    Raises:
        ClusterError: it didn't succeed in time, or the node died.
    """
    end = time.monotonic() + _READY_SECONDS
    while (done := kubeconfig.kubectl(at, *args)).returncode:
        if not node_process.pid(at):
            raise ClusterError(f"the node ended: {(at.logs / 'node.log').read_text()[-2000:]}")
        if time.monotonic() > end:
            raise ClusterError(
                f"{what} isn't ready after {_READY_SECONDS:.0f} s ({done.stderr.strip()}); logs: {at.logs}"
            )
        time.sleep(0.2)


def create(name: str, target: Path) -> None:
    """Create a cluster with all that it needs, after removing the remains of a dead cluster of this name.

    Args:
        name: the cluster's name.
        target: the kubeconfig that gets its context.

    Raises:
        ClusterError: the cluster exists, or a part doesn't start. Then the node is ended; its logs stay until the
            cluster is deleted or created again.
    """
    at = _layout_of(name)
    if os.geteuid():
        raise ClusterError("localkube creates namespaces and mounts, so it must run as root")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone():
        if node_process.is_complete(at):
            raise ClusterError(f'node(s) already exist for a cluster with the name "{name}"')
        _remove(at)
        missing, wanted = build.missing(), apt.missing(PACKAGES)
        progress = Progress(total=len(missing) + bool(wanted) + 3)
        if wanted:
            with progress.step(f"installing {', '.join(wanted)}"):
                apt.install(PACKAGES)
        build.build(missing, progress)
        try:
            _bring_up(at, target, progress)
        except BaseException:
            node_process.end(at)
            cgroup.remove(at.cgroup)
            raise


def _bring_up(at: Layout, target: Path, progress: Progress) -> None:
    with progress.step(f"starting the node {at.node}"):
        node = _start(at)
        _wait(at, "the API server", "get", "--raw", "/readyz")
    with progress.step("installing DNS and storage"):
        load_archives(at.name, addons.archives())
        addons.apply(lambda text: kubeconfig.kubectl(at, "apply", "--server-side", "-f", "-", stdin=text))
    with progress.step("waiting for the node, DNS and storage"):
        _wait(at, "the node", "wait", "--for=condition=Ready", f"node/{at.node}", "--timeout=1s")
        for deployment in addons.DEPLOYMENTS:
            _wait(at, deployment, "wait", "--for=condition=Available", "--timeout=1s", *deployment.split())
        _wait(at, "the default service account", "get", "serviceaccount", "default")
    if reason := network_policy.refusal(in_node(at, "nft", "--check", "--file", "-")):
        say(f"NetworkPolicies are not enforced in this cluster, because this kernel can't: {reason}")
    kubeconfig.merge(at, target)
    node.complete()


def _start(at: Layout) -> node_process.Start:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        configuration.write(at, host_port=listener.getsockname()[1])
        addons.write_pause(at)
        cgroup.create(at.cgroup)
        return node_process.start(at, listener.fileno())


def _remove(at: Layout) -> None:
    """End a node and remove all of its files."""
    node_process.end(at)
    cgroup.remove(at.cgroup)
    if at.root.exists():
        shutil.rmtree(at.root)


def delete(name: str, target: Path) -> None:
    """Delete a cluster and remove its context from a kubeconfig; neither has to exist."""
    at = _layout_of(name)
    say(f'Deleting cluster "{name}" …')
    with _alone():
        _remove(at)
    kubeconfig.forget(name, target)


def load_archives(name: str, archives: list[Path]) -> None:
    """Import image archives into the node, except those that were imported already.

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
        command = in_node(
            at, "ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images", "import", str(archive)
        )
        imported = subprocess.run(command, capture_output=True, text=True)
        if imported.returncode:
            raise ClusterError(f"{archive} can't be imported: {imported.stderr.strip()}")
        done.append(mark)
        fresh = done_file.with_suffix(".new")
        fresh.write_text(json.dumps(done))
        fresh.rename(done_file)


def has_image(name: str, reference: str) -> bool:
    """Whether the node has an image of this name."""
    command = in_node(
        layout(name), "ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images", "ls", "-q"
    )
    return image.full_name(reference) in subprocess.run(command, capture_output=True, text=True).stdout.split()
