"""kube-score, built from its pinned Go module like the parts of localkube."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "localkube"))

from localkube_kind import build
from localkube_kind.progress import Progress

_PROGRAM = build.Program(
    "kube-score", str(ROOT / "tests" / "lint"), "github.com/zegl/kube-score/cmd/kube-score", "", "kube-score (1 min)"
)
IGNORED = {
    "container-image-pull-policy": "the tag of every image is a release, which doesn't move",
    "deployment-has-host-podantiaffinity": "the pods are spread by a topologySpreadConstraint",
    "statefulset-has-host-podantiaffinity": "a database of one pod",
    "container-ephemeral-storage-request-and-limit": "a node that doesn't account for it refuses pods that request it",
    "pod-probes-identical": "liveness may probe what readiness probes, less often",
}
"""Checks of kube-score that don't apply, and why. CPU limits don't either: they throttle pods while CPU is idle."""


def complaints(manifests: str, *ignored: str) -> list[str]:
    """The findings of kube-score in manifests, without those of `IGNORED`.

    Args:
        ignored: more checks to leave out.
    """
    program = build.place(_PROGRAM)
    if not program.exists():
        build.build([_PROGRAM], Progress(total=1))
    flags = [flag for check in (*IGNORED, *ignored) for flag in ("--ignore-test", check)]
    command = [str(program), "score", *flags, "--ignore-container-cpu-limit", "--output-format", "ci", "-"]
    printed = subprocess.run(command, check=False, input=manifests, capture_output=True, text=True).stdout
    assert printed, "kube-score prints nothing"
    return [line for line in printed.splitlines() if not line.startswith(("[OK]", "[SKIPPED]"))]
