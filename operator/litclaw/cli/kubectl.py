"""``kubectl litclaw``: the same commands by kubectl's plugin mechanism, and what kubectl asks to complete their words."""

import contextlib
import os
import shlex
import sys

from litclaw.cli.main import app


def plugin() -> None:
    """``kubectl-litclaw``, which kubectl runs for ``kubectl litclaw``."""
    app(prog_name="kubectl litclaw")


def complete() -> None:
    """``kubectl_complete-litclaw``, which kubectl runs to complete the last of some words (since 1.26).

    The answer is Cobra's: a candidate a line with its help after a tab, then a directive; 0 has the shell complete file
    names where there are no candidates. Typer's answer to fish has the same lines.
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
