"""Images that only the tests need. `images/build` builds stand-ins of these names where no registry is reachable."""

import subprocess
import sys
from typing import Final

from dev.cluster import ROOT, docker_runs

REDIS_IMAGE: Final = "docker.io/library/redis:7.0.15-bookworm"


def also_named(cluster: str, image: str, name: str) -> None:
    """Give an image in the cluster's node another name."""
    tag = ("--namespace", "k8s.io", "images", "tag", "--force", image, name)
    if docker_runs():
        command: tuple[str, ...] = ("docker", "exec", f"{cluster}-control-plane", "ctr", *tag)
    else:
        sys.path.insert(0, str(ROOT / "localkube"))
        from localkube_kind import layout, node_process

        address = ("--address", layout.CONTAINERD_SOCKET)
        command = tuple(node_process.in_node(layout.Layout(cluster), "ctr", *address, *tag))
    subprocess.run(command, check=True, capture_output=True)
