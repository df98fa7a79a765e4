"""``litclaw status``: routes and agents in tables, and what is wrong with those that aren't ready."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.measure import Measurement
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from litclaw.cli import completion, output
from litclaw.cli.cluster import ContextOption, KubeconfigOption, Line, Target, ask, current_namespace, hold
from litclaw.cli.output import EXITS, Exit, Fault, Form, FormOption, age, plural, table
from litclaw.cli.view import AgentRow, RouteRow, agent_row, camel, moment, now, route_of, route_row
from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError
from litclaw.kube.resources import AGENT, ROUTE

_BAR = 10
_EVERY_SECONDS = 2.0
_MOST_NAMED = 5
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is to be shown.

    Attributes:
        namespace: None: all.
        route: namespace and name of a route whose agents are shown; None: any.
        labels: a label selector for agents; empty: all.
        not_ready: whether only what isn't as it should be is shown.
        routes: whether routes are shown.
        agents: whether agents are shown.
    """

    namespace: str | None
    route: tuple[str, str] | None
    labels: str
    not_ready: bool
    routes: bool
    agents: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is, in order of namespace and name."""

    routes: list[RouteRow]
    agents: list[AgentRow]

    @property
    def wrong(self) -> list[RouteRow | AgentRow]:
        """What isn't as it should be."""
        rows: list[RouteRow | AgentRow] = [*self.routes, *self.agents]
        return [row for row in rows if row.ready is not True]


