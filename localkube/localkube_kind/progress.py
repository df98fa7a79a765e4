"""Prints progress: one line for each step, and a sign of life at least every half minute."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from . import cache

_HEARTBEAT_SECONDS = 30.0
_TAIL_LINES = 30


class CommandError(RuntimeError):
    """A command failed; the message has the end of its output."""


def say(what: str) -> None:
    """Print a line on standard error, unbuffered."""
    print(what, file=sys.stderr, flush=True)


class Progress:
    """Numbered steps on standard error.

    Args:
        total: how many steps there are.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._number = 0

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Run one step: a line at its start, a sign of life while it runs, a line with its duration at its end."""
        self._number += 1
        head = f"[{self._number}/{self._total}] {what}"
        started = time.monotonic()
        say(f"{head} …")
        over = threading.Event()

        def heartbeat() -> None:
            while not over.wait(_HEARTBEAT_SECONDS):
                say(f"{head} … {time.monotonic() - started:.0f} s")

        beat = threading.Thread(target=heartbeat, daemon=True)
        beat.start()
        try:
            yield
        finally:
            over.set()
            beat.join()
        elapsed = time.monotonic() - started
        if elapsed >= 1:
            say(f"{head}: {elapsed:.0f} s")

    def done(self, what: str) -> None:
        """Print a line that belongs to no step."""
        say(what)


def run_logged(
    command: Sequence[str], *, log: str, what: str, env: dict[str, str] | None = None, cwd: str | None = None
) -> None:
    """Run a command with its output in a log file.

    Raises:
        CommandError: it failed; the message has the log's end and path.
    """
    path = cache.folder("logs") / f"{log}.log"
    with path.open("a") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=cwd, stdin=subprocess.DEVNULL)
    if done.returncode:
        tail = "\n".join(path.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        raise CommandError(
            f"{what} failed ({command[0]} exited with {done.returncode}):\n{tail}\nThe whole log: {path}"
        )
