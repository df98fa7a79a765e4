"""The options of an operator process."""

from dataclasses import dataclass

DEFAULT_NAMESPACE = "litclaw-system"
"""Where the Lease is when the operator runs outside of the cluster."""


@dataclass(frozen=True, slots=True)
class Options:
    """How one operator process runs.

    Attributes:
        workers: how many resources are reconciled at a time.
        health: address and port of /healthz, /readyz and /metrics; empty: none.
        leader_elect: True if it reconciles only while it holds the Lease; None: inside a cluster, yes.
        namespaces: the namespaces that it serves; empty: the whole cluster.
        crash_logs: True if conditions show the last lines of a crashed container's log.
        cluster_id: identifies the cluster in the marks of keys; empty: the uid of the namespace kube-system.
    """

    workers: int = 16
    health: str = ""
    leader_elect: bool | None = None
    namespaces: tuple[str, ...] = ()
    cluster_id: str = ""
    crash_logs: bool = False
