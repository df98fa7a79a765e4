"""Tables that a command writes into a page of the docs, and what they say they are of."""

import subprocess

from .cluster import ROOT


def commit() -> str:
    """What is checked out, with ``-dirty`` where something of it is changed."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def between(text: str, begin: str, end: str, table: str) -> str:
    """A page with a table between two marks, in place of what was there.

    Raises:
        ValueError: the page lacks the marks.
    """
    before, first, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise ValueError(f"the page has no {begin} … {end}")
    return f"{before}{first}\n\n{table}\n\n{last}{after}"
