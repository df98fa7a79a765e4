"""Tables and messages in a pipe, and on a terminal of any width."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from litclaw.cli import output
from litclaw.cli.errors import CommandError
from litclaw.cli.status.display import display
from litclaw.cli.status.read import Seen
from litclaw.cli.table import Column, table
from litclaw.cli.terminal import Screen, Styled, columns_of
from litclaw.cli.view import agent_row, route_row

from tests.unit.cli_resources import agent, conditions

PIPE = Screen(width=None, colours=False)
NOW = datetime(2026, 11, 24, tzinfo=UTC)
UNREACHABLE = conditions(Ready=("False", "Unreachable", ("It can't be reached. " * 8).strip()))


def seen() -> Seen:
    """A ready agent, and a route that isn't ready."""
    row = agent_row(
        agent(
            conditions=conditions(Ready=("True", "Ready", "")),
            spend="12.50",
            budget="50.00",
            defaultModel="claude-opus-4-6",
            key={"rotatedAt": "2026-01-01T00:00:00Z", "nextRotation": "2036-01-01T00:00:00Z"},
        )
    )
    return Seen([route_row(agent(conditions=UNREACHABLE, url="http://x:4000"))], [row])


def plain(line: str) -> str:
    """A line without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def test_in_a_pipe_a_row_is_a_line() -> None:
    lines = list(display(seen(), PIPE, NOW))
    assert any("team-a/scout" in line and "12.50" in line and "25%" in line for line in lines)
    assert all("\x1b" not in line and line == line.rstrip() for line in lines)


@pytest.mark.parametrize("width", [60, 80])
def test_on_a_narrow_terminal_nothing_is_cut_off(width: int) -> None:
    """Every name and amount is there, and no line is longer than the terminal."""
    lines = [plain(line) for line in display(seen(), Screen(width=width, colours=True), NOW)]
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    for word in ("team-a/scout", "12.50", "50.00", "25%", "Unreachable", "can't be reached"):
        assert word in text


def test_colours_are_for_terminals_only() -> None:
    colourful, plain_ = (list(display(seen(), Screen(width=80, colours=c), NOW)) for c in (True, False))
    assert any("\x1b[32myes\x1b[0m" in line for line in colourful)
    assert [plain(line) for line in colourful] == plain_


def test_a_common_problem_is_reported_once() -> None:
    """If a route is down, all its agents wait for it."""
    waiting = conditions(Ready=("False", "RouteNotReady", "Waits for LiteLLMRoute ai/main."))
    row = agent_row(agent(conditions=waiting))
    lines = list(display(Seen([], [replace(row, name=f"a-{number}") for number in range(1000)]), PIPE, NOW))
    assert len(lines) == 1000 + len(["headings", "blank", "title", "who", "what"])
    assert lines[-2].startswith("OpenClawAgent team-a/a-0, team-a/a-1, ") and "and 995 more  RouteNotReady" in lines[-2]


def test_columns_are_left_out_before_cells_wrap() -> None:
    columns = (Column("NAME", wraps=True), Column("SPARE"), Column("COUNT", right=True))
    rows = [["a-long-name", "x" * 20, "1"], ["b", "y", Styled("1000", "red")]]
    assert list(table(columns, rows, PIPE, spare=("SPARE",))) == [
        "NAME         SPARE                 COUNT",
        "a-long-name  xxxxxxxxxxxxxxxxxxxx      1",
        "b            y                      1000",
    ]
    assert list(table(columns, rows, Screen(20, colours=False), spare=("SPARE",))) == [
        "NAME         COUNT",
        "a-long-name      1",
        "b             1000",
    ]
    assert list(table(columns, rows, Screen(15, colours=False), spare=("SPARE",))) == [
        "NAME      COUNT",
        "a-long-n      1",
        "ame",
        "b          1000",
    ]


def test_cells_are_aligned_by_what_the_terminal_shows() -> None:
    """An East Asian character takes two columns, and a control character can't break the line."""
    assert columns_of("模型") == 4
    lines = list(table((Column("A"), Column("B")), [["模型", "x"], ["a\n\x1bb", "y"]], PIPE))
    assert lines == ["A     B", "模型  x", "a  b  y"]


def test_an_error_has_its_remedy_on_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    output.error(CommandError("it is broken", "Fix it."))
    assert capsys.readouterr().err == "error: it is broken\nFix it.\n"


def test_styled_text_is_broken_between_words() -> None:
    """With its styles, at its own line breaks, and with an indent."""
    screen = Screen(width=20, colours=True)
    lines = list(screen.lines(Styled("error: ", "bold red"), Styled("the cluster doesn't answer\n  in time")))
    assert lines == ["\x1b[1;31merror: \x1b[0mthe cluster", "doesn't answer", "  in time"]
    assert list(screen.lines(Styled("a few words that wrap"), indent=4)) == ["    a few words that", "    wrap"]
    assert list(PIPE.lines(Styled("x" * 200, "bold"))) == ["x" * 200]


def test_what_a_stream_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe has no width; NO_COLOR and a dumb terminal have no colours."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Screen.of(io.StringIO()) == PIPE
    assert Screen.of(Terminal()) == Screen(width=100, colours=True)
    monkeypatch.setenv("TERM", "dumb")
    assert not Screen.of(Terminal()).colours
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Screen.of(Terminal()).colours
    monkeypatch.setenv("COLUMNS", "")
    assert Screen.of(Terminal()).width == 80
