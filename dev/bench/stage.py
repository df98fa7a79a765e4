"""Where the benchmark runs: its own namespaces, the instant proxy, and a pod in which the compiled clients are started.

The pods run the operator's image, into which the compiled program is copied. So no image is built or pulled.
"""

import base64
import gzip
import json
import secrets
import sys
from pathlib import Path
from typing import Any

from ..cluster import ROOT, Cluster, images
from ..demo import wait_until
from .operator_pods import PYTHON

sys.path.insert(0, str(ROOT / "localkube"))

from localkube_kind import build
from localkube_kind.progress import Progress

HOME = "litclaw-bench"
AGENTS = "litclaw-bench-agents"
REAL = "litclaw-bench-real"
REAL_URL = f"http://real-litellm.{REAL}.svc.cluster.local:4000"
INSTANT, HANGING = "instant", "hanging"
Object = dict[str, Any]

_PROGRAM = build.Program("bench", str(Path(__file__).parent / "go"), ".", "-s -w", "the benchmark's clients")
_FOLDER = "/bench"
_SLEEP = "import time\nwhile True: time.sleep(3600)"
_SERVE = f"""
import os, time
while not os.path.exists("{_FOLDER}/settings.json"): time.sleep(0.1)
os.dup2(os.open("{_FOLDER}/settings.json", os.O_RDONLY), 0)
os.execv("{_FOLDER}/bench", ["bench", "serve"])
"""
_PUT = f"""
import base64, gzip, json, os, sys
given = json.load(sys.stdin)
with open("{_FOLDER}/new", "wb") as file: file.write(gzip.decompress(base64.b64decode(given["program"])))
os.chmod("{_FOLDER}/new", 0o755)
os.rename("{_FOLDER}/new", "{_FOLDER}/bench")
with open("{_FOLDER}/new", "w") as file: json.dump(given["settings"], file)
os.rename("{_FOLDER}/new", "{_FOLDER}/settings.json")
"""


def program() -> Path:
    """The compiled program; builds it if it doesn't exist."""
    found = build.place(_PROGRAM)
    if not found.exists():
        build.build([_PROGRAM], Progress(total=1))
    return found


