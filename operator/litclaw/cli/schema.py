"""Validates resources against the schemas of their CRDs, without a cluster. Rules in CEL need an API server."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from jsonschema import Draft202012Validator, ValidationError, validators

from litclaw.api.crd import custom_resource_definitions

_LIST_TYPE: Final = "x-kubernetes-list-type"
_OPEN: Final = "x-kubernetes-preserve-unknown-fields"
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"


def _unique(_: Any, kind: str, instance: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    """Lists of type ``set`` and ``map`` have no duplicates."""
    if not isinstance(instance, list):
        return
    keys = schema.get("x-kubernetes-list-map-keys", [])
    seen: list[Any] = []
    for index, entry in enumerate(instance):
        if kind == "map" and not isinstance(entry, dict):
            continue
        value = [entry.get(key) for key in keys] if kind == "map" else entry
        if kind in ("map", "set") and value in seen:
            yield ValidationError("is there twice", path=[index], validator=_LIST_TYPE)
        seen.append(value)


_Validator = validators.extend(Draft202012Validator, {_LIST_TYPE: _unique})  # type: ignore[no-untyped-call]


class Checker:
    """Validates resources against the CRDs of this release."""

    def __init__(self) -> None:
        self._validators = {
            crd["spec"]["names"]["kind"]: _Validator(_plain(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]))
            for crd in custom_resource_definitions()
        }

    def mistakes(self, kind: str, body: Mapping[str, Any]) -> dict[str, str]:
        """The mistakes, by field. No message contains a value."""
        given = {key: body[key] for key in ("apiVersion", "kind", "spec") if key in body}
        return {
            field: text for error in self._validators[kind].iter_errors(given) for field, text in _mistakes_of(error)
        }


def is_dns_label(text: str) -> bool:
    """True if a text can be the name of a namespace (RFC 1123)."""
    return len(text) <= 63 and re.fullmatch(_LABEL, text) is not None


def name_mistakes(meta: Mapping[str, Any]) -> dict[str, str]:
    """Mistakes in the name and namespace of an object's metadata, by field; both may be missing.

    The API server checks them apart from the schema.
    """
    out = {}
    name, namespace = meta.get("name"), meta.get("namespace")
    if name and not (isinstance(name, str) and len(name) <= 253 and re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", name)):
        out["metadata.name"] = "must be a DNS subdomain: a-z, 0-9, - and . in at most 253 characters"
    if namespace and not (isinstance(namespace, str) and is_dns_label(namespace)):
        out["metadata.namespace"] = "must be a DNS label: a-z, 0-9 and - in at most 63 characters"
    return out


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A structural schema as JSON Schema: null counts as missing, and unknown fields aren't allowed."""
    out: dict[str, Any] = {key: value for key, value in schema.items() if key not in ("default", "format", "nullable")}
    if "properties" in out:
        out["properties"] = {name: _plain(part) for name, part in out["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), Mapping):
            out[key] = _plain(out[key])
    if "properties" in out and "additionalProperties" not in out and not out.get(_OPEN):
        out["additionalProperties"] = False
    if "enum" in out:
        out["enum"] = [*out["enum"], None]
    if out.get("x-kubernetes-int-or-string"):
        out["type"] = ["integer", "string", "null"]
    elif "type" in out:
        out["type"] = [out["type"], "null"]
    return out


def _mistakes_of(error: ValidationError) -> Iterator[tuple[str, str]]:
    kind, wanted = str(error.validator), cast(Any, error.validator_value)
    if kind == "additionalProperties" and isinstance(error.instance, Mapping):
        known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
        for name in error.instance:
            if name not in known:
                yield path([*error.absolute_path, name]), "there is no such field"
    elif kind == "required" and isinstance(error.instance, Mapping):
        for name in wanted:
            if name not in error.instance:
                yield path([*error.absolute_path, name]), "is missing"
    else:
        yield path(error.absolute_path), _text(kind, wanted)


def _text(kind: str, wanted: Any) -> str:
    if kind == "type":
        return f"must be {' or '.join(each for each in wanted if each != 'null')}"
    if kind == "enum":
        return f"must be one of {', '.join(str(each) for each in wanted if each is not None)}"
    texts = {
        "pattern": "must match {}",
        "minLength": "must have at least {} characters",
        "maxLength": "must have at most {} characters",
        "minItems": "must have at least {} entries",
        "maxItems": "must have at most {} entries",
        "minProperties": "must have at least {} entries",
        "maxProperties": "must have at most {} entries",
        "minimum": "must be at least {}",
        "maximum": "must be at most {}",
        _LIST_TYPE: "is there twice",
    }
    return texts.get(kind, f"breaks the schema's {kind}").format(wanted)


def path(parts: Iterable[Any]) -> str:
    """A field's path, such as ``spec.models[0].name``."""
    out = ""
    for part in parts:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out or "the object"
