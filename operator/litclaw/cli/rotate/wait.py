"""Waits for a LiteLLMKeyRotation, with a progress bar on a terminal, else with a line per change."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import typer

from litclaw.api import names
from litclaw.api.rotation import FINISHED
from litclaw.cli import output
from litclaw.cli.cluster import LongConnection, Target, with_long_connection
from litclaw.cli.errors import CommandError, Exit
from litclaw.cli.options import OutputFormat
from litclaw.cli.output import age, plural
from litclaw.cli.rotate.patience import Patience, Until
from litclaw.cli.rotate.progress import RotationProgress
from litclaw.kube.objects import condition_of
from litclaw.kube.resources import ROTATION

_POLL_SECONDS = 1.0
_UNSEEN_SECONDS = 15.0


def wait_for(target: Target, name: str, patience: Patience, output_format: OutputFormat) -> None:
    """Wait for a rotation, and show its progress.

    Raises:
        CommandError: the rotation doesn't exist, has failures or is suspended, or the wait is over.
        typer.Exit: the user interrupted it.
    """
    try:
        body = with_long_connection(target, lambda connection: follow(connection, name, patience))
    except KeyboardInterrupt:
        output.info(f"\nNo longer watched; {names.ROTATION_KIND} {name} goes on. Watch it again:\n{_watch_again(name)}")
        raise typer.Exit(int(Exit.INTERRUPTED)) from None
    if output_format is not OutputFormat.TABLE:
        output.data(body, output_format)
    report(name, body)


def _watch_again(name: str) -> str:
    return f"  litclaw rotate --attach {name}\n  kubectl get llkr {name} -w"


def _resume(name: str) -> str:
    patch = """kubectl patch llkr {} --type merge -p '{{"spec":{{"suspend":false}}}}'"""
    return f"  {patch.format(name)}\n  litclaw rotate --attach {name}"


class _Display(Protocol):
    """Where the progress is shown."""

    def show(self, seen: RotationProgress) -> None:
        """Show the progress."""

    def info(self, text: str) -> None:
        """Print a line."""


class _Lines:
    """A line per change."""

    def __init__(self) -> None:
        self._before: RotationProgress | None = None

    def show(self, seen: RotationProgress) -> None:
        if seen != self._before:
            output.info(str(seen))
        self._before = seen

    def info(self, text: str) -> None:
        output.info(text)


async def follow(connection: LongConnection, name: str, patience: Patience) -> dict[str, Any]:
    """Show a rotation's progress until the wait ends; returns the resource.

    Raises:
        CommandError: the rotation doesn't exist or is suspended, or the wait is over.
        KubeError: the API server refuses a request or can't be reached.
    """
    if not sys.stderr.isatty():
        return await _follow(connection, name, patience, _Lines())
    from litclaw.cli.rotate.bar import Bar

    with Bar() as bar:
        return await _follow(connection, name, patience, bar)


async def _follow(connection: LongConnection, name: str, patience: Patience, display: _Display) -> dict[str, Any]:
    clock = asyncio.get_running_loop().time
    started, warned = clock(), False
    while True:
        body = await connection.read(lambda kube: kube.get(ROTATION, None, name))
        if body is None:
            raise CommandError(f"there is no {names.ROTATION_KIND} {name}", "`kubectl get llkr` lists all.")
        seen = RotationProgress.of(body)
        display.show(seen)
        if seen.phase in FINISHED or (patience.until is Until.ROTATED and seen.phase == "Retiring"):
            return body
        if seen.phase == "Suspended" and (body.get("spec") or {}).get("suspend"):
            raise CommandError(f"{names.ROTATION_KIND} {name} is suspended: {seen}", f"Resume it:\n{_resume(name)}")
        waited = clock() - started
        if not body.get("status") and waited > _UNSEEN_SECONDS and not warned:
            display.info("The operator hasn't looked at it yet. Does it run? `litclaw doctor` tells.")
            warned = True
        if patience.seconds is not None and waited > patience.seconds:
            message = f"{names.ROTATION_KIND} {name} isn't {patience.until} after {age(patience.seconds)}: {seen}"
            raise CommandError(message, f"It goes on. Watch it again:\n{_watch_again(name)}")
        await asyncio.sleep(_POLL_SECONDS)


def report(name: str, rotation: Mapping[str, Any]) -> None:
    """Print the result of a rotation, or its progress.

    Raises:
        CommandError: it has failures.
    """
    seen, status = RotationProgress.of(rotation), rotation.get("status") or {}
    if seen.failed or seen.phase in ("Failed", "Stopped"):
        failures = status.get("failures") or []
        lines = [f"  {each.get('agent') or each.get('route')}: {each.get('reason')}" for each in failures]
        if seen.failed > len(failures):
            lines.append(f"  and {seen.failed - len(failures)} more")
        stopped = " and was stopped" if seen.phase == "Stopped" else ""
        lines = lines or [f"  {condition_of(rotation, 'Ready').get('message') or 'no reason is given'}"]
        remedy = "\n".join([*lines, "Fix that, then rotate again: a new rotation covers everything that it selects."])
        raise CommandError(
            f"{names.ROTATION_KIND} {name} has {plural(seen.failed, 'failure')}{stopped}: {seen}", remedy
        )
    if seen.retiring:
        until = f"until {seen.retiring_until:%Y-%m-%d %H:%M:%SZ}" if seen.retiring_until else "for their grace period"
        output.info(f"Every new key is in use. {plural(seen.retiring, 'old key')} live on {until}.")
    else:
        output.info(f"Done: {seen}.")
