"""docs/architecture.md: each file and function that it names exists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "operator" / "litclaw"
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def _section(heading: str) -> str:
    return PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def _defined(module: Path) -> set[str]:
    """The functions, classes, methods and constants of a module, methods with their class."""
    found: set[str] = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if hasattr(each, "name")}
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_who_does_what() -> None:
    rows = re.findall(r"^\| (.+\?) \| `([^`]+)` \| `([^`]+)` \|$", _section("Who does what"), re.MULTILINE)
    assert len(rows) >= 30
    for question, file, name in rows:
        assert (SOURCE / file).exists(), f"{question} {file}"
        assert name in _defined(SOURCE / file), f"{question} {file} has no {name}"


def test_one_agent_from_the_event_to_its_secret() -> None:
    steps = re.findall(
        r"^\d+\. `([^`]+\.py)` `([^`]+)`", _section("One agent, from the watch event to its Secret"), re.MULTILINE
    )
    assert len(steps) >= 12
    for file, name in steps:
        assert name in _defined(SOURCE / file), f"{file} has no {name}"


def test_every_package_is_described() -> None:
    top = _section("The operator")
    packages = {path.parent.relative_to(SOURCE).parts[0] for path in SOURCE.glob("*/__init__.py")}
    inside = {path.parent.name for path in SOURCE.glob("reconcile/*/__init__.py")}
    for package in packages | inside:
        assert f"| `{package}` |" in top, package
