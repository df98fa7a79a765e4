"""`litclaw` as a group of commands, on typer's classes: errors are reported here, and starting takes little CPU."""

import sys
from functools import partial
from typing import Any, cast

from typer.core import TyperCommand, TyperGroup

from litclaw.cli import output
from litclaw.cli.errors import CommandError, Exit


class Command(TyperCommand):
    """A command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options and arguments."""
        return _light(super().get_params(ctx), ctx)


class Group(TyperGroup):
    """The commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options before a command."""
        return _light(super().get_params(ctx), ctx)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except CommandError as failure:
            output.error(failure)
            ctx.exit(int(failure.status))
        except KeyboardInterrupt:
            ctx.exit(int(Exit.INTERRUPTED))


def _light(params: list[Any], ctx: Any) -> list[Any]:
    """Parameters that load pydantic only if necessary, and in completion never Rich: together 0.4 s of CPU.

    Typer converts every value with pydantic. In completion it loads Rich, if that is installed, to remove markup from
    help texts, which have none.
    """
    for param in params:
        param.process_value = partial(_process_value, param)
    if ctx.resilient_parsing:
        cast(dict[str, Any], sys.modules).setdefault("rich", None)  # for Python's import system: not installed
    return params


def _process_value(param: Any, ctx: Any, value: Any) -> Any:
    """A parameter's value. A default has its type already, and completion compares the words that were typed."""
    is_default = ctx.get_parameter_source(param.name).name == "DEFAULT"
    if ctx.resilient_parsing or (is_default and not param.required):
        return value
    return type(param).process_value(param, ctx, value)
