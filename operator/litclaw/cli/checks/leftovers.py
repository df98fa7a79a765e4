"""Objects of ours whose owner is gone, and pods that the cluster refuses to make."""

from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.cli.checks.check import Check, cut, fail, objects, ok, skip, warn
from litclaw.cli.output import condition, plural
from litclaw.kube.cache import owner_of
from litclaw.kube.client import Kube
from litclaw.kube.resources import (
    AGENT,
    CONFIG_MAP,
    DEPLOYMENT,
    NAMESPACE,
    OWNED_KINDS,
    ROUTE,
    SECRET,
    STATEFUL_SET,
    Resource,
)

_OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
_OWNERS = (ROUTE.kind, AGENT.kind)
_ENFORCE = "pod-security.kubernetes.io/enforce"


async def check_orphans(kube: Kube) -> list[Check]:
    """Objects that carry our label and that no route or agent has."""
    name = "leftovers"
    living: set[str] = set()
    for resource in (ROUTE, AGENT):
        owners = await objects(kube, resource, metadata=True)
        if isinstance(owners, str):
            return [skip(name, f"the {resource.plural} of all namespaces can't be listed")]
        living |= {body["metadata"]["uid"] for body in owners}
    orphans: list[Check] = []
    seen, kept, hidden = 0, 0, []
    for resource in OWNED_KINDS:
        found = await objects(kube, resource, labels=_OURS, metadata=True)
        if isinstance(found, str):
            hidden += [resource.plural] if found == "forbidden" else []
            continue
        seen += len(found)
        for body in found:
            if (orphan := _orphan(resource, body, living)) is not None:
                orphans.append(orphan)
            elif resource is SECRET and owner_of(body["metadata"]) is None:
                kept += 1
    checks = cut(orphans, "leftovers")
    if hidden:
        checks.append(skip(name, f"you aren't allowed to list {', '.join(hidden)} in all namespaces"))
    retained = f"; {plural(kept, 'Secret')} kept by deletionPolicy: Retain" if kept else ""
    return checks or [ok(name, f"none among {plural(seen, 'object')}{retained}")]


def _orphan(resource: Resource, body: Mapping[str, Any], living: set[str]) -> Check | None:
    meta = body["metadata"]
    owner = owner_of(meta)
    title = f"{resource.kind} {meta['namespace']}/{meta['name']}"
    remedy = f"kubectl -n {meta['namespace']} delete {resource.kind.lower()} {meta['name']}"
    if owner and owner.kind in _OWNERS and owner.uid not in living:
        why = f"its {owner.kind} {owner.name} is gone"
        return warn("leftovers", f"{title}: {why}", f"Kubernetes deletes it by itself soon. If it doesn't: {remedy}")
    component = (meta.get("labels") or {}).get(names.LABEL_COMPONENT)
    if owner is None and resource in (SECRET, CONFIG_MAP) and component != "virtual-key":
        return warn("leftovers", f"{title}: nobody owns it", f"If it is of no use any more: {remedy}")
    return None


async def check_admission(kube: Kube) -> list[Check]:
    """Whether the cluster makes the pods that our workloads ask for."""
    name = "pods"
    refused: list[Check] = []
    where: set[str] = set()
    for resource in (DEPLOYMENT, STATEFUL_SET):
        found = await objects(kube, resource, labels=_OURS)
        if isinstance(found, str):
            return [skip(name, f"you aren't allowed to list {resource.plural} in all namespaces")]
        for body in found:
            meta = body["metadata"]
            where.add(meta["namespace"])
            failure = condition(body, "ReplicaFailure")
            if failure.get("status") == "True":
                title = f"{resource.kind} {meta['namespace']}/{meta['name']}"
                remedy = (
                    "What refuses it names itself: a Pod Security Standard, a quota or a webhook of the namespace. What the "
                    "operator makes passes restricted; what a resource adds to its pods may not."
                )
                refused.append(fail(name, f"{title}: {failure.get('message')}", remedy))
    if refused:
        return cut(refused, "workloads")
    return [await _standards(kube, where)]


async def _standards(kube: Kube, where: set[str]) -> Check:
    found = await objects(kube, NAMESPACE)
    if isinstance(found, str):
        return ok("pods", "none is refused")
    levels = {body["metadata"]["name"]: (body["metadata"].get("labels") or {}).get(_ENFORCE) for body in found}
    strict = sorted(name for name in where if levels.get(name) == "restricted")
    open_ = sorted(where - set(strict))
    parts = [f"admitted under restricted in {', '.join(strict)}"] if strict else []
    parts += [f"{', '.join(open_)} enforce less, and all that runs there of ours passes restricted"] if open_ else []
    return ok("pods", "; ".join(parts) or "there are none")
