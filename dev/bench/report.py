"""The result as a table, as a file, and as a page of the docs."""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ..cluster import ROOT
from ..page import between, commit
from .figures import HEADINGS, figures_of

if TYPE_CHECKING:
    from .sections import Bench

KEPT = ROOT / ".bench"
PAGE = ROOT / "docs" / "benchmarks.md"
DATA = ROOT / "docs" / "benchmarks.json"
_WIDTH = 160  # of a table in a file
_BEGIN, _END = "<!-- made by `python -m dev.bench report` -->", "<!-- end -->"


def circumstances(bench: "Bench") -> dict[str, Any]:
    """When, where and of what a run is."""
    stage = bench.stage
    version = json.loads(stage.cluster.run("version", "-o", "json").stdout)["serverVersion"]["gitVersion"]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {
            "cpu": _first("/proc/cpuinfo", "model name"),
            "cores": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "kernel": platform.release(),
            "load_before": round(os.getloadavg()[0], 1),
        },
        "kubernetes": version,
        "operator": {"image": bench.operator.image, "replicas": bench.operator.replicas},
    }


def _first(file: str, name: str) -> str:
    for line in Path(file).read_text().splitlines() if Path(file).exists() else []:
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return platform.processor()


def keep(result: dict[str, Any]) -> Path:
    """Keep a result; returns its file."""
    KEPT.mkdir(exist_ok=True)
    file = KEPT / f"{result['date'].replace(':', '')}.json"
    file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return file


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(*HEADINGS, title=_where(result))
    section = ""
    for figure in figures_of(result["figures"]):
        name, *rest = figure.row()
        if name != section and section:
            table.add_section()
        table.add_row("" if name == section else name, *rest)
        section = name
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


def _where(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return (
        f"{result['date'][:10]}, commit {result['commit']}, {machine['cores']} cores ({machine['cpu']}), "
        f"{machine['memory_gib']:g} GiB, Linux {machine['kernel']}, Kubernetes {result['kubernetes']}, "
        f"load {machine['load_before']:g} before"
    )


def markdown(result: dict[str, Any]) -> str:
    """The table for the page."""
    lines = [f"{_where(result)}.", "", f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    section = ""
    for figure in figures_of(result["figures"]):
        name, *rest = figure.row()
        lines.append(f"| {' | '.join(['' if name == section else name, *rest])} |")
        section = name
    return "\n".join(lines)


def write_page(result: dict[str, Any]) -> None:
    """Write a result and its table into the docs."""
    DATA.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(PAGE.read_text(), result))


def page(text: str, result: dict[str, Any]) -> str:
    """The page with the table of a result."""
    return between(text, _BEGIN, _END, markdown(result))
