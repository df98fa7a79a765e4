"""The end state of a case, without what differs from case to case: names, times, hashes, resource versions."""

import base64
import re
from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.api.digest import digest
from litclaw.kube.cache import fingerprint
from litclaw.kube.resources import (
    AGENT,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    JOB,
    NETWORK_POLICY,
    ROUTE,
    SECRET,
    SERVICE,
    VOLUME_CLAIM,
)

from .calls import case_of
from .stage import Object, Snapshot, token_of
from .world import NOT_SECRET

_TIMES = {"lastTransitionTime", "rotatedAt", "nextRotation", "budgetResetsAt", "retiringUntil"}
_DROPPED_STATUS = {"proxies"}  # a proxy that a route has left is in it until the next read of its keys
_DROPPED = {"resourceVersion", "uid", "creationTimestamp", "generation", "managedFields", "selfLink"}
_ANNOTATIONS = {names.ANNOTATION_DIGEST, names.ANNOTATION_KEY, names.ANNOTATION_MADE}
_AROUND_PODS = tuple(
    resource.kind for resource in (DEPLOYMENT, SERVICE, VOLUME_CLAIM, DISRUPTION_BUDGET, NETWORK_POLICY)
)
_OF_THE_CLUSTER = {"clusterIP", "clusterIPs", "volumeName"}
_ROW = (
    *("key_alias", "models", "max_budget", "budget_duration", "tpm_limit", "rpm_limit", "max_parallel_requests"),
    *("spend", "blocked", "expires", "at"),
)
_RETIRED = re.compile(r"@\d+\.[0-9a-f]{16}$")
_TOKEN = re.compile(r"\b[0-9a-f]{64}\b")


def seen(snapshot: Snapshot, case: str) -> Object:
    """A case's end state, for comparison with another's."""
    out: Object = {}
    for kind in (AGENT.kind, ROUTE.kind, SECRET.kind, CONFIG_MAP.kind):
        for name, body in _of_case(snapshot, kind, case):
            if name != f"{case}-master":
                out[f"{kind} {name.replace(case, 'CASE')}"] = _object(body, case)
    digests = _digests(snapshot, case)
    for kind in _AROUND_PODS:
        for name, body in _of_case(snapshot, kind, case):
            out[f"{kind} {name.replace(case, 'CASE')}"] = _around_pods(body, case, digests)
    out["jobs"] = len(_of_case(snapshot, JOB.kind, case))
    holders = {token_of(key): name.replace(case, "CASE") for name, key in delivered(snapshot, case).items()}
    rows = snapshot.keys.get(case, [])
    out["keys"] = sorted((_row(row, case, holders) for row in rows), key=repr)
    return out


def _of_case(snapshot: Snapshot, kind: str, case: str) -> list[tuple[str, Object]]:
    return [(name, body) for name, body in snapshot.objects.get(kind, {}).items() if case_of(name) == case]


def delivered(snapshot: Snapshot, case: str) -> dict[str, str]:
    """The virtual keys in a case's Secrets, by the Secret's name."""
    keys = {name: _value(body, names.API_KEY) for name, body in _of_case(snapshot, SECRET.kind, case)}
    return {name: key for name, key in keys.items() if key}


def _value(secret: Mapping[str, Any], name: str) -> str:
    data = secret.get("data") or {}
    return base64.b64decode(data.get(name, "")).decode()


def _digests(snapshot: Snapshot, case: str) -> dict[str, str]:
    """What the digests in a pod template stand for, where it is as it is now."""
    configs = {digest(body.get("data")): "CONFIG" for _, body in _of_case(snapshot, CONFIG_MAP.kind, case)}
    tokens = [_value(body, names.GATEWAY_TOKEN) for _, body in _of_case(snapshot, SECRET.kind, case)]
    return configs | {digest(fingerprint(token)): "TOKEN" for token in tokens if token}


def _object(body: Mapping[str, Any], case: str) -> Object:
    meta = {key: value for key, value in body["metadata"].items() if key not in _DROPPED}
    if "annotations" in meta:
        meta["annotations"] = {k: v for k, v in meta["annotations"].items() if k not in _ANNOTATIONS}
    status = {key: value for key, value in (body.get("status") or {}).items() if key not in _DROPPED_STATUS}
    out = {"metadata": meta, "spec": body.get("spec"), "status": status or None}
    if body["kind"] == SECRET.kind:
        out["data"] = {
            key: base64.b64decode(value).decode() if key in NOT_SECRET else "VALUE"
            for key, value in (body.get("data") or {}).items()
        }
    elif body["kind"] == CONFIG_MAP.kind:
        out["data"] = body.get("data")
    cleaned: Object = _clean(out, case)
    return cleaned


def _around_pods(body: Mapping[str, Any], case: str, digests: Mapping[str, str]) -> Object:
    """An object around pods, without what Kubernetes adds to it as time goes by."""
    meta = {key: body["metadata"].get(key) for key in ("labels", "ownerReferences")}
    spec = {key: value for key, value in body["spec"].items() if key not in _OF_THE_CLUSTER}
    cleaned: Object = _clean({"metadata": meta, "spec": spec}, case)
    if body["kind"] == DEPLOYMENT.kind:
        template = cleaned["spec"]["template"]["metadata"]
        given = body["spec"]["template"]["metadata"].get("annotations") or {}
        template["annotations"] = {name: digests.get(value, "ANOTHER") for name, value in given.items()}
    return cleaned


def _clean(value: Any, case: str) -> Any:
    if isinstance(value, Mapping):
        # Whether a time is set counts, and not its value.
        out = {key: "TIME" if key in _TIMES else _clean(each, case) for key, each in value.items()}
        if "hash" in out and "generation" in out:  # status.key: with a fault, one key more may be made
            del out["hash"], out["generation"]
        if "uid" in out:
            out["uid"] = "UID"
        return out
    if isinstance(value, list):
        return [_clean(each, case) for each in value]
    if isinstance(value, str):
        return _TOKEN.sub("TOKEN", value.replace(case, "CASE"))
    return value


def _row(row: Mapping[str, Any], case: str, holders: Mapping[str, str]) -> Object:
    out: Object = {name: row.get(name) for name in _ROW}
    out["key_alias"] = _RETIRED.sub("@RETIRED", str(out["key_alias"]).replace(case, "CASE"))
    out["expires"] = out["expires"] is not None
    out["spend"] = round(float(out["spend"] or 0), 6)
    out["in the Secret"] = holders.get(row["token"], "")
    mark = (row.get("metadata") or {}).get("litclaw") or {}
    out["mark"] = {name: _clean(mark.get(name), case) for name in ("namespace", "held", "retained", "asked", "anew_at")}
    return out


def difference(wanted: Any, got: Any, path: str = "") -> list[str]:
    """The differences between two end states, a line each."""
    if isinstance(wanted, Mapping) and isinstance(got, Mapping):
        lines = []
        for key in sorted({*wanted, *got}, key=str):
            where = f"{path}.{key}" if path else str(key)
            if key not in got:
                lines.append(f"{where} is missing")
            elif key not in wanted:
                lines.append(f"{where} is too much: {str(got[key])[:200]}")
            else:
                lines += difference(wanted[key], got[key], where)
        return lines
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [
            line
            for at, (w, g) in enumerate(zip(wanted, got, strict=True))
            for line in difference(w, g, f"{path}[{at}]")
        ]
    return [] if wanted == got else [f"{path}: {str(got)[:300]} instead of {str(wanted)[:300]}"]
