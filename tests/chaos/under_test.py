"""The operator with shorter waits and a clock that can be set: `litclaw run` otherwise.

Usage: python -m tests.chaos.under_test <file> run …    The file holds by how many seconds the clock is ahead.
"""

import importlib
import pkgutil
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import litclaw
from litclaw.cli.main import app
from litclaw.handlers import work
from litclaw.reconcile.context import Context

from .detour import lead_around

SHORTER = {
    "_BLOCKED_SECONDS": 3.0,
    "_LOOK_AGAIN_SECONDS": 60.0,
    "LOOK_AGAIN_SECONDS": 12.0,
    "_REFRESH_SECONDS": 12.0,
    "HURRY_SECONDS": 3.0,
    "_HURRY_SECONDS": 3.0,
    "PROXY_SECONDS": 2.0,
    "UPTAKE_SECONDS": 6,
    "SETTLE_SECONDS": 4,
    "LET_GO_SECONDS": 40.0,
    "_CLOSE_SECONDS": 6.0,
    "RESYNC_SECONDS": 20.0,
    "LAST_RETRY_SECONDS": 8.0,
}
"""Waits by name, wherever in the operator they are; in seconds."""


def shorten() -> None:
    """Set the waits. Each name must be there, or the campaign would wait for what it doesn't know."""
    found = set()
    for info in pkgutil.walk_packages(litclaw.__path__, "litclaw."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for name, seconds in SHORTER.items():
            held = getattr(module, name, None)
            if held is not None and held > seconds:
                setattr(module, name, seconds)
                found.add(name)
    if missing := SHORTER.keys() - found:
        raise SystemExit(f"the operator has no {', '.join(sorted(missing))}: mend SHORTER")


def main(clock: Path, arguments: list[str]) -> None:
    """Run the operator."""

    def now() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(clock.read_text() or 0))

    shorten()
    work.Context = partial(Context, now=now)  # type: ignore[misc, assignment]
    lead_around()
    sys.argv = ["litclaw", *arguments]
    app()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
