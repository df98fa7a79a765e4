"""The tables of `litclaw status`, and the problems below them."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from litclaw.cli import output
from litclaw.cli.cluster import LongConnection
from litclaw.cli.output import age, plural
from litclaw.cli.status.read import Scope, Seen, read
from litclaw.cli.table import Cell, Column, table
from litclaw.cli.terminal import Screen, Styled
from litclaw.cli.view import AgentRow, RouteRow, now, parse_time
from litclaw.kube.resources import AGENT, ROUTE

_BAR_COLUMNS = 10
_REFRESH_SECONDS = 2.0
_MOST_NAMES = 5
_CENT = Decimal("0.01")

_ROUTE_COLUMNS = (
    Column("ROUTE", wraps=True),
    Column("READY"),
    Column("LITELLM"),
    Column("MODELS", right=True),
    Column("AGENTS", right=True),
    Column("KEYS", right=True),
    Column("RETIRING", right=True),
    Column("SPENT", right=True),
    Column("URL"),
)
_ROUTE_SPARE = ("URL", "MODELS", "LITELLM", "RETIRING")
_AGENT_COLUMNS = (
    Column("AGENT", wraps=True),
    Column("READY"),
    Column("ROUTE"),
    Column("MODEL"),
    Column("SPENT", right=True),
    Column("BUDGET", right=True),
    Column("USED"),
    Column("KEY AGE", right=True),
    Column("ROTATES IN", right=True),
)
_AGENT_SPARE = ("MODEL", "ROUTE", "ROTATES IN", "KEY AGE")


def show(seen: Seen, scope: Scope) -> None:
    """Print the tables and problems."""
    if seen.routes or seen.agents:
        output.lines(display(seen, Screen.of(sys.stdout), now()))
        return
    where = f"in namespace {scope.namespace}; -A looks at all" if scope.namespace else "in the cluster"
    what = "Nothing that isn't ready" if scope.not_ready else "No routes or agents"
    output.info(f"{what} {where}.")


async def watch_changes(connection: LongConnection, scope: Scope) -> None:
    """Show every change, until the process is interrupted."""
    screen = Screen.of(sys.stdout)
    if screen.width is not None:
        await _watch_live(connection, scope)
    before: Seen | None = None
    while True:
        seen = await connection.read(lambda kube: read(kube, scope))
        if seen != before:
            show(seen, scope)
        before = seen
        await asyncio.sleep(_REFRESH_SECONDS)


async def _watch_live(connection: LongConnection, scope: Scope) -> None:
    """Fill the terminal, and redraw it."""
    from rich.live import Live
    from rich.text import Text

    with Live(screen=True, auto_refresh=False) as live:
        while True:
            seen = await connection.read(lambda kube: read(kube, scope))
            lines = list(display(seen, Screen.of(sys.stdout), now()))[: live.console.height]
            live.update(Text.from_ansi("\n".join(lines)), refresh=True)
            await asyncio.sleep(_REFRESH_SECONDS)


def display(seen: Seen, screen: Screen, at: datetime) -> Iterator[str]:
    """The lines of the tables and of the problems below them."""
    if seen.routes:
        yield from table(_ROUTE_COLUMNS, [_route_cells(row) for row in seen.routes], screen, spare=_ROUTE_SPARE)
    if seen.routes and seen.agents:
        yield ""
    if seen.agents:
        rows = [_agent_cells(row, screen, at) for row in seen.agents]
        yield from table(_AGENT_COLUMNS, rows, screen, spare=_AGENT_SPARE)
    if seen.problems:
        yield ""
        yield screen.paint(f"What is wrong ({plural(len(seen.problems), 'resource')})", "bold")
        yield from _problems(seen.problems, screen)


def _route_cells(row: RouteRow) -> list[Cell]:
    return [
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


def _agent_cells(row: AgentRow, screen: Screen, at: datetime) -> list[Cell]:
    rotated, due = parse_time(row.key_rotated_at), parse_time(row.next_rotation)
    return [
        f"{row.namespace}/{row.name}",
        _ready(row),
        row.route,
        row.model or "-",
        _usd(row.spend),
        _usd(row.budget),
        _used(row, screen),
        age((at - rotated).total_seconds()) if rotated else "-",
        age((due - at).total_seconds()) if due else "-",
    ]


def _ready(row: RouteRow | AgentRow) -> Styled:
    if row.ready is True:
        return Styled("rests", "cyan") if row.reason == "Suspended" else Styled("yes", "green")
    return Styled("no", "red") if row.stalled else Styled("not yet", "yellow")


def _usd(amount: str) -> str:
    """An amount to the cent."""
    if not amount:
        return "-"
    return "<0.01" if 0 < Decimal(amount) < _CENT else f"{Decimal(amount):.2f}"


def _used(row: AgentRow, screen: Screen) -> Cell:
    """The spent share of the budget, on a terminal with a bar."""
    if row.share is None:
        return "-"
    if screen.width is None:
        return f"{row.share:.0%}"
    full = round(min(row.share, 1.0) * _BAR_COLUMNS)
    style = "red" if row.share >= 1 else "yellow" if row.share >= 0.8 else "green"
    return Styled(f"{'━' * full}{'─' * (_BAR_COLUMNS - full)} {row.share:.0%}", style)


def _problems(rows: Sequence[RouteRow | AgentRow], screen: Screen) -> Iterator[str]:
    """Each problem once, with the resources that have it: if a route is down, all its agents wait for it."""
    alike: dict[tuple[str, bool, str, str], list[str]] = {}
    for row in rows:
        kind = ROUTE.kind if isinstance(row, RouteRow) else AGENT.kind
        alike.setdefault((kind, row.stalled, row.reason, row.message), []).append(f"{row.namespace}/{row.name}")
    for (kind, stalled, reason, message), names in alike.items():
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        who = Styled(f"{kind} {', '.join(names[:_MOST_NAMES])}{more}", "bold")
        yield from screen.lines(who, Styled("  "), Styled(reason, "red" if stalled else "yellow"))
        if message:
            yield from screen.lines(Styled(message), indent=2)
