"""The golden manifests are what Litclaw renders, and no renderer is missing from them."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

import litclaw.render
import pytest
from litclaw.render.metadata import Manifest

from .golden.rendering import CASES, GOLDEN, rendered, stored

REMEDY = "run `make golden`, and review the diff of tests/unit/golden"


@pytest.mark.parametrize("case", CASES)
def test_the_files_are_what_is_rendered(case: str) -> None:
    wanted, found = rendered(case), stored(case)
    assert sorted(found) == sorted(wanted), f"objects came or went in {case}: {REMEDY}"
    for name, content in wanted.items():
        assert found[name].decode() == content.decode(), f"{case}/{name} is rendered otherwise: {REMEDY}"


def test_every_folder_is_a_case() -> None:
    folders = [path.name for path in GOLDEN.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert sorted(folders) == CASES, "a folder without input.yaml is rendered by nobody: remove it"


def renderers() -> Iterator[tuple[CodeType, str]]:
    """Every function of the render package that returns an object."""
    for module in pkgutil.walk_packages(litclaw.render.__path__, "litclaw.render."):
        for name, function in vars(importlib.import_module(module.name)).items():
            if inspect.isfunction(function) and function.__annotations__.get("return") in (Manifest, Manifest | None):
                yield function.__code__, f"{function.__module__}.{name}"


def test_every_renderer_is_reached() -> None:
    called = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            called.add(frame.f_code)

    sys.setprofile(note)
    try:
        for case in CASES:
            rendered(case)
    finally:
        sys.setprofile(None)
    known = dict(renderers())
    assert len(known) > 15
    assert sorted(name for code, name in known.items() if code not in called) == []
