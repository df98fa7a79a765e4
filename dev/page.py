"""Tables that a command writes into a page of the docs."""


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
