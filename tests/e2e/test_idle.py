"""Nothing is written where nothing changed: an idle minute has no write at all."""

import json
import subprocess
import time
from pathlib import Path

from dev.cluster import docker_runs, tools

from .support import Kube, Proxy

IDLE_SECONDS = 60
OPERATOR = "system:serviceaccount:litclaw-system:litclaw"
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


def _writes(name: str) -> list[str]:
    """Every write of the operator's that the API server has logged, where there is an audit log (localkube)."""
    kind, _ = tools()
    path = subprocess.check_output([str(kind), "get", "audit-log", "--name", name], text=True).strip()
    found = []
    for line in Path(path).read_text().splitlines():
        entry = json.loads(line)
        if entry["user"]["username"] == OPERATOR:
            found.append(f"{entry['requestReceivedTimestamp']} {entry['verb']} {entry['requestURI']}")
    return found


def test_an_idle_minute_has_no_write(kube: Kube, proxy: Proxy, scout: str, kind_cluster: object) -> None:
    name = kind_cluster.name  # type: ignore[attr-defined]
    time.sleep(40)  # what the tests before have left: spend and key counts that the next look sees
    versions, writes = _versions(kube), [] if docker_runs() else _writes(name)
    time.sleep(IDLE_SECONDS)
    assert _versions(kube) == versions
    if not docker_runs():
        assert writes, "the audit log must know the operator's earlier writes"
        assert _writes(name) == writes
