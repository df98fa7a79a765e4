"""Every field of a spec is in an example, and the examples can be read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from litclaw.api.agent import OpenClawAgent
from litclaw.api.crd import custom_resource_definitions
from litclaw.api.rotation import LiteLLMKeyRotation
from litclaw.api.route import LiteLLMRoute

from .schemas import fields

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MODELS = {"LiteLLMRoute": LiteLLMRoute, "OpenClawAgent": OpenClawAgent, "LiteLLMKeyRotation": LiteLLMKeyRotation}
DOCUMENTS = [
    document
    for path in sorted(EXAMPLES.rglob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
    if document and document["kind"] in MODELS
]
# Names that are in the schema to be refused, or to be refused when they hold a secret.
_REFUSED = ("key.metadata.", "models[].litellmParams.a", "models[].litellmParams.client_secret")


def uses(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from uses(each, schema.get("items", {}), f"{path}[]")
    elif isinstance(value, dict):
        for name, below in value.items():
            if name in schema.get("properties", {}):
                at = f"{path}.{name}" if path else name
                yield at
                yield from uses(below, schema["properties"][name], at)
            elif isinstance(schema.get("additionalProperties"), dict):
                yield from uses(below, schema["additionalProperties"], f"{path}{{}}")


@pytest.mark.parametrize("crd", custom_resource_definitions(), ids=lambda crd: crd["spec"]["names"]["kind"])
def test_every_field_has_an_example(crd: dict[str, Any]) -> None:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    kind = crd["spec"]["names"]["kind"]
    shown = {use for document in DOCUMENTS if document["kind"] == kind for use in uses(document["spec"], schema)}
    missing = [field for field, _ in fields(schema, "") if field not in shown and not field.startswith(_REFUSED)]
    assert missing == []


def test_the_examples_can_be_read() -> None:
    for document in DOCUMENTS:
        MODELS[document["kind"]].model_validate(document)
    assert len(DOCUMENTS) >= 8
