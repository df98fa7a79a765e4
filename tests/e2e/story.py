"""The environment of the whole story: a reader at a shell, the previous release, and the reader's own servers."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import litclaw
import trustme
import yaml

from dev.cluster import ROOT, Cluster, docker_runs, images

from .api import Object
from .cli import environment
from .images import REDIS_IMAGE
from .kube import Kube
from .pods import pod, python_server
from .resources import AI

BEFORE = "0.0.9"
"""The previous release. There is none yet, so the source of this one is built under that number."""
LACKING = "podAnnotations"
"""A field of a gateway that the CRD of that release doesn't have."""
_PARTS = (
    "operator/litclaw images/build images/operator localkube/localkube_kind deploy crds tests/e2e/images.py "
    "requirements.lock pyproject.toml README.md LICENSE"
)
_NUMBERED = ("operator/litclaw/__init__.py", "operator/litclaw/api/images.py", "deploy/base/deployment.yaml")


@dataclass(frozen=True)
class Reader:
    """Somebody who types the commands of the docs, in a clone.

    Args:
        kube: the cluster.
        desk: a folder of their own, with kubectl in ``bin``.
    """

    kube: Kube
    desk: Path

    def types(
        self, command: str, *, where: Path = ROOT, value: str = "", status: int = 0, timeout: float = 1200
    ) -> str:
        """Type a command.

        Args:
            value: the text to type at the command's own prompt.
            status: the expected exit status.

        Returns:
            Its output.
        """
        env = environment(self.kube)
        env["PATH"] = f"{self.desk / 'bin'}:{env['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command],
            check=False,
            cwd=where,
            env=env,
            input=value,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == status, f"$ {command}\n{done.stdout}{done.stderr}"
        return done.stdout


def reader_at(kube: Kube, desk: Path) -> Reader:
    """Make a reader with the cluster's kubectl in the path."""
    (desk / "bin").mkdir()
    kubectl = desk / "bin" / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec "{kube.cluster.kubectl_path.absolute()}" "$@"\n')
    kubectl.chmod(0o755)
    return Reader(kube, desk)


def commands(page: str, until: str = "\x00") -> list[str]:
    """The commands in a page's code blocks.

    Args:
        until: the heading to stop at.
    """
    text = (ROOT / "docs" / page).read_text().partition(f"\n{until}\n")[0]
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def commands_in(example: str) -> list[str]:
    """The commands in an example's comments, to be typed before it is applied."""
    return re.findall(r"^ *#   (kubectl -n \S+ create .*)$", (ROOT / example).read_text(), re.MULTILINE)


def release_before(folder: Path) -> subprocess.Popen[bytes]:
    """Put a clone of the previous release into a folder, and begin to build its image."""
    for part in _PARTS.split():
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / part, target)
    for name in _NUMBERED:
        text = (folder / name).read_text()
        assert litclaw.__version__ in text, name
        (folder / name).write_text(text.replace(litclaw.__version__, BEFORE))
    for path in (folder / "crds").glob("*openclawagents*.yaml"):
        crd = yaml.safe_load(path.read_text())
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        del schema["properties"]["gateway"]["properties"][LACKING]
        path.write_text(yaml.safe_dump(crd))
    return subprocess.Popen([sys.executable, str(folder / "images" / "build"), "operator"], stderr=subprocess.DEVNULL)


def image_before() -> str:
    """The image of the previous release."""
    return images()["operator"].replace(litclaw.__version__, BEFORE)


def load_redis(cluster: Cluster) -> None:
    """Load the Redis image into the node, unless nodes pull it."""
    if cluster.load and not docker_runs():
        subprocess.run([sys.executable, str(ROOT / "images" / "build"), "redis"], check=True)
        cluster.load(REDIS_IMAGE)


PASSWORD = "not-a-real-password"
DOOR = "https://tls-door.ai.svc.cluster.local:8443"


def what_a_reader_has(authority: trustme.CA) -> list[Object]:
    """A PostgreSQL, a Redis, and a LiteLLM with a private authority: the route ``main``'s, behind a TLS proxy."""
    database = pod("own-postgres", images()["postgres"], ["docker-entrypoint.sh", "postgres"], 999)
    container = database["spec"]["containers"][0]
    container["env"] = [
        {"name": "POSTGRES_PASSWORD", "value": PASSWORD},
        {"name": "PGDATA", "value": "/data/pgdata"},
    ]
    container["volumeMounts"] = [
        {"name": "data", "mountPath": "/data"},
        {"name": "run", "mountPath": "/var/run/postgresql"},
    ]
    database["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}, {"name": "run", "emptyDir": {}}]
    database["spec"]["securityContext"]["fsGroup"] = 999
    redis = pod("own-redis", REDIS_IMAGE, ["redis-server", "--save", "", "--requirepass", PASSWORD], 999)
    certificate = authority.issue_cert(DOOR.split("/")[2].partition(":")[0])
    pem = b"".join(part.bytes() for part in (certificate.private_key_pem, *certificate.cert_chain_pems)).decode()
    return [
        database,
        _service("own-postgres", 5432),
        redis,
        _service("own-redis", 6379),
        *python_server("tls-door", "tls_door", 8443, {"tls.pem": pem}),
    ]


def _service(name: str, port: int) -> Object:
    spec = {"selector": {"app": name}, "ports": [{"port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": AI}, "spec": spec}


def database_url(name: str) -> str:
    """The URL of a database in the reader's PostgreSQL."""
    return f"postgresql://postgres:{PASSWORD}@own-postgres.{AI}.svc.cluster.local:5432/{name}"


def everything(kube: Kube) -> set[str]:
    """Every object in the cluster, of any kind but events."""
    kinds = kube.run("api-resources", "--verbs=list,delete", "-o", "name").stdout.split()
    return {
        f"{body['kind']} {body['metadata'].get('namespace', '')}/{body['metadata']['name']}"
        for body in kube.list(",".join(kind for kind in kinds if not kind.startswith("events")))
    }
