"""The progress bar of `litclaw rotate --wait` on a terminal."""

import sys
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from litclaw.cli.output import age, plural
from litclaw.cli.rotate.progress import RotationProgress
from litclaw.cli.view import now


class ElapsedColumn(ProgressColumn):
    """The time since the wait began. Rich's own column stops once all keys are rotated, while old ones still live."""

    def render(self, task: Task) -> Text:
        """Hours, minutes, seconds."""
        at = task.get_time()
        return Text(str(timedelta(seconds=int(at - (task.start_time or at)))), style="progress.elapsed")


class Bar:
    """A bar that is visible inside of a ``with`` block."""

    def __init__(self, console: Console | None = None) -> None:
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None, complete_style="green", finished_style="green"),
            MofNCompleteColumn(),
            TextColumn("{task.fields[more]}"),
            ElapsedColumn(),
            console=console or Console(file=sys.stderr, highlight=False),
            expand=True,
        )
        self._task = self.progress.add_task("Pending", total=None, more="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def show(self, seen: RotationProgress) -> None:
        """Show the progress."""
        parts = [f"[red]{seen.failed} failed[/red]"] if seen.failed else []
        if seen.retiring:
            left = f" for {age((seen.retiring_until - now()).total_seconds())}" if seen.retiring_until else ""
            parts.append(f"[yellow]{plural(seen.retiring, 'old key')} live{left}[/yellow]")
        self.progress.update(
            self._task,
            description=seen.phase,
            total=seen.total or None,
            completed=seen.rotated,
            more=" ".join(parts),
        )

    def info(self, text: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(text, markup=False)
