"""The results of the checks, for people and for programs."""

import sys
from collections import Counter
from collections.abc import Sequence

from litclaw.cli import output
from litclaw.cli.doctor.check import Check, Outcome
from litclaw.cli.options import OutputFormat
from litclaw.cli.table import Cell, Column, table
from litclaw.cli.terminal import Screen, Styled

_STYLES = {Outcome.OK: "green", Outcome.WARN: "yellow", Outcome.FAIL: "bold red", Outcome.SKIP: "dim"}
_COLUMNS = (Column(""), Column("CHECK", wraps=True), Column("WHAT WAS SEEN, AND WHAT TO DO", wraps=True))


def show(checks: Sequence[Check], output_format: OutputFormat) -> None:
    """Print every check, and how many had which outcome."""
    counts = Counter(check.outcome for check in checks)
    if output_format is not OutputFormat.TABLE:
        found = [
            {"name": check.name, "outcome": check.outcome.value, "detail": check.detail, "remedy": check.remedy}
            for check in checks
        ]
        output.data({"checks": found, **{outcome.value: counts[outcome] for outcome in Outcome}}, output_format)
        return
    rows: list[list[Cell]] = []
    for check in checks:
        rows.append([Styled(check.outcome.value, _STYLES[check.outcome]), check.name, check.detail])
        if check.remedy:
            rows.append(["", "", f"-> {check.remedy}"])
    screen = Screen.of(sys.stdout)
    total = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome])
    style = "bold red" if counts[Outcome.FAIL] else "bold"
    output.lines([*table(_COLUMNS, rows, screen), "", screen.paint(total, style)])
