"""The status of a resource, written only where it changed, with an event where readiness or the budget changed."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from litclaw.api.base import Model
from litclaw.kube.objects import condition_of
from litclaw.reconcile.core.cluster import Cluster
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.reconcile.core.events import emit_event

_WITH_EVENTS = (ConditionType.READY, ConditionType.WITHIN_BUDGET)
"""The conditions whose change is an event."""


def invalid_spec(error: ValidationError) -> Blocked:
    """For a resource that the API server accepts and we can't read. No value of it is repeated."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    lines = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in found[:5]]
    message = f"The resource can't be read: {'; '.join(lines)}. Correct it, or apply the CRDs of this release."
    return Blocked(ConditionType.READY, "InvalidSpec", message, stalled=True)


def dump(status: Model, conditions: list[dict[str, Any]]) -> dict[str, Any]:
    """A status as the API keeps it."""
    return {**status.model_dump(by_alias=True, exclude_none=True, mode="json"), "conditions": conditions}


async def write_status(cluster: Cluster, body: Mapping[str, Any], status: dict[str, Any]) -> None:
    """Write a status, unless the resource has it already, and the events that belong to it.

    Raises:
        KubeError: the API server refuses it or can't be reached.
    """
    before = body.get("status") or {}
    if before == status:
        return
    meta = body["metadata"]
    manifest = {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "metadata": {each: meta[each] for each in ("name", "namespace", "uid") if each in meta},
        "status": status,
    }
    await cluster.write(manifest, body, subresource="status")
    for type_ in _WITH_EVENTS:
        old, new = condition_of(body, type_), condition_of(manifest, type_)
        if new and (old.get("status"), old.get("reason")) != (new["status"], new["reason"]):
            await _emit_change(cluster, manifest, body, old, new)


async def _emit_change(
    cluster: Cluster,
    manifest: Mapping[str, Any],
    body: Mapping[str, Any],
    old: Mapping[str, Any],
    new: Mapping[str, Any],
) -> None:
    if new["type"] == ConditionType.READY:
        stalled = condition_of(manifest, ConditionType.STALLED).get("status") == "True"
        await emit_event(cluster, body, "Warning" if stalled else "Normal", new["reason"], new["message"])
    elif new["status"] == "False":
        await emit_event(cluster, body, "Warning", f"Budget{new['reason']}", new["message"])
    elif old.get("status") == "False":
        await emit_event(cluster, body, "Normal", "BudgetAnew", "There is budget again, and LiteLLM takes calls.")
