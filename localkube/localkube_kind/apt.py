"""Debian packages that the machine needs, installed when they are missing."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from .progress import run_logged


def missing(packages: Sequence[str]) -> list[str]:
    """Those that aren't installed."""
    query = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages], capture_output=True, text=True
    )
    there = {line.split()[0] for line in query.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in there]


def install(packages: Sequence[str]) -> None:
    """Install what is missing.

    Raises:
        RuntimeError: this machine has no apt-get, or the packages can't be had.
    """
    wanted = missing(packages) if shutil.which("dpkg-query") else list(packages)
    if not wanted:
        return
    if not shutil.which("apt-get"):
        raise RuntimeError(f"this needs the Debian packages {', '.join(wanted)}, and there is no apt-get here")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    options = ["-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    run_logged(["apt-get", "update", *options], log="apt", what="apt-get update", env=env)
    command = ["apt-get", "install", "--no-install-recommends", *options, *wanted]
    run_logged(command, log="apt", what=f"installing {', '.join(wanted)}", env=env)
