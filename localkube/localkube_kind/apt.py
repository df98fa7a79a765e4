"""Debian packages that the machine needs: installs missing ones, or unpacks one without installing it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import cache
from .progress import run_logged


def missing(packages: Sequence[str]) -> list[str]:
    """The packages that aren't installed."""
    query = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages], capture_output=True, text=True
    )
    there = {line.split()[0] for line in query.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in there]


def install(packages: Sequence[str]) -> None:
    """Install the missing packages.

    Raises:
        RuntimeError: this machine has no apt-get, or the packages can't be installed.
    """
    wanted = missing(packages) if shutil.which("dpkg-query") else list(packages)
    if not wanted:
        return
    if not shutil.which("apt-get"):
        raise RuntimeError(f"this needs the Debian packages {', '.join(wanted)}, but this machine has no apt-get")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    options = ["-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    run_logged(["apt-get", "update", *options], log="apt", what="apt-get update", env=env)
    command = ["apt-get", "install", "--no-install-recommends", *options, *wanted]
    run_logged(command, log="apt", what=f"installing {', '.join(wanted)}", env=env)


def unpacked(package: str) -> Path:
    """A package's files in a folder of the cache, without installing it.

    Raises:
        RuntimeError: this machine has no apt-get, or the package can't be downloaded.
    """
    place = cache.folder("debian") / package
    if place.exists():
        return place
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise RuntimeError(f"this needs the Debian package {package}, but this machine has no apt-get")
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        download = ["apt-get", "download", "-q", package]
        # Without an earlier apt-get update, the machine knows no package.
        if subprocess.run(download, cwd=folder, capture_output=True).returncode:
            run_logged(["apt-get", "update", "-q"], log="apt", what="apt-get update")
            run_logged(download, log="apt", what=f"downloading {package}", cwd=folder)
        [archive] = Path(folder).glob("*.deb")
        run_logged(["dpkg-deb", "-x", str(archive), str(Path(folder) / "files")], log="apt", what=f"unpacking {package}")
        try:
            (Path(folder) / "files").rename(place)
        except OSError:  # another process was faster
            if not place.exists():
                raise
    return place
