"""The progress of a LiteLLMKeyRotation, from its status."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litclaw.cli.output import plural
from litclaw.cli.view import parse_time


@dataclass(frozen=True, slots=True)
class RotationProgress:
    """The progress of a rotation; the numbers are those of its status."""

    phase: str = "Pending"
    total: int = 0
    rotated: int = 0
    failed: int = 0
    retiring: int = 0
    retiring_until: datetime | None = None

    @classmethod
    def of(cls, rotation: Mapping[str, Any]) -> "RotationProgress":
        """The progress that a rotation's status reports."""
        status = rotation.get("status") or {}
        return cls(
            phase=status.get("phase") or "Pending",
            total=status.get("total") or 0,
            rotated=status.get("rotated") or 0,
            failed=status.get("failed") or 0,
            retiring=status.get("retiring") or 0,
            retiring_until=parse_time(status.get("retiringUntil")),
        )

    def __str__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        until = f" until {self.retiring_until:%Y-%m-%d %H:%M:%SZ}" if self.retiring_until and self.retiring else ""
        retiring = f", {plural(self.retiring, 'old key')} still live{until}" if self.retiring else ""
        return f"{self.phase}: {self.rotated} of {plural(self.total, 'key')} rotated{failed}{retiring}"
