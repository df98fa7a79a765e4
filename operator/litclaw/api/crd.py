"""CustomResourceDefinitions from the pydantic models.

Kubernetes takes a structural subset of OpenAPI 3.0: no ``$ref``, no ``anyOf`` with null, no titles. So references are
inlined, ``X | None`` becomes ``X``, and defaults are kept where the API server should fill them in.
"""

from typing import Any, Final

from pydantic import BaseModel

from . import names
from .agent import AGENT_COLUMNS, AGENT_KIND, AGENT_PLURAL, OpenClawAgent
from .route import ROUTE_COLUMNS, ROUTE_KIND, ROUTE_PLURAL, LiteLLMRoute

_DROPPED: Final = ("title", "$defs", "discriminator")


def structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A pydantic JSON schema as a structural one."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        return structural({**target, **{k: v for k, v in schema.items() if k != "$ref"}}, definitions)
    if "anyOf" in schema:
        [branch] = [option for option in schema["anyOf"] if option.get("type") != "null"]
        return structural({**branch, **{k: v for k, v in schema.items() if k != "anyOf"}}, definitions)
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _DROPPED or (key == "default" and value in (None, {}, [], "")):
            continue
        if key == "const":
            out["enum"] = [value]
        elif key == "properties":
            out[key] = {name: structural(part, definitions) for name, part in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = structural(value, definitions)
        elif key == "additionalProperties":
            continue
        else:
            out[key] = value
    return out


def _kind(
    model: type[BaseModel], kind: str, plural: str, short: str, columns: list[dict[str, Any]], *, scope: str
) -> dict[str, Any]:
    full = model.model_json_schema(by_alias=True)
    definitions = full["$defs"]
    spec = structural(full["properties"]["spec"], definitions)
    status = structural(full["properties"]["status"], definitions)
    status.pop("required", None)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{names.GROUP}", "labels": {names.LABEL_NAME: names.MANAGED_BY}},
        "spec": {
            "group": names.GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": [names.CATEGORY],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": (model.__doc__ or "").strip(),
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": spec,
                                "status": status,
                            },
                        }
                    },
                }
            ],
        },
    }


def custom_resource_definitions() -> dict[str, dict[str, Any]]:
    """The CRDs by file name, such as ``litellmroutes.litclaw.dev.yaml``."""
    crds = [
        _kind(LiteLLMRoute, ROUTE_KIND, ROUTE_PLURAL, "llr", ROUTE_COLUMNS, scope="Namespaced"),
        _kind(OpenClawAgent, AGENT_KIND, AGENT_PLURAL, "oca", AGENT_COLUMNS, scope="Namespaced"),
    ]
    return {f"{crd['metadata']['name']}.yaml": crd for crd in crds}
