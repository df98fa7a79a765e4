"""Creates container images of a few files without a builder, in the archive format that containerd imports."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

PAUSE = "localhost/litclaw/pause:1"
COREDNS = "localhost/litclaw/coredns:1"
PROVISIONER = "localhost/litclaw/local-path-provisioner:1"
BUSYBOX = "localhost/litclaw/busybox:1"
# The machine's architecture, by the name that images use.
_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _layer(files: Mapping[str, Path], links: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, source in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = 0o755, source.stat().st_size
            with source.open("rb") as content:
                tar.addfile(entry, content)
        for name, target in sorted(links.items()):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            tar.addfile(entry)
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(temporary)
    return out.getvalue()


def full_name(reference: str) -> str:
    """An image's name with its registry and tag, as containerd stores it."""
    head, _, rest = reference.partition("/")
    if not rest:
        reference = f"docker.io/library/{reference}"
    elif "." not in head and ":" not in head and head != "localhost":
        reference = f"docker.io/{reference}"
    return reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"


def write_archive(
    target: Path,
    name: str,
    files: Mapping[str, Path],
    entrypoint: Sequence[str],
    *,
    links: Mapping[str, str] | None = None,
    user: str = "65534",
) -> None:
    """Write an image of a few files as a docker-archive.

    Args:
        target: the archive.
        name: the image's name and tag.
        files: from path in the image to local file; each is executable.
        entrypoint: the command of the container.
        links: from path in the image to the link's target.
        user: the uid that it runs as.
    """
    layer = _layer(files, links or {})
    layer_digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": _ARCHITECTURE,
            "os": "linux",
            "config": {"Entrypoint": list(entrypoint), "Env": ["PATH=/bin"], "User": user},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            "history": [{"created_by": "localkube"}],
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps(
        [{"Config": config_name, "RepoTags": [name], "Layers": [f"{layer_digest}/layer.tar"]}]
    ).encode()
    parts = ((f"{layer_digest}/layer.tar", layer), (config_name, config), ("manifest.json", manifest))
    with tarfile.open(target, mode="w") as tar:
        for path, content in parts:
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
