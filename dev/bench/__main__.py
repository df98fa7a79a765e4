"""Usage: python -m dev.bench [--n N] [--only SECTION,…] [--changes N] [--idle SECONDS] [--proxy-cpu CPU]
                           [--keep]
       python -m dev.bench report [FILE]

Runs the benchmark (CLUSTER as in dev/cluster.py), prints its table and keeps it as JSON in .bench/. `report` writes such a
file (left out: the newest) into docs/benchmarks.json and its table into docs/benchmarks.md.
"""

import argparse
import json
import sys
from pathlib import Path

from ..cluster import sayer, up
from . import report
from .plan import SECTIONS, Plan
from .report import KEPT
from .sections import Bench


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
    return Plan(**more, instant=(given.n,), real=(given.n,), crowd=given.n, bare=given.n, route=given.n, rotate=given.n)


def _run(given: argparse.Namespace) -> int:
    say = sayer()
    cluster = up(say)
    bench = Bench(cluster, _plan(given), say)
    begun = {**report.circumstances(bench), "whole": bench.plan.is_whole}
    try:
        bench.run()
    finally:
        # What was measured before something went wrong is worth keeping.
        result = {**begun, "figures": [each.plain() for each in bench.figures]}
        file = report.keep(result)
        report.show(result)
        say(f"kept as {file}")
        if not given.keep:
            say("taking away what the benchmark has made")
            bench.end()
    return 0


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit status."""
    if arguments[:1] == ["report"]:
        files = [Path(each) for each in arguments[1:]] or sorted(KEPT.glob("*.json"))[-1:]
        if len(files) != 1:
            raise SystemExit(f"no result in {KEPT}: run `make bench`, or name a file")
        result = json.loads(files[0].read_text())
        if not result["whole"]:
            raise SystemExit(f"{files[0]} is of a part of the benchmark, and the page is of all of it")
        report.write_page(result)
        return 0
    parser = argparse.ArgumentParser(prog="python -m dev.bench", usage=__doc__)
    parser.add_argument("--n", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--changes", type=int, default=Plan.changes)
    parser.add_argument("--idle", type=float, default=Plan.idle)
    parser.add_argument("--proxy-cpu", default=Plan.proxy_cpu)
    parser.add_argument("--keep", action="store_true")
    return _run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
