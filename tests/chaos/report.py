"""The results of a campaign: in full as JSON, a file a group, and summed up in docs/faults.json and its table."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dev.cluster import ROOT
from dev.page import between

from .cases import Outcome

PAGE = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- begin: written by make chaos -->", "<!-- end -->"
Summary = dict[str, dict[str, Any]]
"""By group: ``run``, how it was run; ``faults``, a row for each kind; ``log``, the number of violations in the logs."""


def summary(outcomes: Sequence[Outcome], run: str, log: Sequence[str]) -> dict[str, Any]:
    """The summary of a group.

    Args:
        run: how it was run, in words.
        log: the violations in the operators' logs.
    """
    kinds: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        kinds[outcome.kind].append(outcome)
    rows = [
        {
            "fault": kind,
            "tried": len(found),
            "struck": sum(each.reached for each in found),
            "survived": sum(each.reached and not each.wrong for each in found),
            "failed": sum(bool(each.wrong) for each in found),
            "slowest": round(max(each.seconds for each in found)),
        }
        for kind, found in kinds.items()
    ]
    return {"run": run, "faults": rows, "log": len(log)}


def text(found: Summary) -> str:
    """The table in Markdown, and how each group was run."""
    lines = ["| group | fault | tried | struck | survived | slowest |", "|---|---|---|---|---|---|"]
    sums = dict.fromkeys(("tried", "struck", "survived"), 0)
    for group, about in found.items():
        for row in about["faults"]:
            counts = " | ".join(str(row[name]) for name in sums)
            lines.append(f"| {group} | {row['fault']} | {counts} | {row['slowest']} s |")
            for name in sums:
                sums[name] += row[name]
    lines.append(f"| all | | {' | '.join(map(str, sums.values()))} | |")
    runs = []
    for group, about in found.items():
        failed = sum(row["failed"] for row in about["faults"])
        logs = f"{about['log']} lines too many" if about["log"] else "no secret, no traceback"
        runs.append(f"- {group}: {about['run']}; {failed} failed; in the operators' logs: {logs}.")
    return "\n".join([*lines, "", *runs])


def failures(outcomes: Sequence[Outcome]) -> str:
    """The cases that failed: what is wrong, the calls, and the command that repeats the case."""
    parts = []
    for outcome in outcomes:
        if outcome.wrong:
            lines = [f"  {line}" for line in (*outcome.wrong, *outcome.calls)]
            parts.append("\n".join([f"FAILED {outcome.case}", f"  {_again(outcome)}", *lines]))
    return "\n".join(parts)


def _again(outcome: Outcome) -> str:
    """The command that repeats a case: the case alone, or its group's fault where that strikes all cases at a time."""
    if outcome.group in ("calls", "kills"):
        return f'make chaos CASE="{outcome.case}"'
    kind = (
        "" if outcome.group == "clock" else f' --kind="{outcome.kind}"'
    )  # the clock is set back after it was set forward
    return f"make chaos ARGS='--group={outcome.group}{kind}'"


def keep(group: str, outcomes: Sequence[Outcome], run: str, log: Sequence[str], folder: Path, *, add: bool) -> Summary:
    """Write a group's results; returns the summaries of all groups, from the page for those that weren't run here.

    Args:
        run: how it was run, in words.
        log: the violations in the operators' logs.
        add: whether to keep the results of earlier runs of the group, except for the same cases.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept, path = folder / f"{group}.json", folder / "summary.json"
    earlier_runs = path if path.exists() else PAGE.with_suffix(".json")
    found: Summary = json.loads(earlier_runs.read_text())
    by_case = {outcome.case: outcome for outcome in outcomes}
    if add and kept.exists():
        earlier = [Outcome(**each) for each in json.loads(kept.read_text())]
        by_case = {outcome.case: outcome for outcome in earlier} | by_case
        run = f"{found[group]['run']}, and {run}"
    kept.write_text(json.dumps([vars(outcome) for outcome in by_case.values()], indent=1))
    found[group] = summary([*by_case.values()], run, log)
    path.write_text(json.dumps(found, indent=1))
    return found


def into_page(found: Summary, page: Path = PAGE) -> None:
    """Write the table into a page, between its marks, and its data beside it."""
    page.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    page.write_text(between(page.read_text(), BEGIN, END, text(found)))
