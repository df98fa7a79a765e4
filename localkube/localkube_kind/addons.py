"""The add-ons of a cluster: DNS and a default StorageClass with a provisioner."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from . import build, cache, image
from .layout import Layout

_MANIFESTS = Path(__file__).resolve().parent.parent / "addons"
DEPLOYMENTS = (
    "--namespace=kube-system deployment/coredns",
    "--namespace=local-path-storage deployment/local-path-provisioner",
)
_BUSYBOX = Path("/bin/busybox")
_BUSYBOX_COMMANDS = ("sh", "mkdir", "rm", "chmod")


def write_pause(at: Layout) -> None:
    """Write the archive of the image that every pod needs into the node's own folder."""
    image.write_archive(at.root / "pause.tar", image.PAUSE, {"busybox": _BUSYBOX}, ["/busybox", "sleep", "infinity"])


def archives() -> list[Path]:
    """The archives of the add-ons' images; missing ones are built."""
    folder = cache.folder("images")
    coredns, provisioner = build.path_of("coredns"), build.path_of("local-path-provisioner")
    links = {f"bin/{name}": "busybox" for name in _BUSYBOX_COMMANDS}
    wanted = {
        folder / f"{coredns.name}.tar": lambda to: image.write_archive(
            to, image.COREDNS, {"coredns": coredns}, ["/coredns"]
        ),
        folder / f"{provisioner.name}.tar": lambda to: image.write_archive(
            to, image.PROVISIONER, {"local-path-provisioner": provisioner}, ["/local-path-provisioner"]
        ),
        folder / "busybox.tar": lambda to: image.write_archive(
            to, image.BUSYBOX, {"bin/busybox": _BUSYBOX}, ["/bin/busybox"], links=links, user="0"
        ),
    }
    for archive, write in wanted.items():
        if not archive.exists():
            fresh = archive.with_suffix(".new")
            write(fresh)
            fresh.rename(archive)
    return list(wanted)


def apply(kubectl_apply: Callable[[str], subprocess.CompletedProcess[str]]) -> None:
    """Apply the manifests.

    Raises:
        RuntimeError: the API server refused one.
    """
    for manifest in sorted(_MANIFESTS.glob("*.yaml")):
        done = kubectl_apply(manifest.read_text())
        if done.returncode:
            raise RuntimeError(f"{manifest.name} can't be applied: {done.stderr.strip()}")
