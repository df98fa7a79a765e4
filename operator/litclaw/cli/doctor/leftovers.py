"""Objects of ours whose owner is gone, and pods that the cluster refuses to create."""

from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.cli.doctor.check import Check, fail, limited, objects, ok, skip, warn
from litclaw.cli.output import plural
from litclaw.cli.view import title
from litclaw.kube.cache import owner_of
from litclaw.kube.client import Kube
from litclaw.kube.objects import condition_of
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
_REFUSED = (
    "The message names what refuses it: a Pod Security Standard, a quota or a webhook of the namespace. The operator's "
    "pods comply with restricted; settings that a resource adds to them may not."
)


async def check_orphans(kube: Kube) -> list[Check]:
    """Objects with our label that no route or agent owns."""
    name = "leftovers"
    living: set[str] = set()
    for resource in (ROUTE, AGENT):
        owners = await objects(kube, resource, metadata=True)
        if isinstance(owners, str):
            return [skip(name, f"the {resource.plural} of all namespaces can't be listed")]
        living |= {body["metadata"]["uid"] for body in owners}
    orphans: list[Check] = []
    seen, retained, forbidden = 0, 0, []
    for resource in OWNED_KINDS:
        found = await objects(kube, resource, labels=_OURS, metadata=True)
        if isinstance(found, str):
            forbidden += [resource.plural] if found == "forbidden" else []
            continue
        seen += len(found)
        for body in found:
            if (orphan := _orphan(resource, body, living)) is not None:
                orphans.append(orphan)
            elif resource is SECRET and owner_of(body["metadata"]) is None:
                retained += 1
    kinds = ",".join(resource.plural for resource in OWNED_KINDS)
    checks = limited(orphans, "leftovers", f"kubectl get {kinds} -A -l {_OURS}")
    if forbidden:
        checks.append(skip(name, f"you aren't allowed to list {', '.join(forbidden)} in all namespaces"))
    kept = f"; {plural(retained, 'Secret')} kept by deletionPolicy: Retain" if retained else ""
    return checks or [ok(name, f"none among {plural(seen, 'object')}{kept}")]


def _orphan(resource: Resource, body: Mapping[str, Any], living: set[str]) -> Check | None:
    meta = body["metadata"]
    owner = owner_of(meta)
    subject = f"{resource.kind} {title(body)}"
    remedy = f"kubectl -n {meta['namespace']} delete {resource.kind.lower()} {meta['name']}"
    if owner and owner.kind in _OWNERS and owner.uid not in living:
        why = f"its {owner.kind} {owner.name} is gone"
        return warn("leftovers", f"{subject}: {why}", f"Kubernetes deletes it by itself soon. If it doesn't: {remedy}")
    component = (meta.get("labels") or {}).get(names.LABEL_COMPONENT)
    if owner is None and resource in (SECRET, CONFIG_MAP) and component != "virtual-key":
        return warn("leftovers", f"{subject}: it has no owner", f"If nothing uses it any more: {remedy}")
    return None


async def check_admission(kube: Kube) -> list[Check]:
    """Whether the cluster creates the pods of our workloads."""
    name = "pods"
    refused: list[Check] = []
    namespaces: set[str] = set()
    for resource in (DEPLOYMENT, STATEFUL_SET):
        found = await objects(kube, resource, labels=_OURS)
        if isinstance(found, str):
            return [skip(name, f"you aren't allowed to list {resource.plural} in all namespaces")]
        for body in found:
            namespaces.add(body["metadata"]["namespace"])
            failure = condition_of(body, "ReplicaFailure")
            if failure.get("status") == "True":
                refused.append(fail(name, f"{resource.kind} {title(body)}: {failure.get('message')}", _REFUSED))
    if refused:
        return limited(refused, "workloads", f"kubectl get deployments,statefulsets -A -l {_OURS}")
    return [await _standards(kube, namespaces)]


async def _standards(kube: Kube, namespaces: set[str]) -> Check:
    found = await objects(kube, NAMESPACE)
    if isinstance(found, str):
        return ok("pods", "none is refused")
    levels = {body["metadata"]["name"]: (body["metadata"].get("labels") or {}).get(_ENFORCE) for body in found}
    restricted = sorted(name for name in namespaces if levels.get(name) == "restricted")
    others = sorted(namespaces - set(restricted))
    parts = [f"admitted under restricted in {', '.join(restricted)}"] if restricted else []
    parts += [f"{', '.join(others)} enforce less, and all our pods there comply with restricted"] if others else []
    return ok("pods", "; ".join(parts) or "there are none")
