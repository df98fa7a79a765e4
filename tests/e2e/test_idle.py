"""Nothing is written where nothing changed: an idle minute has no write at all."""

import time
from pathlib import Path

from dev.cluster import docker_runs

from .audit import READS, log_of, requests
from .support import Kube, Proxy

IDLE_SECONDS = 60
_KINDS = (
    "litellmroutes,openclawagents,secrets,configmaps,services,persistentvolumeclaims,deployments,statefulsets,"
    "networkpolicies,poddisruptionbudgets,horizontalpodautoscalers"
)


def _versions(kube: Kube) -> dict[str, str]:
    return {
        f"{body['kind']} {body['metadata']['namespace']}/{body['metadata']['name']}": body["metadata"][
            "resourceVersion"
        ]
        for body in kube.list(_KINDS)
        if body["metadata"]["namespace"] not in ("kube-system", "local-path-storage")
    }


def _writes(log: Path) -> list[str]:
    """Every write of the operator's; the leader's sign of life isn't one of the work's."""
    return [
        f"{entry['requestReceivedTimestamp']} {entry['verb']} {entry['requestURI']}"
        for entry in requests(log)
        if entry["verb"] not in READS and entry.get("objectRef", {}).get("resource") != "leases"
    ]


def test_an_idle_minute_has_no_write(kube: Kube, proxy: Proxy, scout: str, kind_cluster: object) -> None:
    name = kind_cluster.name  # type: ignore[attr-defined]
    time.sleep(40)  # what the tests before have left: spend and key counts that the next look sees
    log = None if docker_runs() else log_of(name)
    versions, writes = _versions(kube), _writes(log) if log else []
    time.sleep(IDLE_SECONDS)
    assert _versions(kube) == versions
    if log:
        assert writes, "the audit log must know the operator's earlier writes"
        assert _writes(log) == writes
