"""Waiting for a LiteLLMKeyRotation: a progress bar over its status or, where nobody looks, a line a change."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.text import Text

from litclaw.api.rotation import FINISHED, ROTATION_KIND
from litclaw.cli import output
from litclaw.cli.cluster import Line, Target, hold
from litclaw.cli.output import Exit, Fault, Form, age, condition, plural
from litclaw.cli.view import moment, now
from litclaw.kube.resources import ROTATION

_LOOK_SECONDS = 1.0
_UNSEEN_SECONDS = 15.0


class Until(StrEnum):
    """What is waited for."""

    ROTATED = "rotated"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait.

    Attributes:
        until: what for.
        seconds: how long; None: for good.
    """

    until: Until
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a rotation is, by its status."""

    phase: str = "Pending"
    total: int = 0
    rotated: int = 0
    failed: int = 0
    retiring: int = 0
    retiring_until: datetime | None = None

    def line(self) -> str:
        """A line for who reads a log."""
        failed = f", {self.failed} failed" if self.failed else ""
        until = f" until {self.retiring_until:%Y-%m-%d %H:%M:%SZ}" if self.retiring_until and self.retiring else ""
        retiring = f", {plural(self.retiring, 'old key')} still live{until}" if self.retiring else ""
        return f"{self.phase}: {self.rotated} of {plural(self.total, 'key')} rotated{failed}{retiring}"


def standing(body: Mapping[str, Any]) -> Standing:
    """How far a rotation is."""
    status = body.get("status") or {}
    return Standing(
        phase=status.get("phase") or "Pending",
        total=status.get("total") or 0,
        rotated=status.get("rotated") or 0,
        failed=status.get("failed") or 0,
        retiring=status.get("retiring") or 0,
        retiring_until=moment(status.get("retiringUntil")),
    )


def wait_for(target: Target, name: str, patience: Patience, form: Form) -> None:
    """Wait until a rotation has come as far as it is waited for, showing how far it is.

    Raises:
        Fault: there is no such rotation, it has failures, is suspended, or took too long.
        typer.Exit: it was interrupted.
    """
    try:
        body = hold(target, lambda line: _watched(line, name, patience))
    except KeyboardInterrupt:
        output.tell(f"\nNo longer watched; {ROTATION_KIND} {name} goes on. Watch it again:\n{_again(name)}")
        raise typer.Exit(int(Exit.INTERRUPTED)) from None
    if form is not Form.TABLE:
        output.data(body, form)
    conclude(name, body)


def _again(name: str) -> str:
    return f"  litclaw rotate --attach {name}\n  kubectl get llkr {name} -w"


def _resume(name: str) -> str:
    patch = """kubectl patch llkr {} --type merge -p '{{"spec":{{"suspend":false}}}}'"""
    return f"  {patch.format(name)}\n  litclaw rotate --attach {name}"


async def _watched(line: Line, name: str, patience: Patience) -> dict[str, Any]:
    out = output.console(stderr=True)
    if not out.is_terminal:
        return await _look_until(line, name, patience, _Lines())
    with _bar(out) as progress:
        return await _look_until(line, name, patience, _Bar(progress))


class _Lines:
    """A line a change."""

    def __init__(self) -> None:
        self._before: Standing | None = None

    def show(self, seen: Standing) -> None:
        if seen != self._before:
            output.tell(seen.line())
        self._before = seen

    def say(self, text: str) -> None:
        output.tell(text)


class _Elapsed(ProgressColumn):
    """The time since the wait began, also when every key is rotated and old ones live on: Rich's own stands still then."""

    def render(self, task: Task) -> Text:
        """Hours, minutes, seconds."""
        now_ = task.get_time()
        return Text(str(timedelta(seconds=int(now_ - (task.start_time or now_)))), style="progress.elapsed")


def _bar(out: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=None, complete_style="green", finished_style="green"),
        MofNCompleteColumn(),
        TextColumn("{task.fields[more]}"),
        _Elapsed(),
        console=out,
        expand=True,
    )


class _Bar:
    """A bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task("Pending", total=None, more="")

    def show(self, seen: Standing) -> None:
        parts = [f"[red]{seen.failed} failed[/red]"] if seen.failed else []
        if seen.retiring:
            left = f" for {age((seen.retiring_until - now()).total_seconds())}" if seen.retiring_until else ""
            parts.append(f"[yellow]{plural(seen.retiring, 'old key')} live{left}[/yellow]")
        self._progress.update(
            self._task,
            description=seen.phase,
            total=seen.total or None,
            completed=seen.rotated,
            more=" ".join(parts),
        )

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False)


async def _look_until(line: Line, name: str, patience: Patience, shown: _Lines | _Bar) -> dict[str, Any]:
    clock = asyncio.get_running_loop().time
    started, warned = clock(), False
    while True:
        body = await line.read(lambda kube: kube.get(ROTATION, None, name))
        if body is None:
            raise Fault(f"there is no {ROTATION_KIND} {name}", "`kubectl get llkr` lists those that there are.")
        seen = standing(body)
        shown.show(seen)
        if seen.phase in FINISHED or (patience.until is Until.ROTATED and seen.phase == "Retiring"):
            return body
        if seen.phase == "Suspended" and (body.get("spec") or {}).get("suspend"):
            raise Fault(f"{ROTATION_KIND} {name} is suspended: {seen.line()}", f"Resume it:\n{_resume(name)}")
        waited = clock() - started
        if not body.get("status") and waited > _UNSEEN_SECONDS and not warned:
            shown.say("The operator hasn't looked at it yet. Does it run? `litclaw doctor` tells.")
            warned = True
        if patience.seconds is not None and waited > patience.seconds:
            message = f"{ROTATION_KIND} {name} isn't {patience.until} after {age(patience.seconds)}: {seen.line()}"
            raise Fault(message, f"It goes on. Watch it again:\n{_again(name)}")
        await asyncio.sleep(_LOOK_SECONDS)


def conclude(name: str, body: Mapping[str, Any]) -> None:
    """Say how a rotation has ended, or how far it is.

    Raises:
        Fault: it has failures.
    """
    seen, status = standing(body), body.get("status") or {}
    if seen.failed or seen.phase in ("Failed", "Stopped"):
        failures = status.get("failures") or []
        lines = [f"  {each.get('agent') or each.get('route')}: {each.get('reason')}" for each in failures]
        if seen.failed > len(failures):
            lines.append(f"  and {seen.failed - len(failures)} more")
        stopped = " and was stopped" if seen.phase == "Stopped" else ""
        lines = lines or [f"  {condition(body, 'Ready').get('message') or 'no reason is given'}"]
        remedy = "\n".join([*lines, "Mend that, then rotate again: a new rotation is for all that it selects."])
        raise Fault(f"{ROTATION_KIND} {name} has {plural(seen.failed, 'failure')}{stopped}: {seen.line()}", remedy)
    if seen.retiring:
        until = f"until {seen.retiring_until:%Y-%m-%d %H:%M:%SZ}" if seen.retiring_until else "for their grace period"
        output.tell(f"Every new key is in use. {plural(seen.retiring, 'old key')} live on {until}.")
    else:
        output.tell(f"Done: {seen.line()}.")
