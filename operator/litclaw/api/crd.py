"""CustomResourceDefinitions, generated from the pydantic models.

Kubernetes accepts a structural subset of OpenAPI 3.0, without ``$ref``, ``anyOf`` with null, and titles. So references
are inlined, ``X | None`` becomes ``X``, and only defaults that the API server should fill in are kept.
"""

from typing import Any, Final

import yaml
from pydantic import BaseModel

from litclaw.api import names
from litclaw.api.agent import AGENT_COLUMNS, OpenClawAgent
from litclaw.api.cel import VALIDATIONS
from litclaw.api.rotation import ROTATION_COLUMNS, LiteLLMKeyRotation
from litclaw.api.route import ROUTE_COLUMNS, LiteLLMRoute

_DROPPED: Final = ("title", "$defs", "discriminator")
_GENERATED: Final = "# Generated from the pydantic models by `litclaw crds`: change those, not this.\n"
_API_VERSION: Final = "API group and version of this object."
_KIND: Final = "Kind of this object."


def structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Convert a pydantic JSON schema to a structural one."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        return structural(_overlay(target, schema, "$ref"), definitions)
    if "anyOf" in schema:
        [branch] = [option for option in schema["anyOf"] if option.get("type") != "null"]
        return structural(_overlay(branch, schema, "anyOf"), definitions)
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _DROPPED or (key == "default" and value in (None, {}, [], "")):
            continue
        if key == "const":
            out["enum"] = [value]
        elif key == "properties":
            out[key] = {name: _property(schema, name, definitions) for name in value}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = structural(value, definitions)
        elif key == "additionalProperties":
            continue
        else:
            out[key] = value
    if "additionalProperties" in out:
        out["nullable"] = True  # a server-side apply that empties a map stores null: see `Model`
    return out


def _overlay(below: dict[str, Any], schema: dict[str, Any], without: str) -> dict[str, Any]:
    """A type's schema, overridden where a field uses the type. CEL rules of both apply."""
    merged = {**below, **{key: value for key, value in schema.items() if key != without}}
    if both := below.get(VALIDATIONS, []) + schema.get(VALIDATIONS, []):
        merged[VALIDATIONS] = both
    return merged


def _property(schema: dict[str, Any], name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    given = schema["properties"][name]
    out = structural(given, definitions)
    # The API server fills in defaults only inside objects that exist, so an object with defaults inside is itself the
    # default. It validates a default as written, so the defaults inside are repeated here.
    optional = "anyOf" in given or name in schema.get("required", ())
    below = {key: part["default"] for key, part in out.get("properties", {}).items() if "default" in part}
    if below and not optional:
        out["default"] = below
    return out


def _without_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a status: the API server must not fill in what the operator hasn't observed."""
    out = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in out:
        out["properties"] = {name: _without_defaults(part) for name, part in out["properties"].items()}
    if "items" in out:
        out["items"] = _without_defaults(out["items"])
    return out


def _kind(
    model: type[BaseModel], kind: str, plural: str, short: str, columns: list[dict[str, Any]], *, scope: str
) -> dict[str, Any]:
    full = model.model_json_schema(by_alias=True)
    definitions = full["$defs"]
    spec = structural(full["properties"]["spec"], definitions)
    status = _without_defaults(structural(full["properties"]["status"], definitions))
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
                                "apiVersion": {"type": "string", "description": _API_VERSION},
                                "kind": {"type": "string", "description": _KIND},
                                # The API server enforces this length anyway. In the schema, it bounds the rules' cost.
                                "metadata": {
                                    "type": "object",
                                    "properties": {"name": {"type": "string", "maxLength": 253}},
                                },
                                "spec": spec,
                                "status": status,
                            },
                            VALIDATIONS: full.get(VALIDATIONS, []),
                        }
                    },
                }
            ],
        },
    }


def custom_resource_definitions() -> list[dict[str, Any]]:
    """The CRDs, one per kind."""
    return [
        _kind(LiteLLMRoute, names.ROUTE_KIND, names.ROUTE_PLURAL, "llr", ROUTE_COLUMNS, scope="Namespaced"),
        _kind(OpenClawAgent, names.AGENT_KIND, names.AGENT_PLURAL, "oca", AGENT_COLUMNS, scope="Namespaced"),
        _kind(
            LiteLLMKeyRotation, names.ROTATION_KIND, names.ROTATION_PLURAL, "llkr", ROTATION_COLUMNS, scope="Cluster"
        ),
    ]


class _Dumper(yaml.SafeDumper):
    """Without anchors and aliases, which are hard to read and which not every tool supports."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def crd_files() -> dict[str, str]:
    """The CRDs as YAML, by file name such as ``litclaw.dev_litellmroutes.yaml``."""
    return {
        f"{names.GROUP}_{crd['spec']['names']['plural']}.yaml": _GENERATED
        + yaml.dump(crd, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
        for crd in custom_resource_definitions()
    }
