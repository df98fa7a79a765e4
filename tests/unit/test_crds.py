"""The CRDs are generated from the models and structural, and every field has a description and bounds."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from litclaw.api.agent import OpenClawAgent
from litclaw.api.crd import crd_files, custom_resource_definitions
from litclaw.api.duration import seconds
from litclaw.api.rotation import LONGEST_GRACE_SECONDS, LiteLLMKeyRotation
from litclaw.api.route import LiteLLMRoute

from .schemas import fields

ROOT = Path(__file__).resolve().parents[2]
CRDS = {crd["spec"]["names"]["kind"]: crd for crd in custom_resource_definitions()}
_NOT_OURS = ("metadata",)  # Kubernetes describes it


def schema(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def parts(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, below in node.get("properties", {}).items():
        if not path and name in _NOT_OURS:
            continue
        yield from parts(below, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(node.get(key), dict):
            yield from parts(node[key], f"{path}{mark}")


def faults(kind: str, check: Callable[[str, dict[str, Any]], str | None]) -> list[str]:
    """The faults that a check finds in a kind's fields, each with its path."""
    return [f"{path}: {found}" for path, node in parts(schema(kind)) if (found := check(path, node))]


def test_the_files_are_generated_from_the_models() -> None:
    for name, text in crd_files().items():
        assert (ROOT / "crds" / name).read_text() == text, f"crds/{name} is stale: run `make crds`"
    listed = yaml.safe_load((ROOT / "crds" / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(crd_files())


@pytest.mark.parametrize("kind", CRDS)
def test_every_field_has_a_description(kind: str) -> None:
    def check(path: str, node: dict[str, Any]) -> str | None:
        description = node.get("description", "")
        entry = path.endswith(("[]", "{}"))
        return None if entry or (len(description) >= 12 and description.endswith(".")) else "needs a sentence"

    assert faults(kind, check) == []


@pytest.mark.parametrize("kind", CRDS)
def test_every_field_is_structural(kind: str) -> None:
    def check(path: str, node: dict[str, Any]) -> str | None:
        if not ("type" in node or node.get("x-kubernetes-int-or-string")):
            return "has no type"
        forbidden = {"anyOf", "$ref", "title", "allOf"} & node.keys()
        return f"has {forbidden}" if forbidden else None

    assert faults(kind, check) == []


@pytest.mark.parametrize("kind", CRDS)
def test_everything_in_a_spec_is_bounded(kind: str) -> None:
    bounds = {"array": ("maxItems",), "string": ("maxLength",), "integer": ("minimum", "maximum")}

    def check(path: str, node: dict[str, Any]) -> str | None:
        if not path.startswith(".spec") or "enum" in node:
            return None
        wanted = bounds.get(node.get("type", ""), ())
        if isinstance(node.get("additionalProperties"), dict):
            wanted = ("maxProperties",)
        missing = [bound for bound in wanted if bound not in node]
        return f"has no {missing}" if missing else None

    assert faults(kind, check) == []


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("LiteLLMRoute", ["Ready", "URL", "Models", "Agents", "Version", "Age"]),
        ("OpenClawAgent", ["Ready", "Route", "Model", "Spend", "Budget", "Key-Age", "Age"]),
    ],
)
def test_printer_columns_show_fields_that_exist(kind: str, columns: list[str]) -> None:
    [version] = CRDS[kind]["spec"]["versions"]
    assert [column["name"] for column in version["additionalPrinterColumns"]] == columns
    paths = {path for path, _ in parts(schema(kind))}
    for column in version["additionalPrinterColumns"]:
        plain = column["jsonPath"].partition("[")[0]
        assert plain in paths or plain == ".metadata.creationTimestamp"


@pytest.mark.parametrize("kind", CRDS)
def test_every_grace_period_is_at_most_a_week(kind: str) -> None:
    graces = [field for path, field in fields(schema(kind), "") if path.endswith(".gracePeriod")]
    assert graces
    for grace in graces:
        assert grace["x-kubernetes-validations"][-1] == {
            "rule": "duration(self) <= duration('168h')",
            "message": "must be at most 168h, which is seven days",
        }


@pytest.mark.parametrize(("stored", "read"), [("200h", "168h"), ("999999h", "168h"), ("168h", "168h"), ("90s", "90s")])
def test_a_longer_grace_period_that_is_stored_already_is_shortened(stored: str, read: str) -> None:
    given = {"gracePeriod": stored}
    rotation = LiteLLMKeyRotation.model_validate({"metadata": {"name": "x"}, "spec": given})
    agent = OpenClawAgent.model_validate(
        {"metadata": {"name": "x"}, "spec": {"routeRef": {"name": "r"}, "key": {"rotation": given}}}
    )
    route = LiteLLMRoute.model_validate({"metadata": {"name": "x"}, "spec": {"keyDefaults": {"rotation": given}}})
    assert rotation.spec.grace_period == read
    assert agent.spec.key.rotation.grace_period == route.spec.key_defaults.rotation.grace_period == read
    assert seconds(read) <= LONGEST_GRACE_SECONDS == 7 * 24 * 3600


def test_a_reference_to_a_configmap_is_described_as_one() -> None:
    for kind in ("LiteLLMRoute", "OpenClawAgent"):
        found = {path: field for path, field in fields(schema(kind), "") if ".configMapKeyRef." in path}
        assert len(found) == 2
        assert all("ConfigMap" in field["description"] for field in found.values())
