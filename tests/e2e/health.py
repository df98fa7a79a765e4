"""The health that Argo CD and Flux give an object, by the files in deploy/components that users install."""

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
    """The Lua script of each kind, as the component puts it into Argo CD's ConfigMap."""
    kustomization = yaml.safe_load((COMPONENTS / "argocd" / "kustomization.yaml").read_text())
    pairs = (entry.split("=") for entry in kustomization["configMapGenerator"][0]["files"])
    return {key.rpartition("_")[2]: (COMPONENTS / "argocd" / file).read_text() for key, file in pairs}


def argo(body: dict[str, Any]) -> tuple[str, str]:
    """Status and message by Argo CD's rules: Lua 5.1 with the object as ``obj`` and without access to the outside."""
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

    The status of an older generation is in progress. Otherwise inProgress, failed and current are evaluated in this
    order; if none is true, the object is in progress. An expression over a missing field is an error, and Flux waits.
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
