"""docs/fields.md lists every field of the CRDs with the CRD's description, and names tests that exist."""

import re
from pathlib import Path

from litclaw.api.crd import custom_resource_definitions

from .schemas import fields

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `(?P<path>[^`]+)` \| (?P<description>.+) \| (?P<tests>`.+`) \|$")


def page() -> dict[str, list[re.Match[str]]]:
    found: dict[str, list[re.Match[str]]] = {}
    kind = ""
    for line in (ROOT / "docs" / "fields.md").read_text().splitlines():
        if line.startswith("## "):
            kind = line.removeprefix("## ")
        elif match := ROW.match(line):
            found.setdefault(kind, []).append(match)
    return found


def test_every_field_is_listed_with_the_description_of_the_crd() -> None:
    for crd in custom_resource_definitions():
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        wanted = [
            (path, field["description"].replace("|", "\\|"))
            for top in ("spec", "status")
            for path, field in fields(schema[top], top)
        ]
        assert [(row["path"], row["description"]) for row in page()[crd["spec"]["names"]["kind"]]] == wanted


def test_the_named_tests_exist() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE))
    named = {name for found in page().values() for row in found for name in re.findall(r"`(test_\w+)`", row["tests"])}
    assert named - defined == set() and len(named) > 30
