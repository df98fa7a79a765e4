"""Objects of one kind are much alike, and a JSON parser makes each of their strings anew: here they become one."""

import sys
from typing import Any

_MOST = 5_000
_LONGEST = 64  # what is longer, such as a message with a name in it, is seldom said twice


class Shared:
    """Strings that many objects have. Of 10,000 agents and what belongs to them, half of the memory is that (measured)."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, value: Any) -> Any:
        """A copy of plain data, whose keys and short strings are those of others where they are the same."""
        if isinstance(value, str):
            return self._one(value) if len(value) <= _LONGEST else value
        if isinstance(value, dict):
            return {sys.intern(key): self.of(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.of(each) for each in value]
        return value

    def _one(self, text: str) -> str:
        if (known := self._known.get(text)) is not None:
            return known
        if len(self._known) >= _MOST:
            self._known.clear()  # most were unique, such as uids; those that are common are soon here again
        self._known[text] = text
        return text
