"""``kubectl litclaw``: the same commands as a plugin of kubectl, and the completion of their words."""

import contextlib
import os
import shlex
import sys

from litclaw.cli.main import app


def plugin() -> None:
    """``kubectl-litclaw``, which kubectl runs for ``kubectl litclaw``."""
    app(prog_name="kubectl litclaw")


def complete() -> None:
    """``kubectl_complete-litclaw``, which kubectl (since 1.26) runs to complete the last of some words.

    The output has Cobra's form: one candidate per line, its help after a tab, then a directive. With directive 0 the
    shell completes file names if there are no candidates. Typer prints the same lines for fish.
    """
    *before, last = sys.argv[1:] or [""]
    line = f"{shlex.join(['litclaw', *before])} {shlex.quote(last) if last else ''}"
    os.environ |= {
        "_LITCLAW_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    with contextlib.suppress(SystemExit):
        app(prog_name="litclaw")
    print(":0")
