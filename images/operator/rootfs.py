"""Assemble the operator's root file system: Python, its libraries, certificates, the package; no shell, no tools.

Usage, in the build stage: python3 rootfs.py TARGET

ldd finds the libraries that the interpreter and the package load. They are copied with the records of their Debian
packages, to the place where scanners read them in an image without dpkg (/var/lib/dpkg/status.d).
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path("/opt/litclaw")
PYTHON = Path(f"/usr/bin/python3.{sys.version_info.minor}")
STDLIB = Path(f"/usr/lib/python3.{sys.version_info.minor}")
FILES = [
    PYTHON,
    Path(f"/etc/{PYTHON.name}/sitecustomize.py"),
    Path("/etc/ssl/openssl.cnf"),
    Path("/etc/mime.types"),
    Path("/etc/os-release"),
    Path("/etc/debian_version"),
]
LINKS = {
    "bin": "usr/bin",
    "lib": "usr/lib",
    "lib64": "usr/lib64",
    "usr/bin/python3": PYTHON.name,
    "usr/lib/ssl/certs": "/etc/ssl/certs",
    "usr/lib/ssl/cert.pem": "/etc/ssl/certs/ca-certificates.crt",
    "usr/lib/ssl/openssl.cnf": "/etc/ssl/openssl.cnf",
}
# Not in the output of ldd: loaded when a thread ends.
MORE_LIBRARIES = ["libgcc_s.so.1"]
# Parts of the standard library for building, testing and teaching.
UNUSED_STDLIB = ("distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtledemo", "config-3*")
# The generated classes of the Kubernetes client, one file each, 120 MB with their bytecode. They are loaded on demand,
# and nothing needs them: litclaw.kube.client uses the layer below, and kopf works without them if they are missing.
GENERATED = ("kubernetes/client/api", "kubernetes/client/models", "kubernetes/aio/client/api", "kubernetes/aio/client/models")


AUTHORITIES = Path("/src/ca-certificates.crt")


def libraries(binaries: list[Path]) -> set[Path]:
    """All shared libraries that the binaries load."""
    found: set[Path] = set()
    for binary in binaries:
        printed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True).stdout
        found |= {Path(path) for path in re.findall(r"(?:=> )?(/\S+) \(0x", printed)}
    return found


def copy(source: Path, target: Path) -> None:
    """Copy a file to the same path; a link is copied as the file that it points to."""
    place = target / source.relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, place)


def owners(files: set[Path]) -> set[str]:
    """The Debian packages of the files."""
    found = set()
    for file in files:
        for name in {str(file), str(file.resolve()), str(file).removeprefix("/usr")}:
            done = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True)
            found |= {line.partition(": ")[0] for line in done.stdout.splitlines() if not line.startswith("diversion")}
    return found


def record(package: str, target: Path) -> None:
    """Write a package's version for scanners, and its licence."""
    name = package.partition(":")[0]
    status = target / "var/lib/dpkg/status.d" / name
    status.parent.mkdir(parents=True, exist_ok=True)
    status.write_bytes(subprocess.check_output(["dpkg-query", "-s", package]))
    licence = Path("/usr/share/doc") / name / "copyright"
    if licence.exists():
        copy(licence, target)


def main(target: Path) -> None:
    """Assemble the root file system in a folder."""
    site = next((PACKAGE / "lib").glob("python3*")) / "site-packages"
    for name in GENERATED:
        for module in (site / name).glob("[!_]*.py"):
            module.unlink()
    for tests in [path for path in site.rglob("*") if path.is_dir() and path.name in ("test", "tests")]:
        shutil.rmtree(tests, ignore_errors=True)
    for file in FILES:
        copy(file, target)
    (target / "etc/ssl/certs").mkdir(parents=True)
    shutil.copy2(AUTHORITIES, target / "etc/ssl/certs")
    shutil.copytree(STDLIB, target / STDLIB.relative_to("/"), symlinks=True, ignore=shutil.ignore_patterns(*UNUSED_STDLIB))
    shutil.copytree(PACKAGE, target / PACKAGE.relative_to("/"), symlinks=True)
    needed = libraries([PYTHON, *(STDLIB / "lib-dynload").glob("*.so"), *site.rglob("*.so")])
    folder = next(path for path in needed if path.name.startswith("libc.so")).parent
    needed |= {folder / name for name in MORE_LIBRARIES}
    for file in needed:
        copy(Path("/usr") / file.relative_to("/") if not str(file).startswith(("/usr", "/opt")) else file, target)
    for link, to in LINKS.items():
        place = target / link
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(to)
    (target / "etc/passwd").write_text("litclaw:x:65532:65532:litclaw:/tmp:/sbin/nologin\n")
    (target / "etc/group").write_text("litclaw:x:65532:\n")
    (target / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    (target / "tmp").mkdir(mode=0o1777)
    (target / "tmp").chmod(0o1777)
    for package in owners({*needed, *FILES, STDLIB / "os.py", STDLIB / "asyncio"}):
        record(package, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
