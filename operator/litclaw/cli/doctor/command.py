"""``litclaw doctor``: checks an installation, and prints a remedy for each problem."""

from typing import Annotated

import typer

from litclaw.cli import completion
from litclaw.cli.errors import CommandError, Exit
from litclaw.cli.options import ContextOption, FormatOption, KubeconfigOption, OutputFormat


def doctor(
    operator_namespace: Annotated[
        str | None,
        typer.Option(
            help="The operator's namespace; default: all namespaces are searched.",
            autocompletion=completion.namespaces,
            show_default=False,
        ),
    ] = None,
    ask_proxies: Annotated[
        bool,
        typer.Option(
            "--ask-proxies/--no-ask-proxies",
            help="Ask the routes' proxies too, with their master keys if you may read them.",
        ),
    ] = True,
    output_format: FormatOption = OutputFormat.TABLE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Check an installation: cluster, CRDs, operator, permissions, routes, proxies, agents, rotations, leftovers, pods.

    It changes nothing, and skips what you may not read.
    """
    from litclaw.cli.cluster import Target, with_cluster
    from litclaw.cli.doctor import all_checks, report
    from litclaw.cli.doctor.check import Outcome, fail

    target = Target(kubeconfig, context)
    try:
        checks = with_cluster(target, lambda kube: all_checks.run(kube, operator_namespace, ask_proxies=ask_proxies))
    except CommandError as error:
        if error.status is not Exit.CLUSTER:
            raise
        report.show([fail("cluster", error.message, error.remedy)], output_format)
        raise typer.Exit(int(Exit.CLUSTER)) from None
    report.show(checks, output_format)
    if any(check.outcome is Outcome.FAIL for check in checks):
        raise typer.Exit(int(Exit.FAILED))
