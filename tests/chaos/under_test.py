"""The operator with shorter waits and a clock that can be set; otherwise it is `litclaw run`.

Usage: python -m tests.chaos.under_test <file> run …    The file has the seconds that the clock is ahead.
"""

import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from litclaw.cli.main import app
from litclaw.handlers import work
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals

from .detour import lead_around

SHORTER = {
    "AGENT_RESYNC": 60.0,
    "ROUTE_RESYNC": 12.0,
    "UIDS_RESYNC": 20.0,
    "AGENT_BLOCKED": 3.0,
    "ROUTE_BLOCKED": 3.0,
    "OBSERVE": 12.0,
    "HURRY": 3.0,
    "PROXY_RETRY": 2.0,
    "NAME_TAKEN": 4.0,
    "UPTAKE": 6,
    "SETTLE": 4,
    "READ_KEYS_SHARE": 5.0,
    "FINALIZER_LIMIT": 40.0,
    "CLOSE_LATER": 6.0,
    "LAST_RETRY": 8.0,
}
"""Seconds, by the names in the operator's `intervals`. Keys are read for a larger share of the time: on a crowded machine a read
takes so long that two, which the end of a case waits for, would be minutes apart."""


def shorten() -> None:
    """Set the intervals."""
    for name, seconds in SHORTER.items():
        assert getattr(intervals, name) > seconds, name
        setattr(intervals, name, seconds)


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
