"""Prometheus and its promtool, to try alert rules and the dashboard: those in the path, else Debian's, unpacked."""

import shutil
import sys
from pathlib import Path

from .cluster import ROOT

sys.path.insert(0, str(ROOT / "localkube"))

from localkube_kind import apt


def program(name: str) -> Path:
    """``prometheus`` or ``promtool``.

    Raises:
        RuntimeError: it isn't in the path, and this machine has no Debian packages.
    """
    if found := shutil.which(name):
        return Path(found)
    try:
        return apt.unpacked("prometheus") / "usr" / "bin" / name
    except RuntimeError as error:
        raise RuntimeError(f"{name} isn't in the path, and can't be had as a package: {error}") from None
