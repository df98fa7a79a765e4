"""``litclaw``, also installed as ``kubectl-litclaw``."""

import re
import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from litclaw import __version__
from litclaw.cli import logs, output
from litclaw.cli.cluster import check_way
from litclaw.cli.doctor import doctor
from litclaw.cli.render import render
from litclaw.cli.rotate import rotate
from litclaw.cli.status import status

_RECURSION = 30_000
"""The API server takes objects of 10,000 levels, and every one has to be parsed before it can be refused."""

app = typer.Typer(
    cls=output.Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _main() -> None:
    """LiteLLM for OpenClaw agents on Kubernetes."""


@app.command()
def run(
    workers: Annotated[int, typer.Option(min=1, max=256, help="How many resources are worked on at a time.")] = 16,
    health: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="Where /healthz, /readyz and /metrics are served; no host: everywhere."),
    ] = "",
    leader_elect: Annotated[
        bool | None,
        typer.Option(
            "--leader-elect/--no-leader-elect",
            help="Work only while holding the Lease litclaw. Left out: yes inside a cluster, no outside.",
        ),
    ] = None,
    namespaces: Annotated[
        str, typer.Option(metavar="A,B", help="Watch and act in these namespaces only; empty: in the whole cluster.")
    ] = "",
    cluster_id: Annotated[
        str,
        typer.Option(
            help="What stands for the cluster in the marks of keys; empty: the uid of namespace kube-system. "
            "Keys with another one are never touched, so don't change it."
        ),
    ] = "",
    log_format: Annotated[str, typer.Option(help="text, json, or auto: text at a terminal.")] = "auto",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the operator, with the pod's service account or the current kubeconfig."""
    if log_format not in ("auto", "text", "json"):
        raise typer.BadParameter("must be auto, text or json", param_hint="--log-format")
    if log_level not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter("must be debug, info, warning or error", param_hint="--log-level")
    if health and not (re.fullmatch(r".*:[0-9]{1,5}", health) and int(health.rpartition(":")[2]) < 65536):
        raise typer.BadParameter(
            "must be an address and a port, such as :8080 (every address) or 127.0.0.1:8080", param_hint="--health"
        )
    import uvloop  # what only the operator needs stays out of the other commands

    from litclaw.handlers.operator import Operator
    from litclaw.handlers.options import Options

    sys.setrecursionlimit(_RECURSION)
    logs.set_up(cast(logs.Format, log_format), log_level)
    options = Options(
        workers=workers,
        health=health,
        leader_elect=leader_elect,
        namespaces=tuple(sorted({name.strip() for name in namespaces.split(",")} - {""})),
        cluster_id=cluster_id,
    )

    async def operate() -> None:
        await check_way()
        await Operator(options).run()

    uvloop.run(operate())


@app.command()
def crds(
    output: Annotated[Path | None, typer.Option(help="Folder to write a file a kind to; left out: print them.")] = None,
) -> None:
    """The CustomResourceDefinitions, generated from the models."""
    from litclaw.api.crd import crd_files

    for name, text in crd_files().items():
        if output is None:
            typer.echo(f"---\n{text}", nl=False)
        else:
            output.mkdir(parents=True, exist_ok=True)
            (output / name).write_text(text)


app.command()(status)
app.command()(doctor)
app.command()(render)
app.command()(rotate)


@app.command()
def version() -> None:
    """The release."""
    typer.echo(__version__)
