"""Where a cluster keeps what, and its addresses. Everything is inside namespaces of its own, so that any number of
clusters can use the same addresses."""

from dataclasses import dataclass
from pathlib import Path

from . import cache

NODE_IP = "10.200.0.1"
POD_CIDR = "10.244.0.0/24"
SERVICE_CIDR = "10.96.0.0/16"
DNS_IP = "10.96.0.10"
API_PORT = 6443


@dataclass(frozen=True)
class Layout:
    """The files of one cluster."""

    name: str

    @property
    def root(self) -> Path:
        """All of the cluster's state."""
        return cache.folder("clusters") / self.name

    @property
    def node(self) -> str:
        """The node's name, as kind names it."""
        return f"{self.name}-control-plane"

    @property
    def pki(self) -> Path:
        """Certificates and the components' kubeconfigs."""
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """Configuration files."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """A log for each component."""
        return self.root / "logs"

    @property
    def containerd_socket(self) -> Path:
        """containerd's address, reachable from outside the namespaces."""
        return self.root / "containerd.sock"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log: metadata of every write."""
        return self.logs / "audit.log"

    @property
    def kubeconfig(self) -> Path:
        """An administrator's kubeconfig for the host."""
        return self.root / "kubeconfig"

    @property
    def pid_file(self) -> Path:
        """The process that holds the node, as the host numbers it."""
        return self.root / "node.pid"

    @property
    def cgroup(self) -> str:
        """The cgroup that all pods are in."""
        return f"litclaw-localkube-{self.name}"
