"""``litclaw render``: what the operator would make of manifests, for review before they are applied."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from litclaw.cli import output
from litclaw.cli.output import EXITS, Exit, Fault, plural


class RenderForm(StrEnum):
    """How objects are printed."""

    YAML = "yaml"
    JSON = "json"


def render(
    files: Annotated[
        list[str],
        typer.Option(
            "--filename", "-f", help="A file, a folder with all below it, or - for standard input; repeatable."
        ),
    ],
    output_dir: Annotated[
        Path | None,
        typer.Option(help="Folder to write a file an object to, and config.yaml and openclaw.json as they are."),
    ] = None,
    model_info: Annotated[
        Path | None,
        typer.Option(help="What the proxy answers at /model/info, for the prices and sizes that only it knows."),
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of manifests that name none.")] = "default",
    operator_namespace: Annotated[
        str, typer.Option(help="Where the operator runs, which the NetworkPolicies let in.")
    ] = "litclaw-system",
    form: Annotated[
        RenderForm, typer.Option("--output", "-o", help="YAML documents, or one JSON list.")
    ] = RenderForm.YAML,
) -> None:
    """What routes and agents become: config.yaml, openclaw.json and every object, without a cluster.

    It is what the operator of this release makes. Secret values are placeholders (MADE-UP-BY-THE-OPERATOR), as is what only
    a cluster knows (KNOWN-IN-THE-CLUSTER-ALONE). Rules that the CRDs have in CEL are the API server's to check:
    kubectl apply --dry-run=server.
    """
    from litclaw.cli import manifests, offline, rendered, schema

    for option, value in (("--namespace", namespace), ("--operator-namespace", operator_namespace)):
        if not schema.is_dns_label(value):
            raise Fault(f"{option} {value!r} isn't a namespace's name", "Leave it out, or mend it.", Exit.USAGE)
    try:
        given = manifests.read(files, sys.stdin, namespace)
    except manifests.BadInputError as error:
        lines = [str(line) for line in error.args]
        raise Fault("\n".join(lines), f"{plural(len(lines), 'mistake')}; nothing is rendered.", Exit.USAGE) from None
    for source in given.skipped:
        output.tell(f"note: {source} is left out: it has neither apiVersion nor kind.")
    if not given.routes and not given.agents:
        raise Fault("no LiteLLMRoute or OpenClawAgent is among the manifests", "Name other files with -f.", Exit.USAGE)
    info = rendered.model_info(model_info)
    made = offline.make_all(given, operator_namespace=operator_namespace, info=info)
    if output_dir:
        rendered.write(output_dir, made, given)
    else:
        rendered.show(made, given, as_json=form is RenderForm.JSON)
    rendered.tell(made)
    if any(each.problem for each in made):
        raise typer.Exit(int(Exit.WRONG))


render.__doc__ = f"{render.__doc__}\n\n{EXITS}"
