"""The paths and addresses of a cluster. Each cluster has its own namespaces, so any number of clusters can use the same
addresses."""

from dataclasses import dataclass
from pathlib import Path

from . import cache

NODE_IP = "10.200.0.1"
POD_CIDR = "10.244.0.0/24"
SERVICE_CIDR = "10.96.0.0/16"
DNS_IP = "10.96.0.10"
API_PORT = 6443
# Paths in the node's mount namespace, which has its own /run and /var/lib.
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
VOLUMES = "/var/lib/localkube/volumes"
KUBELET = "/var/lib/kubelet"


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
        """The node's name, the same as in kind."""
        return f"{self.name}-control-plane"

    @property
    def pki(self) -> Path:
        """Certificates, and kubeconfigs of the components."""
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
    def audit_log(self) -> Path:
        """The API server's audit log: metadata of every write, and of the reads of pods."""
        return self.logs / "audit.log"

    @property
    def kubeconfig(self) -> Path:
        """An administrator's kubeconfig for the host."""
        return self.root / "kubeconfig"

    @property
    def state_file(self) -> Path:
        """Records that the node runs, and its process."""
        return self.root / "node.json"

    @property
    def cgroup(self) -> str:
        """The cgroup of all pods and the node's components."""
        return f"litclaw-localkube-{self.name}"
