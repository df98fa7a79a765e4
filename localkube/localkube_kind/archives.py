"""Image archives that this machine has built, by the images' names: what ``kind load docker-image`` finds."""

import hashlib
import json
from pathlib import Path

from . import cache


def _entry(name: str) -> Path:
    return cache.folder("images") / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def record(name: str, archive: Path) -> None:
    """Say that an archive holds the image of this name now; the archive that did before is removed."""
    before = find(name)
    entry = _entry(name)
    fresh = entry.with_suffix(".new")
    fresh.write_text(json.dumps({"name": name, "archive": str(archive)}))
    fresh.rename(entry)
    if before and before != archive:
        before.unlink(missing_ok=True)


def find(name: str) -> Path | None:
    """The archive that holds the image of this name, or None."""
    entry = _entry(name)
    if not entry.exists():
        return None
    archive = Path(json.loads(entry.read_text())["archive"])
    return archive if archive.exists() else None
