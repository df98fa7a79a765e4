"""What Argo CD and Flux make of an object, from the very files that users give them."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import celpy
import yaml
from celpy.evaluation import CELEvalError
from lupa.lua51 import LuaRuntime

COMPONENTS = Path(__file__).resolve().parents[2] / "deploy" / "components"


@cache
def _scripts() -> dict[str, str]:
    """The Lua of each kind, as the component puts it into Argo CD's ConfigMap."""
    kustomization = yaml.safe_load((COMPONENTS / "argocd" / "kustomization.yaml").read_text())
    pairs = (entry.split("=") for entry in kustomization["configMapGenerator"][0]["files"])
    return {key.rpartition("_")[2]: (COMPONENTS / "argocd" / file).read_text() for key, file in pairs}


def argo(body: dict[str, Any]) -> tuple[str, str]:
    """Status and message by Argo CD's rules: its Lua is 5.1 with the object as ``obj``, and no other way out."""
    lua = LuaRuntime(unpack_returned_tuples=True, register_eval=False)
    for name in ("os", "io", "package", "require", "dofile", "loadfile", "debug", "python"):
        lua.globals()[name] = None
    lua.globals()["obj"] = lua.table_from(body, recursive=True)
    found = lua.execute(_scripts()[body["kind"]])
    return found["status"], found["message"]


@cache
def _expressions() -> dict[str, dict[str, str]]:
    patch = yaml.safe_load((COMPONENTS / "flux" / "health.yaml").read_text())
    return {entry["kind"]: entry for entry in patch["spec"]["healthCheckExprs"]}


@cache
def _program(expression: str) -> celpy.Runner:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression))


def flux(body: dict[str, Any]) -> str:
    """InProgress, Failed, Current or Unknown (Flux waits), by the rules of its RFC 0009.

    An older generation's status is in progress; then inProgress, failed and current are asked in this order, and where
    none is true it is in progress. An expression over a field that isn't there is an error, which Flux waits out.
    """
    status, meta = body.get("status") or {}, body["metadata"]
    if status.get("observedGeneration", meta["generation"]) != meta["generation"]:
        return "InProgress"
    context = celpy.json_to_cel(json.loads(json.dumps(body)))
    for name, result in (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")):
        try:
            if _program(_expressions()[body["kind"]][name]).evaluate(context):
                return result
        except CELEvalError:
            return "Unknown"
    return "InProgress"
