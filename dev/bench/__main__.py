"""Usage: python -m dev.bench [--n N] [--only SECTION,…] [--changes N] [--idle SECONDS] [--proxy-cpu CPU]
                           [--keep] [--before FILE]
       python -m dev.bench report [FILE] [--before FILE]

Runs the benchmark (CLUSTER as in dev/cluster.py), prints its table and writes it as JSON into .bench/. `report` writes such
a file (default: the newest) into docs/benchmarks.json and its table into docs/benchmarks.md. With --before, the table has
a column with the figures of an earlier run's file.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..cluster import sayer, up
from . import report
from .cli import command_line
from .figures import Figure
from .plan import SECTIONS, Plan
from .report import KEPT
from .run import Run
from .sections import end, measure


def _plan(given: argparse.Namespace) -> Plan:
    names: set[str] = set()
    for name in given.only.split(",") if given.only else SECTIONS:
        found = {each for each in SECTIONS if each == name or each.startswith(f"{name}-")}
        if not found:
            raise SystemExit(f"no section {name!r}: there are {', '.join(SECTIONS)}")
        names |= found
    more = {"changes": given.changes, "idle": given.idle, "proxy_cpu": given.proxy_cpu, "only": frozenset(names)}
    if given.n is None:
        return Plan(**more)
    sizes = {name: given.n for name in ("crowd", "bare", "route", "rotate", "hanging", "shared")}
    return Plan(**more, **sizes, instant=(given.n,), real=(given.n,), scale=(given.n, 5 * given.n))


def _earlier(file: Path | None) -> dict[str, Any] | None:
    return json.loads(file.read_text()) if file else None


def _finish(begun: dict[str, Any], figures: Sequence[Figure], before: dict[str, Any] | None) -> None:
    """Write and print the result."""
    result = {**begun, "figures": [each.plain() for each in figures]}
    file = report.keep(result)
    report.show(report.beside_earlier(result, before))
    print(f"written to {file}", file=sys.stderr)


def _run(given: argparse.Namespace) -> int:
    plan, before, log = _plan(given), _earlier(given.before), sayer()
    if not plan.needs_cluster:
        _finish({**report.circumstances(), "whole": False}, command_line(), before)
        return 0
    run = Run(up(log), plan, log)
    begun = {**report.circumstances(run.stage, run.operator), "whole": plan.is_whole}
    try:
        measure(run)
    finally:
        _finish(begun, run.figures, before)  # after a failure, too: what has been measured is kept
        if not given.keep:
            log("deleting what the benchmark has made")
            end(run)
    return 0


def _report(given: argparse.Namespace) -> int:
    file = given.file or max(KEPT.glob("*.json"), default=None)
    if file is None:
        raise SystemExit(f"no result in {KEPT}: run `make bench`, or name a file")
    result = json.loads(file.read_text())
    if not result["whole"]:
        raise SystemExit(f"{file} has only some sections, and the page needs all")
    report.write_page(report.beside_earlier(result, _earlier(given.before)))
    return 0


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m dev.bench", usage=__doc__)
    parser.add_argument("--before", type=Path)
    if arguments[:1] == ["report"]:
        parser.add_argument("file", type=Path, nargs="?")
        return _report(parser.parse_args(arguments[1:]))
    parser.add_argument("--n", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--changes", type=int, default=Plan.changes)
    parser.add_argument("--idle", type=float, default=Plan.idle)
    parser.add_argument("--proxy-cpu", default=Plan.proxy_cpu)
    parser.add_argument("--keep", action="store_true")
    return _run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
