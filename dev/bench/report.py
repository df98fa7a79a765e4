"""A run's result as a table, as a JSON file, and as a page of the docs."""

import json
import os
import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..cluster import ROOT
from ..page import between, commit
from .figures import figures_of, headings, rows
from .operator_pods import Operator
from .stage import Stage

KEPT = ROOT / ".bench"
PAGE = ROOT / "docs" / "benchmarks.md"
DATA = ROOT / "docs" / "benchmarks.json"
_WIDTH = 160  # of a table that isn't printed to a terminal
_BEGIN, _END = "<!-- made by `python -m dev.bench report` -->", "<!-- end -->"
_OF_AN_EARLIER_RUN = ("date", "commit", "machine", "kubernetes", "figures")


def circumstances(stage: Stage | None = None, operator: Operator | None = None) -> dict[str, Any]:
    """Date, commit, machine and, where there is a cluster, its version and the operator."""
    found: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {
            "cpu": _first("/proc/cpuinfo", "model name"),
            "cores": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "kernel": platform.release(),
            "load_before": round(os.getloadavg()[0], 1),
        },
    }
    if stage:
        version = json.loads(stage.cluster.run("version", "-o", "json").stdout)["serverVersion"]["gitVersion"]
        found["kubernetes"] = version
    if operator:
        found["operator"] = {"image": operator.image, "replicas": operator.replicas}
    return found


def _first(file: str, name: str) -> str:
    for line in Path(file).read_text().splitlines() if Path(file).exists() else []:
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return platform.processor()


def keep(result: dict[str, Any]) -> Path:
    """Write a result into `.bench/`; returns its file."""
    KEPT.mkdir(exist_ok=True)
    file = KEPT / f"{result['date'].replace(':', '')}.json"
    file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return file


def beside_earlier(result: dict[str, Any], earlier: dict[str, Any] | None) -> dict[str, Any]:
    """A result that includes an earlier run's, for the column "Before"."""
    if earlier is None:
        return result
    return {**result, "before": {name: earlier[name] for name in _OF_AN_EARLIER_RUN if name in earlier}}


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    title, *lines = _lines(result)
    table = Table(*headings("before" in result), title=title)
    for number, (section, *rest) in enumerate(lines):
        if section and number:
            table.add_section()
        table.add_row(section, *rest)
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


def _lines(result: dict[str, Any]) -> Iterator[Any]:
    """The title, and the table's lines with each section's name in its first line only."""
    before = result.get("before")
    yield _where(result) + (f". Before: {_where(before)}" if before else "")
    earlier = figures_of(before["figures"]) if before else None
    previous = ""
    for section, *rest in rows(figures_of(result["figures"]), earlier):
        yield ["" if section == previous else section, *rest]
        previous = section


def _where(result: dict[str, Any]) -> str:
    machine = result["machine"]
    cluster = f"Kubernetes {result['kubernetes']}, " if "kubernetes" in result else ""
    return (
        f"{result['date'][:10]}, commit {result['commit']}, {machine['cores']} cores ({machine['cpu']}), "
        f"{machine['memory_gib']:g} GiB, Linux {machine['kernel']}, {cluster}load {machine['load_before']:g} before"
    )


def markdown(result: dict[str, Any]) -> str:
    """The table for the page."""
    title, *lines = _lines(result)
    columns = headings("before" in result)
    head = [f"{title}.", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return "\n".join([*head, *(f"| {' | '.join(line)} |" for line in lines)])


def write_page(result: dict[str, Any]) -> None:
    """Write a result and its table into the docs."""
    DATA.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(PAGE.read_text(), result))


def page(text: str, result: dict[str, Any]) -> str:
    """The page with the table of a result."""
    return between(text, _BEGIN, _END, markdown(result))
