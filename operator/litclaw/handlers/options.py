"""What an operator process is told at its start."""

from dataclasses import dataclass

DEFAULT_NAMESPACE = "litclaw-system"
"""Where the Lease is when the operator runs outside of the cluster."""


@dataclass(frozen=True, slots=True)
class Options:
    """How one operator process runs.

    Attributes:
        workers: how many resources are worked on at a time.
        health: address and port of /healthz, /readyz and /metrics; empty: none.
        leader_elect: whether it works only while it holds the Lease; None: inside a cluster, yes.
        namespaces: where it watches and acts; empty: in the whole cluster.
        cluster_id: what stands for the cluster in the marks of keys; empty: the uid of the namespace kube-system.
    """

    workers: int = 16
    health: str = ""
    leader_elect: bool | None = None
    namespaces: tuple[str, ...] = ()
    cluster_id: str = ""
