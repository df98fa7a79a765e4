"""What a reconcile tells people: the status, written only where it changed, and an event where readiness or budget did."""

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from litclaw.api import names
from litclaw.api.base import Model
from litclaw.kube.errors import KubeError
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.conditions import READY, STALLED, Blocked, timestamp
from litclaw.render.metadata import digest

log = logging.getLogger(__name__)


def unreadable(error: ValidationError) -> Blocked:
    """What to say of a resource that the API server took and we can't read. No value of it is repeated."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    lines = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in found[:5]]
    message = f"The resource can't be read: {'; '.join(lines)}. Mend it, or apply the CRDs of this release."
    return Blocked(READY, "InvalidSpec", message, stalled=True)


def dump(status: Model, conditions: list[dict[str, Any]]) -> dict[str, Any]:
    """A status as the API keeps it."""
    return {**status.model_dump(by_alias=True, exclude_none=True, mode="json"), "conditions": conditions}


_OF_THE_CLUSTER = "default"
"""Where Kubernetes keeps events about what is in no namespace."""
_TOLD = (READY, "WithinBudget")
"""The conditions whose change is an event."""


def _condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    for condition in status.get("conditions") or []:
        if condition["type"] == type_:
            return dict(condition)
    return {}


async def write_status(context: Context, body: Mapping[str, Any], status: dict[str, Any]) -> None:
    """Write a status where it isn't there already, and an event where readiness or budget changed."""
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
    await context.write(manifest, body, subresource="status")
    for type_ in _TOLD:
        old, new = _condition(before, type_), _condition(status, type_)
        if new and (old.get("status"), old.get("reason")) != (new["status"], new["reason"]):
            await _tell(context, body, status, old, new)


async def _tell(
    context: Context, body: Mapping[str, Any], status: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    if new["type"] == READY:
        kind = "Warning" if _condition(status, STALLED).get("status") == "True" else "Normal"
        await record(context, body, kind, new["reason"], new["message"])
    elif new["status"] == "False":
        await record(context, body, "Warning", f"Budget{new['reason']}", new["message"])
    elif old.get("status") == "False":
        await record(context, body, "Normal", "BudgetAnew", "There is budget requeue_after, and LiteLLM takes calls.")


async def record(context: Context, body: Mapping[str, Any], kind: str, reason: str, message: str) -> None:
    """Write an event. One that can't be written is only logged: nothing may rest on it. A loop isn't told again and again.

    Args:
        kind: Normal or Warning.
    """
    meta = body["metadata"]
    if not context.events.passes((meta["uid"], reason)):
        return
    now = timestamp(context.now())
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{meta['name']}.{digest([meta['uid'], reason, message, now])}",
            "namespace": meta.get("namespace", _OF_THE_CLUSTER),
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
        await context.kube.apply(event)
    except KubeError as error:
        log.warning(
            "the event %s of %s %s/%s: %s", reason, body["kind"], meta.get("namespace", ""), meta["name"], error
        )
