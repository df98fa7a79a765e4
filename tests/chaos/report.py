"""What a campaign has found, as JSON and as the table of docs/faults.md."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from .sweep import Outcome

BEGIN, END = "<!-- begin: written by make chaos -->", "<!-- end -->"


def table(outcomes: Sequence[Outcome]) -> str:
    """A row for each kind of fault, in Markdown."""
    kinds: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        kinds[outcome.group, outcome.kind].append(outcome)
    lines = ["| group | fault | tried | struck | survived | slowest |", "|---|---|---|---|---|---|"]
    for (group, kind), found in kinds.items():
        slowest = f"{max(each.seconds for each in found):.0f} s"
        lines.append(f"| {group} | {kind} | {_counts(found)} | {slowest} |")
    lines.append(f"| all | | {_counts(outcomes)} | |")
    return "\n".join(lines)


def _counts(outcomes: Sequence[Outcome]) -> str:
    struck = sum(1 for each in outcomes if each.reached)
    survived = sum(1 for each in outcomes if not each.wrong)
    return f"{len(outcomes)} | {struck} | {survived}"


def failures(outcomes: Sequence[Outcome]) -> str:
    """What didn't survive: what is wrong, what was called, and what repeats it."""
    parts = []
    for outcome in outcomes:
        if outcome.wrong:
            again = f'\n  make chaos CASE="{outcome.case}"' if outcome.group in ("calls", "kills") else ""
            lines = [f"  {line}" for line in (*outcome.wrong, *outcome.calls)]
            parts.append("\n".join([f"FAILED {outcome.case}{again}", *lines]))
    return "\n".join(parts)


def write(outcomes: Sequence[Outcome], said: str, folder: Path) -> None:
    """Write ``chaos.json`` and ``chaos.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"said": said, "outcomes": [vars(outcome) for outcome in outcomes]}
    (folder / "chaos.json").write_text(json.dumps(found, indent=1))
    (folder / "chaos.md").write_text(f"{said}\n\n{table(outcomes)}\n")


def into_page(page: Path, said: str, text: str) -> None:
    """Put a table into a page, between its marks."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{said}\n\n{text}\n{END}{after}")
