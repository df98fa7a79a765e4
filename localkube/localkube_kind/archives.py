"""The image archives that this machine has built, by image name, for ``kind load docker-image``."""

import hashlib
import json
from pathlib import Path

from . import cache


def _entry(name: str) -> Path:
    return cache.folder("images") / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def record(name: str, archive: Path) -> None:
    """Record the archive of the image of this name; the previous archive is removed."""
    before = find(name)
    entry = _entry(name)
    fresh = entry.with_suffix(".new")
    fresh.write_text(json.dumps({"name": name, "archive": str(archive)}))
    fresh.rename(entry)
    if before and before != archive:
        before.unlink(missing_ok=True)


def find(name: str) -> Path | None:
    """The archive of the image of this name, or None."""
    entry = _entry(name)
    if not entry.exists():
        return None
    archive = Path(json.loads(entry.read_text())["archive"])
    return archive if archive.exists() else None
