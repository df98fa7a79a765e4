"""The operator writes nothing while nothing changes: an idle minute has no write at all."""

import time
from pathlib import Path

from dev.cluster import docker_runs

from .audit import READS, log_of, requests
from .kube import Kube
from .proxy import Proxy
from .waiting import LONG_SECONDS, eventually

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
    """The operator's writes, without those of the leader's Lease."""
    return [
        f"{entry['requestReceivedTimestamp']} {entry['verb']} {entry['requestURI']}"
        for entry in requests(log)
        if entry["verb"] not in READS and entry.get("objectRef", {}).get("resource") != "leases"
    ]


def test_an_idle_minute_has_no_write(kube: Kube, proxy: Proxy, scout: str, kind_cluster: object) -> None:
    log = None if docker_runs() else log_of(kind_cluster.name)  # type: ignore[attr-defined]
    assert log is None or _writes(log), "the audit log has the operator's earlier writes"

    def idle() -> bool:
        versions, writes = _versions(kube), _writes(log) if log else []
        time.sleep(IDLE_SECONDS)
        after = _versions(kube)
        changed = {name for name in versions.keys() | after.keys() if versions.get(name) != after.get(name)}
        written = _writes(log)[len(writes) :] if log else []
        assert not changed and not written, (changed, written)
        return True

    # After other tests, spend is still booked and old keys still end; an operator that is never idle writes on.
    eventually(idle, timeout=LONG_SECONDS)
