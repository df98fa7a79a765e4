"""docs/fields.md has every field of the CRDs, says what they say, and names tests that exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from litclaw.api.crd import custom_resource_definitions

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `(?P<path>[^`]+)` \| (?P<what>.+) \| (?P<tests>`.+`) \|$")


def rows(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, below in schema.get("properties", {}).items():
        yield f"{path}.{name}", below["description"].replace("|", "\\|")
        yield from rows(below, f"{path}.{name}")
        for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
            if isinstance(below.get(key), dict):
                yield from rows(below[key], f"{path}.{name}{mark}")


def page() -> dict[str, list[re.Match[str]]]:
    found: dict[str, list[re.Match[str]]] = {}
    kind = ""
    for line in (ROOT / "docs" / "fields.md").read_text().splitlines():
        if line.startswith("## "):
            kind = line.removeprefix("## ")
        elif match := ROW.match(line):
            found.setdefault(kind, []).append(match)
    return found


def test_every_field_is_there_and_says_what_the_crd_says() -> None:
    for crd in custom_resource_definitions():
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        wanted = [row for top in ("spec", "status") for row in rows(schema[top], top)]
        assert [(row["path"], row["what"]) for row in page()[crd["spec"]["names"]["kind"]]] == wanted


def test_the_tests_that_it_names_exist() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE))
    named = {name for found in page().values() for row in found for name in re.findall(r"`(test_\w+)`", row["tests"])}
    assert named - defined == set() and len(named) > 30
