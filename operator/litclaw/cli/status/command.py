"""``litclaw status``: routes and agents in tables, and the problems of those that aren't ready."""

from typing import Annotated

import typer

from litclaw.cli import completion, output
from litclaw.cli.errors import CommandError, Exit
from litclaw.cli.options import ContextOption, FormatOption, KubeconfigOption, OutputFormat


def status(
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            help="Only this namespace; default: the context's.",
            autocompletion=completion.namespaces,
        ),
    ] = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="All namespaces.")] = False,
    route: Annotated[
        str | None,
        typer.Option(
            metavar="[NAMESPACE/]NAME", help="Only this route and its agents.", autocompletion=completion.routes
        ),
    ] = None,
    selector: Annotated[
        str, typer.Option("--selector", "-l", help="Only agents with these labels, as for kubectl.")
    ] = "",
    not_ready: Annotated[bool, typer.Option("--not-ready", help="Only resources that aren't ready.")] = False,
    routes: Annotated[bool, typer.Option("--routes", help="Only routes.")] = False,
    agents: Annotated[bool, typer.Option("--agents", help="Only agents.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show every change, until Ctrl-C.")] = False,
    output_format: FormatOption = OutputFormat.TABLE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show routes and agents: readiness, spend and budget, age of keys, and problems."""
    if everywhere and namespace:
        raise CommandError("--namespace and --all-namespaces exclude each other", "Remove one of them.", Exit.USAGE)
    if watch and output_format is not OutputFormat.TABLE:
        raise CommandError("--watch shows a table only", "Remove --output.", Exit.USAGE)
    from litclaw.cli.cluster import Target, current_namespace, with_cluster, with_long_connection
    from litclaw.cli.status.display import show, watch_changes
    from litclaw.cli.status.read import Scope, as_data, read

    target = Target(kubeconfig, context)
    home = namespace or current_namespace(target)
    both = routes == agents
    scope = Scope(
        namespace=None if everywhere else home,
        route=completion.split_name(route, home) if route else None,
        labels=selector,
        not_ready=not_ready,
        routes=routes or both,
        agents=agents or both,
    )
    if watch:
        with_long_connection(target, lambda connection: watch_changes(connection, scope))
        return
    seen = with_cluster(target, lambda kube: read(kube, scope))
    if output_format is OutputFormat.TABLE:
        show(seen, scope)
    else:
        output.data(as_data(seen, scope), output_format)
    if seen.problems:
        raise typer.Exit(int(Exit.FAILED))
