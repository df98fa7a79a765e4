"""The cgroup that a cluster's pods are in, in every hierarchy of the machine."""

import time
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def _hierarchies() -> list[Path]:
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return [path for path in _ROOT.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]


def create(name: str) -> None:
    """Make it, with the machine's own processors and memory nodes where the hierarchy asks for them."""
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (group / file).exists() and (hierarchy / file).exists():
                (group / file).write_text((hierarchy / file).read_text())


def remove(name: str) -> None:
    """Remove it with all that is below it. Its processes are dead, and the kernel may take a moment to see it."""
    for hierarchy in _hierarchies():
        group = hierarchy / name
        if group.exists():
            below = [path for path in group.rglob("*") if path.is_dir()]
            for folder in (*sorted(below, key=lambda path: len(path.parts), reverse=True), group):
                _rmdir(folder)


def _rmdir(folder: Path) -> None:
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
