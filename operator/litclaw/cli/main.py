"""``litclaw``, also installed as ``kubectl-litclaw``.

The module of a command declares its options, and imports what the command works with only when it runs. So neither
`litclaw version` nor the shell's completion waits for models, clients and displays to load.
"""

import typer

from litclaw import __version__
from litclaw.cli.crds import crds
from litclaw.cli.doctor.command import doctor
from litclaw.cli.errors import EXIT_STATUSES
from litclaw.cli.group import Command, Group
from litclaw.cli.render import render
from litclaw.cli.rotate.command import rotate
from litclaw.cli.run import run
from litclaw.cli.status.command import status

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _main() -> None:
    """LiteLLM for OpenClaw agents on Kubernetes."""


for operate in (run, crds):
    app.command(cls=Command)(operate)
for command in (status, doctor, render, rotate):
    app.command(cls=Command, epilog=EXIT_STATUSES)(command)


@app.command(cls=Command)
def version() -> None:
    """Print the release."""
    typer.echo(__version__)
