"""``litclaw rotate``: creates a LiteLLMKeyRotation, or annotates single agents. The operator does the rest."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from litclaw.api import names
from litclaw.cli import completion, output
from litclaw.cli.errors import CommandError, Exit
from litclaw.cli.options import ContextOption, FormatOption, KubeconfigOption, OutputFormat
from litclaw.cli.rotate.patience import Patience, Until


def rotate(
    agents: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAMESPACE/]NAME",
            help="Single agents instead of a selection. Sets their annotation litclaw.dev/rotate.",
            autocompletion=completion.agents,
            show_default=False,
        ),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All agents of the cluster.")] = False,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="The agents of this namespace.", autocompletion=completion.namespaces),
    ] = None,
    selector: Annotated[
        str | None, typer.Option("--selector", "-l", help="The agents with these labels, such as team=research,tier=1.")
    ] = None,
    route: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE/NAME", help="The agents that use this route.", autocompletion=completion.routes
        ),
    ] = None,
    what: Annotated[
        list[str] | None,
        typer.Option(help="VirtualKeys (the default) or MasterKeys; repeat it for both.", show_default=False),
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option(help="Grace period of old keys; 0s for a leak. Default: 1h.", show_default=False),
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(min=1, max=1000, help="How many keys are rotated at a time. Default: 10.")
    ] = None,
    stop_after_failures: Annotated[
        int | None, typer.Option(min=0, help="Stop after this many failures; 0: never. Default: 5.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the LiteLLMKeyRotation. Default: rotate- and the time.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be rotated, and change nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait, and show the progress.")] = False,
    until: Annotated[
        Until,
        typer.Option(
            help="rotated: new keys are in use. completed: also, old keys are refused, after the grace period."
        ),
    ] = Until.COMPLETED,
    timeout: Annotated[str | None, typer.Option(help="The longest wait, such as 30m. Default: unlimited.")] = None,
    attach: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Wait for an existing rotation.", autocompletion=completion.rotations),
    ] = None,
    output_format: FormatOption = OutputFormat.TABLE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Rotate the keys of all, some or single agents, without a failed request."""
    from litclaw.cli.cluster import Target, current_namespace, with_cluster
    from litclaw.cli.rotate.agents import rotate_agents
    from litclaw.cli.rotate.create import count, create, preview, show_preview
    from litclaw.cli.rotate.request import request_of, seconds_of
    from litclaw.cli.rotate.wait import wait_for

    target = Target(kubeconfig, context)
    patience = Patience(until, seconds_of(timeout) if timeout is not None else None)
    selection: dict[str, Any] = {"--all": all_, "--selector": selector, "--route": route}
    settings: dict[str, Any] = {
        "--what": what,
        "--grace": grace,
        "--max-concurrent": max_concurrent,
        "--stop-after-failures": stop_after_failures,
        "--name": name,
    }
    _require_values({"--namespace": namespace, "--selector": selector, "--route": route, "--attach": attach})
    if attach:
        others = {**selection, **settings, "--namespace": namespace, "--dry-run": dry_run, "names of agents": agents}
        _refuse_together("--attach", others)
        wait_for(target, attach, patience, output_format)
        return
    if agents:
        _refuse_together("names of agents", {**selection, **settings})
        home = namespace or current_namespace(target)
        keys = [completion.split_name(text, home) for text in agents]
        rotate_agents(target, keys, patience if wait else None, output_format, dry_run=dry_run)
        return
    request = request_of({**selection, **settings}, namespace)
    if dry_run:
        found = with_cluster(target, lambda kube: preview(kube, request))
        show_preview(request, found, output_format)
        return
    selected, created = with_cluster(target, lambda kube: create(kube, request))
    output.info(f"{names.ROTATION_KIND} {request.name} is made: {count(selected)}.")
    if wait:
        wait_for(target, request.name, patience, output_format)
    elif output_format is OutputFormat.TABLE:
        output.info(f"To follow it: `litclaw rotate --attach {request.name}`, or `kubectl get llkr {request.name} -w`.")
    else:
        output.data(created, output_format)


def _require_values(options: Mapping[str, str | None]) -> None:
    """Refuse an empty option, as from an unset variable of a shell: it would select more than intended."""
    if empty := [option for option, value in options.items() if value is not None and not value.strip()]:
        raise CommandError(f"{empty[0]} is empty", "Is a variable unset? Set it, or remove the option.", Exit.USAGE)


def _refuse_together(what: str, options: Mapping[str, Any]) -> None:
    if others := [option for option, value in options.items() if value not in (None, False, [])]:
        raise CommandError(f"{what} and {others[0]} exclude each other", "Remove one of them.", Exit.USAGE)
