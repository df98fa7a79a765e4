"""What the commands print: tables for people, JSON and YAML for programs, and what is wrong where something is.

Standard output has what was asked for, and standard error all else. At a terminal there are colours and the table fits
its width; where the output is piped there are neither, and a line of it is a row however long.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Final, Literal

import typer
import yaml
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

WIDE: Final = 100_000
"""Columns where nobody sets a width."""


class Exit(IntEnum):
    """Exit statuses, the same of all commands."""

    FINE = 0
    WRONG = 1
    USAGE = 2
    CLUSTER = 3
    INTERRUPTED = 130


EXITS: Final = (
    "Exit status: 0 all is well, 1 something is wrong or isn't ready, 2 the command or its input can't be read, "
    "3 the cluster can't be asked."
)


class Fault(Exception):
    """What a user is told instead of a traceback.

    Args:
        message: what is wrong and where.
        remedy: what to do about it.
        status: what the command exits with.
    """

    def __init__(self, message: str, remedy: str = "", status: Exit = Exit.WRONG) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.status = status


class Group(TyperGroup):
    """The commands, whose faults are told in one place."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except Fault as fault:
            tell_fault(fault)
            ctx.exit(int(fault.status))
        except KeyboardInterrupt:
            ctx.exit(int(Exit.INTERRUPTED))


class Form(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


FormOption = Annotated[Form, typer.Option("--output", "-o", help="A table for people, or json or yaml for programs.")]


def console(*, stderr: bool = False) -> Console:
    """Where to print to."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else WIDE)


def tell(text: str) -> None:
    """A line beside the result."""
    print(text, file=sys.stderr, flush=True)


def tell_fault(fault: Fault) -> None:
    """What is wrong, and what to do."""
    out = console(stderr=True)
    out.print(Text.assemble(("error: ", "bold red"), fault.message))
    if fault.remedy:
        out.print(Text(fault.remedy))


def data(value: Any, form: Form) -> None:
    """A result for programs."""
    if form is Form.JSON:
        print(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000), end="")


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[RenderableType]],
    right: Sequence[str] = (),
    fixed: Sequence[str] = (),
) -> Table:
    """A table without lines, as kubectl's are.

    Args:
        columns: their headings.
        rows: a cell a column.
        right: columns of figures, which are aligned to the right.
        fixed: columns whose cells stay on a line; where the terminal is too narrow it is the others that take more.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for name in columns:
        side: Literal["left", "right"] = "right" if name in right else "left"
        made.add_column(name, justify=side, overflow="fold", no_wrap=name in fixed)
    for row in rows:
        made.add_row(*row)
    return made


def show(out: Console, shown: RenderableType) -> None:
    """Print to a terminal as it is, and elsewhere without the blanks that fill a table's last column."""
    if out.is_terminal:
        out.print(shown)
        return
    with out.capture() as captured:
        out.print(shown)
    for line in captured.get().splitlines():
        print(line.rstrip())


def age(seconds: float) -> str:
    """A length of time in two units at the most, as kubectl has it: ``45s``, ``12m``, ``3h20m``, ``5d``."""
    left = max(0, int(seconds))
    if left < 120:
        return f"{left}s"
    minutes, hours, days = left // 60, left // 3600, left // 86400
    if minutes < 180:
        return f"{minutes}m"
    if hours < 48:
        rest = minutes % 60
        return f"{hours}h{rest}m" if rest and hours < 8 else f"{hours}h"
    rest = hours % 24
    return f"{days}d{rest}h" if rest and days < 8 else f"{days}d"


def condition(body: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """A condition of a resource's, or an empty one."""
    for each in (body.get("status") or {}).get("conditions") or []:
        if each.get("type") == type_:
            found: Mapping[str, Any] = each
            return found
    return {}


def plural(count: int, what: str) -> str:
    """``1 agent``, ``2 agents``."""
    return f"{count} {what}{'' if count == 1 else 's'}"