def status(
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            help="Only of this one; left out: of the context's.",
            autocompletion=completion.namespaces,
        ),
    ] = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces.")] = False,
    route: Annotated[
        str | None,
        typer.Option(
            metavar="[NAMESPACE/]NAME", help="Only this route and its agents.", autocompletion=completion.routes
        ),
    ] = None,
    selector: Annotated[
        str, typer.Option("--selector", "-l", help="Only agents with these labels, as kubectl's.")
    ] = "",
    not_ready: Annotated[bool, typer.Option("--not-ready", help="Only what isn't as it should be.")] = False,
    routes: Annotated[bool, typer.Option("--routes", help="Routes alone.")] = False,
    agents: Annotated[bool, typer.Option("--agents", help="Agents alone.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it anew whenever it changes, until Ctrl-C.")
    ] = False,
    form: FormOption = Form.TABLE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Routes and agents: what is ready, what is spent of which budget, how old keys are, and what is wrong."""
    target = Target(kubeconfig, context)
    if everywhere and namespace:
        raise Fault("--namespace and --all-namespaces exclude each other", "Leave one of them out.", Exit.USAGE)
    if watch and form is not Form.TABLE:
        raise Fault("--watch shows a table only", "Leave --output out.", Exit.USAGE)
    home = namespace or current_namespace(target)
    both = routes == agents
    scope = Scope(
        namespace=None if everywhere else home,
        route=completion.split(route, home) if route else None,
        labels=selector,
        not_ready=not_ready,
        routes=routes or both,
        agents=agents or both,
    )
    if watch:
        hold(target, lambda line: _watch(line, scope))
        return
    seen = ask(target, lambda kube: look(kube, scope))
    if form is Form.TABLE:
        _print(output.console(), seen, scope)
    else:
        value: dict[str, Any] = {"routes": [camel(row) for row in seen.routes]} if scope.routes else {}
        value |= {"agents": [camel(row) for row in seen.agents]} if scope.agents else {}
        output.data(value, form)
    if seen.wrong:
        raise typer.Exit(int(Exit.WRONG))


status.__doc__ = f"{status.__doc__}\n\n{EXITS}"


async def look(kube: Kube, scope: Scope) -> Seen:
    """Read what is to be shown. Of routes, those of the namespace and those that its agents ask for.

    Raises:
        Fault: the selector isn't one.
    """
    try:
        found = await kube.objects(AGENT, scope.namespace, labels=scope.labels)
    except KubeError as error:
        if error.status != 400 or not scope.labels:
            raise
        message = f"--selector {scope.labels!r} isn't a label selector: {error.message}"
        raise Fault(message, "Write it as for kubectl: team=research,tier!=test.", Exit.USAGE) from None
    if scope.route:
        found = [body for body in found if route_of(body) == scope.route]
    agents = [agent_row(body) for body in found]
    routes = [route_row(body) for body in await _routes(kube, scope, {route_of(body) for body in found})]
    if scope.not_ready:
        agents = [row for row in agents if row.ready is not True]
        routes = [row for row in routes if row.ready is not True]
    return Seen(sorted(routes, key=_place) if scope.routes else [], sorted(agents, key=_place) if scope.agents else [])


def _place(row: RouteRow | AgentRow) -> tuple[str, str]:
    return (row.namespace, row.name)


async def _routes(kube: Kube, scope: Scope, used: set[tuple[str, str]]) -> list[dict[str, Any]]:
    if not scope.routes:
        return []
    found: list[dict[str, Any]] = []
    if scope.route:
        used = {scope.route}
    elif not scope.labels:
        found = await kube.objects(ROUTE, scope.namespace)
    known = {(body["metadata"]["namespace"], body["metadata"]["name"]) for body in found}
    for namespace, name in sorted(used - known):
        try:
            body = await kube.get(ROUTE, namespace, name)
        except KubeError as error:
            if error.status != 403:
                raise
            continue  # another team's namespace: the agents' own conditions say what they lack
        if body:
            found.append(body)
    return found


def _print(out: Console, seen: Seen, scope: Scope) -> None:
    if not seen.routes and not seen.agents:
        where = f"in namespace {scope.namespace}; -A looks at all" if scope.namespace else "in the cluster"
        what = "Nothing that isn't ready" if scope.not_ready else "No routes or agents"
        output.tell(f"{what} {where}.")
        return
    output.show(out, picture(seen, out))


def picture(seen: Seen, out: Console) -> RenderableType:
    """The tables, and what is wrong below them."""
    moment_ = now()
    parts: list[RenderableType] = []
    if seen.routes:
        parts.append(_routes_table(seen.routes, out))
    if seen.agents:
        parts += (
            [Text(""), _agents_table(seen.agents, out, moment_)]
            if parts
            else [_agents_table(seen.agents, out, moment_)]
        )
    if seen.wrong:
        parts += [Text(""), Text(f"What is wrong ({plural(len(seen.wrong), 'resource')})", style="bold")]
        parts += _wrong(seen.wrong)
    return Group(*parts)


def _ready(row: RouteRow | AgentRow) -> Text:
    """In a word; the reason is told below the tables."""
    if row.ready is True:
        return Text("rests", style="cyan") if row.reason == "Suspended" else Text("yes", style="green")
    return Text("no", style="red") if row.stalled else Text("not yet", style="yellow")


def _wrong(rows: Sequence[RouteRow | AgentRow]) -> list[RenderableType]:
    """What is wrong, once for all of whom it is said: a route that is down has many agents waiting."""
    alike: dict[tuple[str, bool, str, str], list[str]] = {}
    for row in rows:
        kind = ROUTE.kind if isinstance(row, RouteRow) else AGENT.kind
        alike.setdefault((kind, row.stalled, row.reason, row.message), []).append(f"{row.namespace}/{row.name}")
    parts: list[RenderableType] = []
    for (kind, stalled, reason, message), names in alike.items():
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        who = f"{kind} {', '.join(names[:_MOST_NAMED])}{more}"
        parts.append(Text.assemble((who, "bold"), "  ", (reason, "red" if stalled else "yellow")))
        if message:
            parts.append(Padding(Text(message), (0, 0, 0, 2)))
    return parts


def _routes_table(rows: Sequence[RouteRow], out: Console) -> RenderableType:
    columns = ["ROUTE", "READY", "LITELLM", "MODELS", "AGENTS", "KEYS", "RETIRING", "SPENT", "URL"]
    cells: list[list[RenderableType]] = [
        [
            f"{row.namespace}/{row.name}",
            _ready(row),
            row.version or "-",
            str(row.models),
            str(row.agents),
            str(row.live_keys),
            str(row.retiring_keys),
            _usd(row.spend),
            row.url or "-",
        ]
        for row in rows
    ]
    right = ["MODELS", "AGENTS", "KEYS", "RETIRING", "SPENT"]
    return _fitting(out, columns, cells, right, ["URL", "MODELS", "LITELLM", "RETIRING"])


def _agents_table(rows: Sequence[AgentRow], out: Console, at: datetime) -> RenderableType:
    columns = ["AGENT", "READY", "ROUTE", "MODEL", "SPENT", "BUDGET", "USED", "KEY AGE", "ROTATES IN"]
    cells: list[list[RenderableType]] = [
        [
            f"{row.namespace}/{row.name}",
            _ready(row),
            row.route,
            row.model or "-",
            _usd(row.spend),
            _usd(row.budget),
            _used(row, out),
            age((at - made).total_seconds()) if (made := moment(row.key_rotated_at)) else "-",
            age((due - at).total_seconds()) if (due := moment(row.next_rotation)) else "-",
        ]
        for row in rows
    ]
    right = ["SPENT", "BUDGET", "KEY AGE", "ROTATES IN"]
    return _fitting(out, columns, cells, right, ["MODEL", "ROUTE", "ROTATES IN", "KEY AGE"])


def _fitting(
    out: Console, columns: list[str], cells: list[list[RenderableType]], right: list[str], spare: list[str]
) -> Table:
    """A table that fits the terminal, without as many of the spare columns as that takes."""
    left_out: list[str] = []
    while True:
        kept = [index for index, name in enumerate(columns) if name not in left_out]
        made = table([columns[i] for i in kept], [[row[i] for i in kept] for row in cells], right, fixed=columns[1:])
        natural = Measurement.get(out, out.options.update(max_width=output.WIDE), made).maximum
        if len(left_out) == len(spare) or natural <= out.width:
            return made
        left_out.append(spare[len(left_out)])


def _usd(amount: str) -> str:
    """To the cent, which is enough to look at."""
    if not amount:
        return "-"
    return "<0.01" if 0 < Decimal(amount) < _CENT else f"{Decimal(amount):.2f}"


def _used(row: AgentRow, out: Console) -> RenderableType:
    if row.share is None:
        return "-"
    percent = f"{row.share:.0%}"
    if not out.is_terminal:
        return percent
    style = "red" if row.share >= 1 else "yellow" if row.share >= 0.8 else "green"
    bar = ProgressBar(
        total=1.0, completed=min(row.share, 1.0), width=_BAR, complete_style=style, finished_style=style, style="grey35"
    )
    grid = Table.grid(padding=(0, 1))
    grid.add_row(bar, Text(percent, style=style))
    return grid


async def _watch(line: Line, scope: Scope) -> None:
    out = output.console()
    if not out.is_terminal:
        before: Seen | None = None
        while True:
            seen = await line.read(lambda kube: look(kube, scope))
            if seen != before:
                _print(out, seen, scope)
            before = seen
            await asyncio.sleep(_EVERY_SECONDS)
    with Live(console=out, screen=True, auto_refresh=False) as live:
        while True:
            seen = await line.read(lambda kube: look(kube, scope))
            live.update(picture(seen, out), refresh=True)
            await asyncio.sleep(_EVERY_SECONDS)
