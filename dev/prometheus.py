"""Prometheus and promtool, for tests of the alert rules and the dashboard: from the path, else from Debian's package."""

import shutil
import sys
from pathlib import Path

from .cluster import ROOT

sys.path.insert(0, str(ROOT / "localkube"))

from localkube_kind import apt


def program(name: str) -> Path:
    """``prometheus`` or ``promtool``.

    Raises:
        RuntimeError: it isn't in the path, and no Debian package can be downloaded.
    """
    if found := shutil.which(name):
        return Path(found)
    try:
        return apt.unpacked("prometheus") / "usr" / "bin" / name
    except RuntimeError as error:
        raise RuntimeError(f"{name} isn't in the path, and its package can't be downloaded: {error}") from None
