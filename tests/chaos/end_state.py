"""The end state of a case, without what differs from case to case: names, times, hashes, resource versions."""

import base64
import re
from collections.abc import Mapping
from typing import Any

from litclaw.kube.resources import AGENT, CONFIG_MAP, ROUTE, SECRET

from .calls import case_of
from .stage import Object, Snapshot, token_of

_TIMES = {"lastTransitionTime", "rotatedAt", "nextRotation", "budgetResetsAt", "retiringUntil"}
_DROPPED_STATUS = {"proxies"}  # a proxy that a route has left is in it until the next read of its keys
_DROPPED = {"resourceVersion", "uid", "creationTimestamp", "generation", "managedFields", "selfLink"}
_ANNOTATIONS = {"litclaw.dev/digest", "litclaw.dev/key"}
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
        for name, body in snapshot.objects[kind].items():
            if case_of(name) == case and name != f"{case}-master":
                out[f"{kind} {name.replace(case, 'CASE')}"] = _object(body, case)
    secret = snapshot.get(SECRET.kind, f"{case}-litellm")
    delivered = _value(secret, "LITELLM_API_KEY")
    rows = snapshot.keys.get(case, [])
    out["keys"] = sorted((_row(row, case, delivered) for row in rows), key=repr)
    return out


def _value(secret: Mapping[str, Any] | None, name: str) -> str:
    data = (secret or {}).get("data") or {}
    return base64.b64decode(data.get(name, "")).decode()


def _object(body: Mapping[str, Any], case: str) -> Object:
    meta = {key: value for key, value in body["metadata"].items() if key not in _DROPPED}
    if "annotations" in meta:
        meta["annotations"] = {k: v for k, v in meta["annotations"].items() if k not in _ANNOTATIONS}
    status = {key: value for key, value in (body.get("status") or {}).items() if key not in _DROPPED_STATUS}
    out = {"metadata": meta, "spec": body.get("spec"), "status": status or None}
    if body["kind"] == SECRET.kind:
        out["data"] = {
            key: "VALUE" if key == "LITELLM_API_KEY" else base64.b64decode(value).decode()
            for key, value in (body.get("data") or {}).items()
        }
    elif body["kind"] == CONFIG_MAP.kind:
        out["data"] = body.get("data")
    cleaned: Object = _clean(out, case)
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


def _row(row: Mapping[str, Any], case: str, delivered: str) -> Object:
    out: Object = {name: row.get(name) for name in _ROW}
    out["key_alias"] = _RETIRED.sub("@RETIRED", str(out["key_alias"]).replace(case, "CASE"))
    out["expires"] = out["expires"] is not None
    out["spend"] = round(float(out["spend"] or 0), 6)
    out["in the Secret"] = bool(delivered) and row["token"] == token_of(delivered)
    mark = (row.get("metadata") or {}).get("litclaw") or {}
    out["mark"] = {name: mark.get(name) for name in ("namespace", "held", "retained", "asked", "anew_at")}
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
