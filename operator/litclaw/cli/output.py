"""What the commands print.

Standard output has the result, and standard error everything else. On a terminal there are colours, and tables fit its
width; in a pipe there are no colours, and a row of a table is one line.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any

from litclaw.cli.errors import CommandError
from litclaw.cli.options import OutputFormat
from litclaw.cli.terminal import Screen, Styled


def lines(result: Iterable[str]) -> None:
    """Print a result for people."""
    print("\n".join(result))


def data(result: Any, output_format: OutputFormat) -> None:
    """Print a result for programs."""
    if output_format is OutputFormat.JSON:
        print(json.dumps(result, indent=2, ensure_ascii=False))
        return
    import yaml

    print(yaml.safe_dump(result, sort_keys=False, allow_unicode=True, width=1000), end="")


def info(text: str) -> None:
    """Print a line beside the result."""
    print(text, file=sys.stderr, flush=True)


def error(failure: CommandError) -> None:
    """Print the problem and the remedy."""
    screen = Screen.of(sys.stderr)
    found = [*screen.lines(Styled("error: ", "bold red"), Styled(failure.message))]
    if failure.remedy:
        found += screen.lines(Styled(failure.remedy))
    info("\n".join(found))


def age(seconds: float) -> str:
    """A duration in at most two units, as kubectl prints it: ``45s``, ``12m``, ``3h20m``, ``5d``."""
    left = max(0, int(seconds))
    if left < 120:
        return f"{left}s"
    minutes, hours, days = left // 60, left // 3600, left // 86400
    if minutes < 180:
        return f"{minutes}m"
    if hours < 48:
        rest = minutes % 60
        return f"{hours}h{rest}m" if rest and hours < 8 else f"{hours}h"
    rest = hours % 24
    return f"{days}d{rest}h" if rest and days < 8 else f"{days}d"


def plural(count: int, noun: str) -> str:
    """``1 agent``, ``2 agents``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
