"""Which strings of openclaw.json OpenClaw may replace by environment variables.

OpenClaw replaces ``${NAME}`` in every string of the file, but not in keys, and takes ``$${NAME}`` for ``${NAME}`` itself; a
name has capital letters, digits and ``_`` (the same in 2026.4.9 and 2026.9.6: ``env-substitution.ts`` in their packages,
tried with 2026.9.6). An agent's owner may use that in ``config.extra``. What the operator renders holds names, URLs and
certificates that a route's owner or a proxy has written: there, nothing is replaced but the operator's own references.
"""

from collections.abc import Mapping
from typing import Any


class Reference(str):
    """A reference to an environment variable, as a value of openclaw.json."""

    __slots__ = ()

    @classmethod
    def to(cls, variable: str) -> "Reference":
        """The reference to a variable."""
        return cls(f"${{{variable}}}")


def literal(value: Any) -> Any:
    """A value of openclaw.json in which OpenClaw replaces nothing but each `Reference`.

    Every ``${`` is escaped, whatever follows, because a later release may know more references.
    """
    if isinstance(value, Mapping):
        return {key: literal(below) for key, below in value.items()}
    if isinstance(value, list):
        return [literal(each) for each in value]
    if isinstance(value, str) and not isinstance(value, Reference):
        return value.replace("${", "$${")
    return value
