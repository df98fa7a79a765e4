"""``litclaw run``: the operator, as its Deployment runs it."""

import gc
import re
import sys
from typing import Annotated, cast

import typer

_RECURSION = 30_000
"""The API server accepts objects of 10,000 levels, and every object has to be parsed before it can be refused."""
_GARBAGE = (20_000, 20, 20)
"""Thresholds of Python's cyclic garbage collector. With its own (700, 10, 10) the decoding of the API server's objects runs it
all the time, over everything that the process holds. Memory itself is freed by reference counts."""


def run(
    workers: Annotated[int, typer.Option(min=1, max=256, help="How many resources are reconciled at a time.")] = 16,
    health: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT", help="Address of /healthz, /readyz and /metrics; without a host: all addresses."
        ),
    ] = "",
    leader_elect: Annotated[
        bool | None,
        typer.Option(
            "--leader-elect/--no-leader-elect",
            help="Work only while this process has the Lease litclaw. Default: yes inside a cluster, no outside.",
        ),
    ] = None,
    namespaces: Annotated[
        str, typer.Option(metavar="A,B", help="Watch and act in these namespaces only; empty: in the whole cluster.")
    ] = "",
    cluster_id: Annotated[
        str,
        typer.Option(
            help="Identifies the cluster in the metadata of its keys; empty: the uid of namespace kube-system. "
            "Keys with another id are never touched, so don't change it."
        ),
    ] = "",
    crash_logs: Annotated[
        bool,
        typer.Option(
            "--crash-logs",
            help="Show the last lines of a crashed container's log in conditions, without lines that may hold a secret. "
            "Needs permission to get pods/log: deploy/components/crash-logs.",
        ),
    ] = False,
    log_format: Annotated[str, typer.Option(help="text, json, or auto: text on a terminal.")] = "auto",
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
    import uvloop

    from litclaw.cli import logs
    from litclaw.cli.cluster import check_connection
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
        crash_logs=crash_logs,
    )

    gc.freeze()  # modules and classes stay for good
    gc.set_threshold(*_GARBAGE)

    async def operate() -> None:
        await check_connection()
        await Operator(options).run()

    uvloop.run(operate())
