"""Workloads whose pods never run: the faulty world plays their status.

Sixty gateways and proxies at a time don't fit on a machine. So the pods of numbered cases are asked for on a node that doesn't
exist, and what the operator reads of their Deployments and Jobs has the status that they would have with pods that run. All
else of those objects is real.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from .calls import is_numbered

_PLURALS: Final = ("deployments", "jobs")
NOWHERE: Final = {"chaos.invalid/node": "none"}
"""A node selector that no node matches."""


def is_played(call: str) -> bool:
    """Whether a call, named as ``GET deployments (list)``, is one of workloads."""
    return call.split()[1].partition("/")[0] in _PLURALS


def played(content: bytes, call: str) -> bytes:
    """A response or an event of a watch with the status of workloads that run.

    Args:
        content: in JSON; anything else stays as it is.
        call: its name.
    """
    try:
        body = json.loads(content)
    except ValueError:
        return content
    if not isinstance(body, dict):
        return content
    status = _of_job if call.split()[1].startswith("jobs") else _of_deployment
    items = body.get("items")
    for each in items if isinstance(items, list) else [body.get("object", body)]:
        if is_numbered((each.get("metadata") or {}).get("name", "")) and "spec" in each:
            each["status"] = status(each)
    return json.dumps(body).encode()


def _condition(type_: str, since: str) -> dict[str, str]:
    return {"type": type_, "status": "True", "reason": "Played", "message": "", "lastTransitionTime": since}


def _of_deployment(body: Mapping[str, Any]) -> dict[str, Any]:
    meta, pods = body["metadata"], body["spec"].get("replicas", 1)
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), pods) if pods else {}
    conditions = [_condition(type_, meta.get("creationTimestamp", "")) for type_ in ("Available", "Progressing")]
    return {"observedGeneration": meta.get("generation"), **counts, "conditions": conditions}


def _of_job(body: Mapping[str, Any]) -> dict[str, Any]:
    created = body["metadata"].get("creationTimestamp", "")
    ended = {"startTime": created, "completionTime": created, "succeeded": 1}
    return {**ended, "conditions": [_condition("Complete", created)]}
