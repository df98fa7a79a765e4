"""Equal strings of many objects, kept in memory once.

Objects of one kind are much alike, but a JSON parser creates a new string for each value. Of the memory that 10,000 agents
and their objects take, half is such duplicates (measured).
"""

import sys
from typing import Any

_MOST = 5_000
_LONGEST = 64  # longer values, such as a message with a name in it, are seldom repeated


class Interner:
    """A bounded pool of strings."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def intern(self, value: Any) -> Any:
        """A copy of plain data whose keys and short strings are those of earlier copies where they are equal."""
        if isinstance(value, str):
            return self._string(value) if len(value) <= _LONGEST else value
        if isinstance(value, dict):
            return {sys.intern(key): self.intern(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.intern(each) for each in value]
        return value

    def _string(self, text: str) -> str:
        if (known := self._known.get(text)) is not None:
            return known
        if len(self._known) >= _MOST:
            self._known.clear()  # most were unique, such as uids; the common ones are soon back
        self._known[text] = text
        return text
