"""The docs: links lead somewhere, and what they tell to type is there to be typed."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer
from litclaw.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path for pattern in ("*.md", "docs/**/*.md", "*/README.md") for path in ROOT.glob(pattern))
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    found: dict[str, int] = {}
    out = set()
    for heading in re.findall(r"^#+ +(.+?) *#*$", _FENCE.sub("", page.read_text()), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        out.add(f"{anchor}-{found[anchor]}" if anchor in found else anchor)
        found[anchor] = found.get(anchor, 0) + 1
    return out


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(_FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{_name(page)} links to {target}"
        assert there.is_relative_to(ROOT)
        assert not anchor or anchor in _anchors(there), f"{_name(page)} links to {target}: no such heading"


def _commands(text: str) -> Iterator[str]:
    """The lines of code blocks, and code within the text, one command each."""
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            yield from (part.strip() for part in re.split(r" \| |&&|;", line.partition(" #")[0]))
    yield from _CODE.findall(_FENCE.sub("", text))


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command.removeprefix("$ "))
    except ValueError:
        return []  # a part of a longer one


def _promises(page: Path) -> str:
    """A page's text without what it says isn't there yet."""
    return re.sub(r"^## What it doesn't do yet\n.*?(?=^## |\Z)", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


ALL = [
    (page, words)
    for page in PAGES
    if page.name != "peers.md"  # which is about other projects
    for command in _commands(_promises(page))
    if (words := [word for word in _words(command) if not re.fullmatch(r"[A-Z_]+=\S*", word)])
]


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_make_targets_are_in_the_makefile() -> None:
    used = [(page, words[1]) for page, words in ALL if words[0] == "make" and len(words) > 1]
    assert len(used) > 5
    for page, target in used:
        assert target in _targets(), f"{_name(page)}: make {target}"


def test_paths_that_are_applied_exist() -> None:
    """What is applied from the repository; `my-` is the reader's own, and so is what is a URL."""
    used = 0
    for page, words in ALL:
        if words[0] not in ("kubectl", "localkube/kubectl"):
            continue
        for flag, value in itertools.pairwise(words):
            own = value == "-" or "://" in value or "github.com/" in value or "my-" in value or "<" in value
            if flag in ("-k", "-f", "kustomize") and not own and not value.startswith("job/"):
                used += 1
                assert (ROOT / value).exists(), f"{_name(page)}: {' '.join(words)}"
    assert used > 3


def test_files_that_are_named_exist() -> None:
    """Code that reads as a path below one of the repository's folders."""
    folders = "|".join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] not in ".b"))
    for page, words in ALL:
        for word in (part for each in words for part in each.split("=")):
            if re.fullmatch(rf"({folders})/[\w./-]+", word) and "my-" not in word:
                assert (ROOT / word).exists() or (page.parent / word).exists(), f"{_name(page)}: {word}"


def test_tests_that_are_named_exist() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"`(test_\w+)`", page.read_text()))
        assert named <= defined, f"{_name(page)}: {named - defined}"


def test_litclaws_commands_and_options_are_there() -> None:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    used = 0
    for page, words in ALL:
        if words[:2] == ["kubectl", "litclaw"]:
            words = words[1:]
        if words[0] != "litclaw" or len(words) < 2 or not re.fullmatch(r"[a-z-]+", words[1]):
            continue
        used += 1
        assert words[1] in commands, f"{_name(page)}: {' '.join(words)}"
        known = {option for parameter in commands[words[1]].params for option in parameter.opts}
        known |= {option for parameter in commands[words[1]].params for option in parameter.secondary_opts} | {"--help"}
        for word in words[2:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{_name(page)}: {' '.join(words)}"
    assert used
