"""A cluster with the images loaded and the operator deployed: kind where Docker runs, localkube elsewhere.

Usage: python -m dev.cluster up|down

CLUSTER names it (default: litclaw). CLUSTER=current uses the cluster of the current kubeconfig, which must be able to
pull the images. The kubeconfig is .cluster/kubeconfig.
"""

import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_kind import KindCluster

ROOT = Path(__file__).resolve().parent.parent
KUBECONFIG = ROOT / ".cluster" / "kubeconfig"
DEPLOYMENT = "deployment/litclaw"
NAMESPACE = "litclaw-system"


def docker_runs() -> bool:
    """Whether a Docker daemon answers, so that kind can be used."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return bool(shutil.which("docker")) and subprocess.call(["docker", "info"], **quiet) == 0


def tools() -> tuple[Path | None, Path | None]:
    """kind and kubectl: where Docker runs, those in the path (None: pytest-kind downloads them); else localkube's."""
    if not docker_runs():
        return ROOT / "localkube" / "kind", ROOT / "localkube" / "kubectl"
    kind, kubectl = shutil.which("kind"), shutil.which("kubectl")
    return (Path(kind) if kind else None), (Path(kubectl) if kubectl else None)


def images() -> dict[str, str]:
    """The names of the images, from `litclaw.api.images`, without importing the package."""
    constants = runpy.run_path(str(ROOT / "operator" / "litclaw" / "api" / "images.py"))
    return {name.removesuffix("_IMAGE").lower(): value for name, value in constants.items() if name.endswith("_IMAGE")}


@dataclass(frozen=True)
class Cluster:
    """A cluster.

    Attributes:
        kubeconfig: None: kubectl's own default.
        load: loads an image into the cluster's nodes; None: the cluster pulls its images.
    """

    kubectl_path: Path
    kubeconfig: Path | None
    load: Callable[[str], None] | None = None

    def run(
        self, *args: str, stdin: str | None = None, check: bool = True, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl.

        Raises:
            RuntimeError: it failed and ``check`` is set; the message is its output.
        """
        env = {**os.environ, **({"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {})}
        command = [str(self.kubectl_path), *args]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, env=env, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(args)}: {done.stderr.strip() or done.stdout.strip()}")
        return done


def of_kind(kind: KindCluster) -> Cluster:
    """A kind or localkube cluster."""
    kind.ensure_kubectl()
    return Cluster(Path(kind.kubectl_path), Path(kind.kubeconfig_path), kind.load_docker_image)


def install(cluster: Cluster, log: Callable[[str], None]) -> None:
    """Build and load the images, and deploy the operator as a user would."""
    if cluster.load:
        log("images")
        subprocess.run([sys.executable, str(ROOT / "images" / "build")], check=True)
        names = images()
        for name in [names["operator"]] if docker_runs() else names.values():
            cluster.load(name)
    log("operator")
    before = _image_in_use(cluster)
    cluster.run("apply", "--server-side", "-k", str(ROOT / "deploy" / "default"))
    now = _operator_build()
    if before is not None and before != now:
        cluster.run("-n", NAMESPACE, "rollout", "restart", DEPLOYMENT)
    _wait_for_operator(cluster)
    if before != now:
        cluster.run("-n", NAMESPACE, "annotate", "--overwrite", DEPLOYMENT, f"dev.litclaw.dev/build={now}")


def _wait_for_operator(cluster: Cluster) -> None:
    done = cluster.run("-n", NAMESPACE, "rollout", "status", DEPLOYMENT, "--timeout=180s", check=False)
    if done.returncode:
        queries = (("get", "pods", "-o", "wide"), ("logs", DEPLOYMENT, "--tail=30"))
        found = [cluster.run("-n", NAMESPACE, *args, check=False) for args in queries]
        raise RuntimeError("\n".join([f"the operator doesn't start: {done.stderr}", *(each.stdout for each in found)]))


def _image_in_use(cluster: Cluster) -> str | None:
    """The build of the operator's image that the Deployment was started with; None: there is no Deployment."""
    done = cluster.run("-n", NAMESPACE, "get", DEPLOYMENT, "-o", "json", check=False)
    if done.returncode:
        return None
    return str(json.loads(done.stdout)["metadata"].get("annotations", {}).get("dev.litclaw.dev/build", ""))


def _operator_build() -> str:
    return subprocess.check_output([sys.executable, str(ROOT / "images" / "build"), "--digest"], text=True).strip()


def up(log: Callable[[str], None]) -> Cluster:
    """Create the cluster if it doesn't exist, and deploy the operator."""
    name = os.environ.get("CLUSTER") or "litclaw"
    if name == "current":
        kubectl = shutil.which("kubectl")
        if not kubectl:
            raise RuntimeError("CLUSTER=current needs kubectl in the path")
        cluster = Cluster(Path(kubectl), None)
    else:
        log("cluster")
        KUBECONFIG.parent.mkdir(exist_ok=True)
        kind_path, kubectl_path = tools()
        kind = KindCluster(name, KUBECONFIG, kind_path=kind_path, kubectl_path=kubectl_path)
        _recover_kubeconfig(kind)
        kind.create()
        cluster = of_kind(kind)
    install(cluster, log)
    return cluster


def _recover_kubeconfig(kind: KindCluster) -> None:
    """Get the kubeconfig of a cluster that another clone has created."""
    kind.ensure_kind()
    if KUBECONFIG.exists() and KUBECONFIG.stat().st_size:
        return
    clusters = subprocess.check_output([str(kind.kind_path), "get", "clusters"], text=True).split()
    if kind.name in clusters:
        KUBECONFIG.touch(mode=0o600)
        KUBECONFIG.write_text(
            subprocess.check_output([str(kind.kind_path), "get", "kubeconfig", "--name", kind.name], text=True)
        )


def down() -> None:
    """Delete the cluster."""
    kind_path, _ = tools()
    kind = KindCluster(os.environ.get("CLUSTER") or "litclaw", KUBECONFIG, kind_path=kind_path)
    kind.ensure_kind()
    kind.delete()


def sayer() -> Callable[[str], None]:
    """Returns a function that prints a step and the time since the start."""
    started = time.monotonic()

    def log(what: str) -> None:
        print(f"== {what} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)

    return log


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit status."""
    if arguments == ["up"]:
        up(sayer())
        print(f"The operator runs. Next:\n  export KUBECONFIG={KUBECONFIG}\n  kubectl apply -k examples/quickstart")
    elif arguments == ["down"]:
        down()
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
