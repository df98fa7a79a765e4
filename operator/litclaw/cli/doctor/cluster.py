"""The cluster: its release, and whether it has the CRDs of this release."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from litclaw import __version__
from litclaw.api.crd import custom_resource_definitions
from litclaw.cli.doctor.check import Check, fail, first_of, ok, skip, warn
from litclaw.kube.client import Kube
from litclaw.kube.diff import covers
from litclaw.kube.errors import KubeError
from litclaw.kube.resources import DEFINITION

OLDEST_KUBERNETES = (1, 30)
"""As in the README."""
_APPLY = "litclaw crds | kubectl apply --server-side --force-conflicts -f -"
_MOST_FIELDS = 3


async def check_version(kube: Kube) -> Check:
    """The API server's release."""
    version = await kube.version()
    name, seen = "API server", f"{version} at {kube.host}"
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST_KUBERNETES:
        oldest = ".".join(map(str, OLDEST_KUBERNETES))
        return fail(name, seen, f"Litclaw needs Kubernetes {oldest} or later: upgrade the cluster.")
    return ok(name, seen)


async def check_definitions(kube: Kube) -> list[Check]:
    """Each CRD."""
    return [await _check_definition(kube, wanted) for wanted in custom_resource_definitions()]


async def _check_definition(kube: Kube, wanted: dict[str, Any]) -> Check:
    full_name = wanted["metadata"]["name"]
    name = f"CRD {wanted['spec']['names']['plural']}"
    try:
        live = await kube.get(DEFINITION, None, full_name)
    except KubeError as error:
        if error.status != 403:
            raise
        return skip(name, "you aren't allowed to read CustomResourceDefinitions")
    if live is None:
        return fail(name, "doesn't exist", _APPLY)
    conditions = (live.get("status") or {}).get("conditions") or []
    if not any(each["type"] == "Established" and each["status"] == "True" for each in conditions):
        why = next((each.get("message", "") for each in conditions if each["status"] == "False"), "")
        return fail(name, f"isn't served: {why}", f"kubectl describe crd {full_name}")
    return _compared(name, live["spec"], wanted["spec"])


def _compared(name: str, live: Mapping[str, Any], wanted: Mapping[str, Any]) -> Check:
    have, need = set(_fields(live)), set(_fields(wanted))
    newer = f"It is newer than this litclaw ({__version__}): use the litclaw of the operator's release."
    if missing := sorted(need - have):
        return fail(name, f"is of an older release: it lacks {first_of(missing, _MOST_FIELDS)}", _APPLY)
    if unknown := sorted(have - need):
        return warn(name, f"has more than this release: {first_of(unknown, _MOST_FIELDS)}", newer)
    if not covers(live, wanted):
        return warn(name, "has this release's fields, with other rules or descriptions", _APPLY)
    return ok(name, f"as of this release, {__version__}")


def _fields(spec: Mapping[str, Any]) -> Iterator[str]:
    for version in spec["versions"]:
        yield from _fields_below(version["schema"]["openAPIV3Schema"], "")


def _fields_below(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, part in (schema.get("properties") or {}).items():
        yield f"{path}{name}"
        yield from _fields_below(part, f"{path}{name}.")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield from _fields_below(schema[key], path)
