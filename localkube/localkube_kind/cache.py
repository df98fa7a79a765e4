"""The folder for built files, shared by runs and clones."""

import os
from pathlib import Path


def folder(*parts: str) -> Path:
    """A folder in the cache, created if it is missing: ``$LITCLAW_CACHE``, else the user's cache directory."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(os.environ.get("LITCLAW_CACHE") or Path(home) / "litclaw").absolute().joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path
