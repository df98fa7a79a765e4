"""CustomResourceDefinitions from the pydantic models.

Kubernetes takes a structural subset of OpenAPI 3.0: no ``$ref``, no ``anyOf`` with null, no titles. So references are
inlined, ``X | None`` becomes ``X``, and defaults are kept where the API server should fill them in.
"""

from typing import Any, Final

import yaml
from pydantic import BaseModel

from litclaw.api import names
from litclaw.api.agent import AGENT_COLUMNS, AGENT_KIND, AGENT_PLURAL, OpenClawAgent
from litclaw.api.rotation import ROTATION_COLUMNS, ROTATION_KIND, ROTATION_PLURAL, LiteLLMKeyRotation
from litclaw.api.route import ROUTE_COLUMNS, ROUTE_KIND, ROUTE_PLURAL, LiteLLMRoute

_DROPPED: Final = ("title", "$defs", "discriminator")
_RULES: Final = "x-kubernetes-validations"
_GENERATED: Final = "# Generated from the pydantic models by `litclaw crds`: change those, not this.\n"
_API_VERSION: Final = "The version of the API that this object is written in."
_KIND: Final = "What kind of object this is."


def structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A pydantic JSON schema as a structural one."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        return structural(_over(target, schema, "$ref"), definitions)
    if "anyOf" in schema:
        [branch] = [option for option in schema["anyOf"] if option.get("type") != "null"]
        return structural(_over(branch, schema, "anyOf"), definitions)
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
        out["nullable"] = True  # what a server-side apply makes of an emptied map: see `Model`
    return out


def _over(below: dict[str, Any], schema: dict[str, Any], without: str) -> dict[str, Any]:
    """What is said where a type is used, over what the type says of itself; rules add up."""
    merged = {**below, **{key: value for key, value in schema.items() if key != without}}
    if both := below.get(_RULES, []) + schema.get(_RULES, []):
        merged[_RULES] = both
    return merged


def _property(schema: dict[str, Any], name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    given = schema["properties"][name]
    out = structural(given, definitions)
    # The API server fills in defaults only below what is there, so a part with defaults is there by default; and it
    # checks a default against the rules as it stands.
    optional = "anyOf" in given or name in schema.get("required", ())
    below = {key: part["default"] for key, part in out.get("properties", {}).items() if "default" in part}
    if below and not optional:
        out["default"] = below
    return out


def _without_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """A status says what was seen, never what wasn't."""
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
                                # The API server checks this length anyway; said here, the rule's cost is known.
                                "metadata": {
                                    "type": "object",
                                    "properties": {"name": {"type": "string", "maxLength": 253}},
                                },
                                "spec": spec,
                                "status": status,
                            },
                            _RULES: full.get(_RULES, []),
                        }
                    },
                }
            ],
        },
    }


def custom_resource_definitions() -> list[dict[str, Any]]:
    """The CRDs, one a kind."""
    return [
        _kind(LiteLLMRoute, ROUTE_KIND, ROUTE_PLURAL, "llr", ROUTE_COLUMNS, scope="Namespaced"),
        _kind(OpenClawAgent, AGENT_KIND, AGENT_PLURAL, "oca", AGENT_COLUMNS, scope="Namespaced"),
        _kind(LiteLLMKeyRotation, ROTATION_KIND, ROTATION_PLURAL, "llkr", ROTATION_COLUMNS, scope="Cluster"),
    ]


class _Dumper(yaml.SafeDumper):
    """Without anchors and aliases, which people don't read and not every tool does."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def crd_files() -> dict[str, str]:
    """The CRDs as YAML by file name, such as ``litclaw.dev_litellmroutes.yaml``."""
    return {
        f"{names.GROUP}_{crd['spec']['names']['plural']}.yaml": _GENERATED
        + yaml.dump(crd, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
        for crd in custom_resource_definitions()
    }
