"""kube-score, built from its pinned Go module as the parts of localkube are."""

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
    "container-image-pull-policy": "every image has a release for its tag, which isn't moved",
    "deployment-has-host-podantiaffinity": "the pods are spread by a topologySpreadConstraint",
    "statefulset-has-host-podantiaffinity": "a database of one pod",
    "container-ephemeral-storage-request-and-limit": "a node that doesn't count it takes no pod that asks for it",
    "pod-probes-identical": "liveness may ask what readiness asks, less often",
}
"""What kube-score asks for and isn't done, and why. Nor are limits of CPU, which only slow down what could go on."""


def complaints(manifests: str, *ignored: str) -> list[str]:
    """What kube-score finds in manifests beyond `IGNORED`.

    Args:
        ignored: more of its checks to leave out.
    """
    program = build.place(_PROGRAM)
    if not program.exists():
        build.build([_PROGRAM], Progress(total=1))
    flags = [flag for check in (*IGNORED, *ignored) for flag in ("--ignore-test", check)]
    command = [str(program), "score", *flags, "--ignore-container-cpu-limit", "--output-format", "ci", "-"]
    printed = subprocess.run(command, check=False, input=manifests, capture_output=True, text=True).stdout
    assert printed, "kube-score says nothing"
    return [line for line in printed.splitlines() if not line.startswith(("[OK]", "[SKIPPED]"))]
