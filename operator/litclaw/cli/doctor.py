"""``litclaw doctor``: looks an installation over, and says what to do about each thing that isn't as it should be."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from litclaw.cli import completion, output
from litclaw.cli.checks import cluster, leftovers, operator, proxies, resources
from litclaw.cli.checks.check import Check, Outcome, fail
from litclaw.cli.cluster import ContextOption, KubeconfigOption, Target, ask
from litclaw.cli.output import EXITS, Exit, Fault, Form, FormOption, table
from litclaw.kube.client import Kube

_STYLES = {Outcome.OK: "green", Outcome.WARN: "yellow", Outcome.FAIL: "bold red", Outcome.SKIP: "dim"}


def doctor(
    operator_namespace: Annotated[
        str | None,
        typer.Option(
            help="Where the operator runs; left out: it is looked for in all namespaces.",
            autocompletion=completion.namespaces,
            show_default=False,
        ),
    ] = None,
    ask_proxies: Annotated[
        bool,
        typer.Option(
            "--ask-proxies/--no-ask-proxies",
            help="Ask the routes' proxies too, with their master keys where you may read those.",
        ),
    ] = True,
    form: FormOption = Form.TABLE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Check an installation: cluster, CRDs, operator, permissions, routes, proxies, agents, rotations, leftovers, pods.

    It changes nothing. What it isn't allowed to read it skips, and says so.
    """
    target = Target(kubeconfig, context)
    try:
        found = ask(target, lambda kube: examine(kube, operator_namespace, ask_proxies=ask_proxies))
    except Fault as fault:
        if fault.status is not Exit.CLUSTER:
            raise
        _print([fail("cluster", fault.message, fault.remedy)], form)
        raise typer.Exit(int(Exit.CLUSTER)) from None
    _print(found, form)
    if any(check.outcome is Outcome.FAIL for check in found):
        raise typer.Exit(int(Exit.WRONG))


doctor.__doc__ = f"{doctor.__doc__}\n{EXITS}"


async def examine(kube: Kube, operator_namespace: str | None, *, ask_proxies: bool) -> list[Check]:
    """Every check, in the order in which one rests on another."""
    checks = [await cluster.check_version(kube), *await cluster.check_definitions(kube)]
    found, said = await operator.find_operator(kube, operator_namespace)
    checks += said
    if found:
        checks += operator.check_operator(found)
        checks += await operator.check_lease(kube, found)
        checks.append(await operator.check_permissions(kube, found))
    checks += await resources.check_routes(kube)
    if ask_proxies:
        checks += await proxies.check_proxies(kube, found.option("--cluster-id") if found else "")
    for check in (
        resources.check_agents,
        resources.check_rotations,
        leftovers.check_orphans,
        leftovers.check_admission,
    ):
        checks += await check(kube)
    return checks


def _print(found: Sequence[Check], form: Form) -> None:
    counts = Counter(check.outcome for check in found)
    if form is not Form.TABLE:
        checks = [
            {"name": each.name, "outcome": each.outcome.value, "detail": each.detail, "remedy": each.remedy}
            for each in found
        ]
        output.data({"checks": checks, **{outcome.value: counts[outcome] for outcome in Outcome}}, form)
        return
    out = output.console()
    rows: list[list[RenderableType]] = []
    for each in found:
        rows.append([Text(each.outcome.value, style=_STYLES[each.outcome]), each.name, Text(each.detail)])
        if each.remedy:
            rows.append(["", "", Text.assemble(("-> ", "cyan"), each.remedy)])
    output.show(out, table(["", "CHECK", "WHAT WAS SEEN, AND WHAT TO DO"], rows))
    seen = [f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome]]
    out.print(Text(f"\n{', '.join(seen)}", style="bold red" if counts[Outcome.FAIL] else "bold"))