def _namespace(name: str) -> Object:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _pod(name: str, script: str) -> Object:
    container = {
        "name": "bench",
        "image": images()["operator"],
        "imagePullPolicy": "IfNotPresent",
        "command": [PYTHON, "-c", script],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "bench", "mountPath": _FOLDER}],
    }
    spec = {
        "serviceAccountName": "bench",
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "bench", "emptyDir": {}}],
    }
    meta = {"name": name, "namespace": HOME, "labels": {"bench": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def _permissions() -> list[Object]:
    """Permissions for a user's changes, and for the operator's writes."""
    rules = [
        {"apiGroups": ["litclaw.dev"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets", "configmaps", "events"], "verbs": ["*"]},
    ]
    group, role = "rbac.authorization.k8s.io", {"kind": "ClusterRole", "name": HOME}
    account = {"kind": "ServiceAccount", "name": "bench", "namespace": HOME}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bench", "namespace": HOME}},
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": HOME}, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": HOME},
            "roleRef": {"apiGroup": group, **role},
            "subjects": [account],
        },
    ]


def url_of(proxy: str) -> str:
    """Root of an instant proxy."""
    return f"http://{proxy}.{HOME}.svc.cluster.local:4000"


def _route(name: str, namespace: str, spec: Object, labels: dict[str, str] | None = None) -> Object:
    meta = {"name": name, "namespace": namespace, "labels": labels or {}}
    spec = {**spec, "allowedNamespaces": {"from": "All"}}
    return {"apiVersion": "litclaw.dev/v1alpha1", "kind": "LiteLLMRoute", "metadata": meta, "spec": spec}


def _external(name: str, proxy: str, labels: dict[str, str] | None = None) -> Object:
    external = {"url": url_of(proxy), "masterKeySecretRef": {"name": "instant", "key": "key"}}
    return _route(name, HOME, {"external": external, "models": [_MODEL]}, labels)


_MODEL = {"name": "gpt-4o", "openclaw": {"displayName": "GPT-4o"}}
_SHARING = {"bench": "sharing"}


class Stage:
    """The benchmark's namespaces in a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.master_key = f"sk-{secrets.token_urlsafe(32)}"

    def apply(self, *manifests: Object) -> None:
        """Apply as a user would."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.cluster.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def get(self, *args: str) -> Object:
        """The output of `kubectl get`, as JSON."""
        found: Object = json.loads(self.cluster.run("get", *args, "-o", "json").stdout)
        return found

    def set_up(self) -> None:
        """Make the namespaces, the client's pod, and the instant proxy with its route."""
        self.apply(_namespace(HOME), _namespace(AGENTS), *_permissions())
        self._start_pods({"client": _SLEEP, INSTANT: _SERVE})
        meta = {"name": "instant", "namespace": HOME}
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"key": self.master_key}})
        self._serve(INSTANT)

    def set_up_hanging(self) -> None:
        """Make a second instant proxy with its route. It answers until `instant` makes it hang."""
        self._start_pods({HANGING: _SERVE})
        self._serve(HANGING)

    def remove_hanging(self) -> None:
        """Remove the second proxy and its route. It must answer, and have no agents."""
        self.cluster.run("-n", HOME, "delete", "litellmroute", HANGING, "--timeout=180s")
        self.cluster.run("-n", HOME, "delete", "pod,service", HANGING)

    def _start_pods(self, scripts: dict[str, str]) -> None:
        self.cluster.run("-n", HOME, "delete", "pods", *scripts, "--ignore-not-found")
        self.apply(*(_pod(name, script) for name, script in scripts.items()))
        self.cluster.run("-n", HOME, "wait", "pods", *scripts, "--for=condition=Ready", "--timeout=120s")
        packed = base64.b64encode(gzip.compress(program().read_bytes())).decode()
        given = json.dumps({"program": packed, "settings": {"address": ":4000", "master": self.master_key}})
        for pod in scripts:
            self.cluster.run("-n", HOME, "exec", "-i", pod, "--", PYTHON, "-c", _PUT, stdin=given)

    def _serve(self, proxy: str) -> None:
        service = {"selector": {"bench": proxy}, "ports": [{"port": 4000}]}
        meta = {"name": proxy, "namespace": HOME}
        self.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service}, _external(proxy, proxy))
        self.wait_for_route(proxy, HOME, seconds=120)

    def restore_route(self) -> None:
        """Undo what sections have changed in the instant proxy's route."""
        self.apply(_external(INSTANT, INSTANT))

    def add_routes(self, count: int) -> list[str]:
        """Add routes to the instant proxy; returns their names."""
        names = [f"sharing-{number:02}" for number in range(count)]
        self.apply(*(_external(name, INSTANT, _SHARING) for name in names))
        for name in names:
            self.wait_for_route(name, HOME, seconds=120)
        return names

    def remove_routes(self) -> None:
        """Remove the added routes. They must have no agents."""
        label = ",".join(f"{name}={value}" for name, value in _SHARING.items())
        self.cluster.run("-n", HOME, "delete", "litellmroutes", "-l", label, "--timeout=180s")

    def set_up_real(self, cpu: str) -> str:
        """Make a real LiteLLM with its database; returns its master key.

        Args:
            cpu: its CPU limit, such as ``500m``; empty: none.
        """
        self.apply(_namespace(REAL))
        params = {"litellmParams": {"model": "openai/gpt-4o", "mock_response": "hello"}}
        limits = {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}} if cpu else {}
        managed = {"database": {"embedded": {"storage": "1Gi"}}, "resources": limits}
        self.apply(_route("real", REAL, {"managed": managed, "models": [{**_MODEL, **params}]}))
        self.wait_for_route("real", REAL, seconds=900)
        data = self.get("-n", REAL, "secret", "real-master-key")["data"]
        return base64.b64decode(data["LITELLM_MASTER_KEY"]).decode()

    def wait_for_route(self, name: str, namespace: str, *, seconds: float) -> None:
        """Wait until a route is ready."""

        def check() -> tuple[bool, str]:
            status = self.get("-n", namespace, "litellmroute", name).get("status") or {}
            found = [each for each in status.get("conditions", []) if each["type"] == "Ready"]
            return bool(found and found[0]["status"] == "True"), str(found and found[0]["message"])

        wait_until(check, seconds=seconds, what=f"the route {namespace}/{name}")

    def set_route_counts(self, agents: int) -> None:
        """Write into the instant proxy's route how many agents and keys it has, as the operator would."""
        status = {"status": {"agents": agents, "keys": {"live": agents}}}
        patch = ("--subresource=status", "--type=merge", "-p", json.dumps(status))
        self.cluster.run("-n", HOME, "patch", "litellmroute", INSTANT, *patch)

    def client(self, command: str, **settings: Any) -> Any:
        """Run one of the compiled program's commands in the cluster.

        Raises:
            RuntimeError: it failed; the message is its output.
        """
        args = ("-n", HOME, "exec", "-i", "client", "--", f"{_FOLDER}/bench", command)
        printed = self.cluster.run(*args, stdin=json.dumps(settings), timeout=7200).stdout
        return json.loads(printed) if printed else None

    def instant(self, what: str, proxy: str = INSTANT) -> Any:
        """Control an instant proxy (`go/control.go`).

        Args:
            what: ``counts`` or ``journal`` of its calls, ``forget`` them, ``empty`` its keys, ``hang`` or ``answer``.
        """
        return self.client("ask", url=f"{url_of(proxy)}/bench/{what}")

    def wipe(self) -> None:
        """Delete all agents with everything that they own, and the keys at the instant proxy. The operator must be stopped."""
        self.client("wipe", namespace=AGENTS, atATime=30)
        self.instant("empty")

    def tear_down(self) -> None:
        """Delete everything that the benchmark has made."""
        self.cluster.run("delete", "litellmkeyrotations", "-l", "bench=yes", "--ignore-not-found")
        self.cluster.run("-n", HOME, "delete", "litellmroutes", "--all", "--timeout=180s")
        self.cluster.run("delete", "namespaces", HOME, AGENTS, REAL, "--ignore-not-found", "--timeout=300s")
        self.cluster.run("delete", "clusterrole,clusterrolebinding", HOME, "--ignore-not-found")
