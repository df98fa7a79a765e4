"""Outages on a localkube node: of its components, its pods' network, the disk behind a volume.

A node is a process with namespaces of its own, so a test can reach all of these without affecting anything else.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dev.cluster import ROOT, docker_runs

_CUT = """
table inet outage {
  chain between { type filter hook forward priority -10; policy drop; }
  chain to_node { type filter hook input priority -10; ip saddr 10.244.0.0/16 drop; }
}
"""


def also_named(cluster: str, image: str, name: str) -> None:
    """Give an image in a cluster's node another name, on kind too."""
    tag = ("--namespace", "k8s.io", "images", "tag", "--force", image, name)
    if docker_runs():
        command: tuple[str, ...] = ("docker", "exec", f"{cluster}-control-plane", "ctr", *tag)
    else:
        sys.path.insert(0, str(ROOT / "localkube"))
        from localkube_kind import layout, node_process

        address = ("--address", layout.CONTAINERD_SOCKET)
        command = tuple(node_process.in_node(layout.Layout(cluster), "ctr", *address, *tag))
    subprocess.run(command, check=True, capture_output=True)


class Node:
    """The node of a cluster.

    Args:
        cluster: its name. Where Docker runs, the clusters are kind's and the test is skipped.
    """

    def __init__(self, cluster: str) -> None:
        if docker_runs():
            pytest.skip("a kind node is a container, and its components can't be stopped from outside")
        sys.path.insert(0, str(ROOT / "localkube"))
        from localkube_kind import layout, node_process

        self._at = layout.Layout(cluster)
        self._in_node = node_process.in_node
        first = node_process.pid(self._at)
        assert first, f"the node of {cluster} doesn't run"
        self._first = first

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a command in the node's namespaces; returns what it prints."""
        done = subprocess.run(
            self._in_node(self._at, *command), check=False, input=stdin, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def component(self, name: str) -> list[int]:
        """The process of a Kubernetes component, such as ``etcd``."""
        return self._processes(lambda at: (at / "cmdline").read_bytes().split(b"\0")[1:2] == [name.encode()])

    def pod(self, uid: str) -> list[int]:
        """The processes of a pod's containers."""
        return self._processes(lambda at: f"pod{uid}" in (at / "cgroup").read_text())

    def _processes(self, wanted: Callable[[Path], bool]) -> list[int]:
        parents: dict[int, int] = {}
        for at in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if at.name.isdigit():
                    parents[int(at.name)] = int((at / "stat").read_text().rpartition(")")[2].split()[1])
        found = []
        for pid in parents:
            above = pid
            while above not in (0, self._first):
                above = parents.get(above, 0)
            with contextlib.suppress(OSError):
                if above and wanted(Path(f"/proc/{pid}")):
                    found.append(pid)
        return found

    @contextlib.contextmanager
    def stopped(self, pids: list[int]) -> Iterator[None]:
        """Pause processes: they keep their connections and answer nothing."""
        assert pids, "there is nothing to stop"
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Drop every packet between pods, and from pods to the node."""
        self.run("nft", "-f", "-", stdin=_CUT)
        try:
            yield
        finally:
            self.run("nft", "delete", "table", "inet", "outage")

    def shrink(self, volume: str, spare_mib: int) -> str:
        """Move an unused volume, with its contents, to a disk that is almost full.

        Returns:
            Its folder in the node.
        """
        [folder] = self.run("find", "/var/lib/localkube/volumes", "-maxdepth", "2", "-name", f"*{volume}*").split()
        used = int(self.run("du", "-sm", folder).split()[0])
        kept = f"{folder}.kept"
        owner = self.run("stat", "-c", "%u:%g %a", folder).split()
        self.run("cp", "-a", folder, kept)
        self.run("mount", "-t", "tmpfs", "-o", f"size={used + spare_mib}m", "tmpfs", folder)
        self.run("chown", owner[0], folder)
        self.run("chmod", owner[1], folder)
        self.run("cp", "-a", f"{kept}/.", folder)
        return folder

    def unshrink(self, folder: str) -> None:
        """Move an unused volume back to its own disk, with its current contents."""
        kept = f"{folder}.kept"
        self.run("rm", "-rf", kept)
        self.run("cp", "-a", folder, kept)
        self.run("umount", folder)
        self.run("find", folder, "-mindepth", "1", "-delete")
        self.run("cp", "-a", f"{kept}/.", folder)
        self.run("rm", "-rf", kept)

    def fill(self, folder: str) -> str:
        """Fill a disk to the last byte; returns the file that fills it."""
        file = f"{folder}/filler"
        subprocess.run(
            self._in_node(self._at, "dd", "if=/dev/zero", f"of={file}", "bs=64k"), check=False, capture_output=True
        )
        return file
