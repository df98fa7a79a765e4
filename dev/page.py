"""Tables that a command writes into a page of the docs."""

import subprocess

from .cluster import ROOT


def commit() -> str:
    """The checked-out commit, with ``-dirty`` if the work tree has changes."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def between(text: str, begin: str, end: str, table: str) -> str:
    """Replace the text between two marks of a page by a table.

    Raises:
        ValueError: the page lacks the marks.
    """
    before, first, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise ValueError(f"the page has no {begin} … {end}")
    return f"{before}{first}\n\n{table}\n\n{last}{after}"
