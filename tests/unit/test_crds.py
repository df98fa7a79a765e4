"""The CRDs are those of the models, structural, and explained field by field."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from litclaw.api.crd import crd_files, custom_resource_definitions

ROOT = Path(__file__).resolve().parents[2]
CRDS = {crd["spec"]["names"]["kind"]: crd for crd in custom_resource_definitions()}
_SOMEBODY_ELSES = ("metadata",)  # Kubernetes describes it


def schema(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def parts(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, below in node.get("properties", {}).items():
        if not path and name in _SOMEBODY_ELSES:
            continue
        yield from parts(below, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(node.get(key), dict):
            yield from parts(node[key], f"{path}{mark}")


def faults(kind: str, look: Callable[[str, dict[str, Any]], str | None]) -> list[str]:
    """What is wrong with a kind's fields, each with its path."""
    return [f"{path}: {found}" for path, node in parts(schema(kind)) if (found := look(path, node))]


def test_the_files_are_those_of_the_models() -> None:
    for name, text in crd_files().items():
        assert (ROOT / "crds" / name).read_text() == text, f"crds/{name} is stale: run `make crds`"
    listed = yaml.safe_load((ROOT / "crds" / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(crd_files())


@pytest.mark.parametrize("kind", CRDS)
def test_every_field_is_explained(kind: str) -> None:
    def look(path: str, node: dict[str, Any]) -> str | None:
        description = node.get("description", "")
        entry = path.endswith(("[]", "{}"))
        return None if entry or (len(description) >= 12 and description.endswith(".")) else "needs a sentence"

    assert faults(kind, look) == []


@pytest.mark.parametrize("kind", CRDS)
def test_every_field_is_structural(kind: str) -> None:
    def look(path: str, node: dict[str, Any]) -> str | None:
        if not ("type" in node or node.get("x-kubernetes-int-or-string")):
            return "has no type"
        forbidden = {"anyOf", "$ref", "title", "allOf"} & node.keys()
        return f"has {forbidden}" if forbidden else None

    assert faults(kind, look) == []


@pytest.mark.parametrize("kind", CRDS)
def test_everything_in_a_spec_is_bounded(kind: str) -> None:
    bounds = {"array": ("maxItems",), "string": ("maxLength",), "integer": ("minimum", "maximum")}

    def look(path: str, node: dict[str, Any]) -> str | None:
        if not path.startswith(".spec") or "enum" in node:
            return None
        wanted = bounds.get(node.get("type", ""), ())
        if isinstance(node.get("additionalProperties"), dict):
            wanted = ("maxProperties",)
        missing = [bound for bound in wanted if bound not in node]
        return f"has no {missing}" if missing else None

    assert faults(kind, look) == []


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("LiteLLMRoute", ["Ready", "URL", "Models", "Agents", "Version", "Age"]),
        ("OpenClawAgent", ["Ready", "Route", "Model", "Spend", "Budget", "Key-Age", "Age"]),
    ],
)
def test_columns_show_what_a_user_looks_for(kind: str, columns: list[str]) -> None:
    [version] = CRDS[kind]["spec"]["versions"]
    assert [column["name"] for column in version["additionalPrinterColumns"]] == columns
    paths = {path for path, _ in parts(schema(kind))}
    for column in version["additionalPrinterColumns"]:
        plain = column["jsonPath"].partition("[")[0]
        assert plain in paths or plain == ".metadata.creationTimestamp"
