"""``litclaw render``: the objects that the operator would create from manifests, for review before they are applied."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from litclaw.cli import output
from litclaw.cli.errors import CommandError, Exit
from litclaw.cli.output import plural


class RenderFormat(StrEnum):
    """How objects are printed."""

    YAML = "yaml"
    JSON = "json"


def render(
    files: Annotated[
        list[str],
        typer.Option("--filename", "-f", help="A file, a folder (recursive), or - for standard input; repeatable."),
    ],
    output_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for one file per object, and for each config.yaml and openclaw.json."),
    ] = None,
    model_info: Annotated[
        Path | None,
        typer.Option(help="The proxy's response at /model/info, for the prices and sizes that only it knows."),
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="For manifests without one.")] = "default",
    operator_namespace: Annotated[
        str, typer.Option(help="The operator's namespace, which the NetworkPolicies admit.")
    ] = "litclaw-system",
    output_format: Annotated[
        RenderFormat, typer.Option("--output", "-o", help="YAML documents, or one JSON list.")
    ] = RenderFormat.YAML,
) -> None:
    """Print what routes and agents become: config.yaml, openclaw.json and every object, without a cluster.

    The result is what the operator of this release creates. Placeholders stand for secret values
    (MADE-UP-BY-THE-OPERATOR) and for values that are known only in a cluster (KNOWN-IN-THE-CLUSTER-ALONE). Only the API
    server checks the CEL rules of the CRDs: kubectl apply --dry-run=server.
    """
    from litclaw.cli import manifests, offline, rendered, schema

    for option, value in (("--namespace", namespace), ("--operator-namespace", operator_namespace)):
        if not schema.is_dns_label(value):
            raise CommandError(f"{option} {value!r} isn't a namespace's name", "Fix it, or remove it.", Exit.USAGE)
    try:
        given = manifests.read(files, sys.stdin, namespace)
    except manifests.BadInputError as error:
        mistakes = [str(line) for line in error.args]
        total = f"{plural(len(mistakes), 'mistake')}; nothing is rendered."
        raise CommandError("\n".join(mistakes), total, Exit.USAGE) from None
    for source in given.skipped:
        output.info(f"note: {source} is left out: it has neither apiVersion nor kind.")
    if not given.routes and not given.agents:
        message = "no LiteLLMRoute or OpenClawAgent is among the manifests"
        raise CommandError(message, "Name other files with -f.", Exit.USAGE)
    info = rendered.read_model_info(model_info)
    made = offline.make_all(given, operator_namespace=operator_namespace, info=info)
    if output_dir:
        rendered.write(output_dir, made, given)
    else:
        rendered.show(made, given, as_json=output_format is RenderFormat.JSON)
    rendered.report(made)
    if any(each.problem for each in made):
        raise typer.Exit(int(Exit.FAILED))
