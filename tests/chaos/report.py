"""What a campaign has found: as JSON, a group at a time, and as the table of docs/faults.md."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .sweep import Outcome

LOG = "log"
"""The group of what the operators' logs say."""
BEGIN, END = "<!-- begin: written by make chaos -->", "<!-- end -->"


@dataclass(frozen=True)
class Found:
    """What the last run of each group has found.

    Attributes:
        runs: how each group was run.
    """

    outcomes: list[Outcome]
    runs: dict[str, str]

    def __str__(self) -> str:
        runs = "\n".join(f"- {name}: {said}" for name, said in self.runs.items() if name != LOG)
        return f"{table(self.outcomes)}\n\n{runs}"


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
            lines = [f"  {line}" for line in (*outcome.wrong, *outcome.calls)]
            parts.append("\n".join([f"FAILED {outcome.case}", *_again(outcome), *lines]))
    return "\n".join(parts)


def _again(outcome: Outcome) -> list[str]:
    """The command that repeats a case: it alone, or its kind of trouble where that is one for all cases at a time."""
    if outcome.group == LOG:
        return []
    if outcome.group in ("calls", "kills"):
        return [f'  make chaos CASE="{outcome.case}"']
    kind = "" if outcome.group == "clock" else f' --kind="{outcome.kind}"'  # a clock is set back after it was forward
    return [f"  make chaos ARGS='--group={outcome.group}{kind}'"]


def write(outcomes: Sequence[Outcome], said: str, folder: Path) -> Found:
    """Write ``chaos.json``: what was found in each group, this time or, where a group wasn't run, the last time.

    Args:
        said: how this run was made.

    Returns:
        All of it, of the groups that weren't run too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "chaos.json"
    groups: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    for name in dict.fromkeys(outcome.group for outcome in outcomes):
        found = [vars(outcome) for outcome in outcomes if outcome.group == name]
        groups[name] = {"run": said, "outcomes": found}
    path.write_text(json.dumps(groups, indent=1))
    return Found(
        [Outcome(**each) for found in groups.values() for each in found["outcomes"]],
        {name: found["run"] for name, found in groups.items()},
    )


def into_page(page: Path, text: str) -> None:
    """Put a table into a page, between its marks."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
