"""Kubernetes Events about our resources."""

import logging
from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.api.digest import digest
from litclaw.kube.errors import KubeError
from litclaw.reconcile.core.cluster import Cluster
from litclaw.reconcile.core.conditions import timestamp

log = logging.getLogger(__name__)

_CLUSTER_SCOPED = "default"
"""The namespace in which Kubernetes keeps events about cluster-scoped objects."""


async def emit_event(cluster: Cluster, body: Mapping[str, Any], kind: str, reason: str, message: str) -> None:
    """Write an event, unless it exceeds the rate limit. A failure is only logged: nothing may depend on an event.

    Args:
        kind: Normal or Warning.
    """
    meta = body["metadata"]
    if not cluster.events.passes((meta["uid"], reason)):
        return
    now = timestamp(cluster.now())
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{meta['name']}.{digest([meta['uid'], reason, message, now])}",
            "namespace": meta.get("namespace", _CLUSTER_SCOPED),
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
        },
        "involvedObject": {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            **{each: meta[each] for each in ("name", "namespace", "uid") if each in meta},
        },
        "type": kind,
        "reason": reason,
        "message": message[:1024],
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "source": {"component": names.FIELD_MANAGER},
    }
    try:
        await cluster.kube.create(event)
    except KubeError as error:
        log.warning(
            "the event %s of %s %s/%s isn't written: %s",
            reason,
            body["kind"],
            meta.get("namespace", ""),
            meta["name"],
            error,
        )
