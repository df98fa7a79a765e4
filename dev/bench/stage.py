"""Where the benchmark runs: namespaces of its own, a proxy that answers at once, and a pod from which clients are started.

Both pods run the operator's own image, into which the compiled program is copied: no image is built or pulled for it.
"""

import base64
import contextlib
import gzip
import json
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..cluster import DEPLOYMENT, NAMESPACE, ROOT, Cluster, images
from ..demo import wait_until

sys.path.insert(0, str(ROOT / "localkube"))

from localkube_kind import build
from localkube_kind.progress import Progress

HOME = "litclaw-bench"
AGENTS = "litclaw-bench-agents"
REAL = "litclaw-bench-real"
INSTANT_URL = f"http://instant.{HOME}.svc.cluster.local:4000"
REAL_URL = f"http://real-litellm.{REAL}.svc.cluster.local:4000"
Object = dict[str, Any]

_LEADS_SECONDS = 900  # a start with many agents is what is measured, and may be slow

_PROGRAM = build.Program("bench", str(Path(__file__).parent / "go"), ".", "-s -w", "the benchmark's clients")
_PYTHON = "/opt/litclaw/bin/python"
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
    """The compiled program, built where it isn't yet."""
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
        "command": [_PYTHON, "-c", script],
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
    """What a user's clients may do, and to write what the operator writes."""
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


def _route(name: str, namespace: str, spec: Object) -> Object:
    meta = {"name": name, "namespace": namespace}
    spec = {**spec, "allowedNamespaces": {"from": "All"}}
    return {"apiVersion": "litclaw.dev/v1alpha1", "kind": "LiteLLMRoute", "metadata": meta, "spec": spec}


_MODEL = {"name": "gpt-4o", "openclaw": {"displayName": "GPT-4o"}}


class Stage:
    """The benchmark's own part of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._master = f"sk-{secrets.token_urlsafe(32)}"

    def apply(self, *manifests: Object) -> None:
        """Apply as a user would."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.cluster.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def get(self, *args: str) -> Object:
        """What kubectl gets, as JSON."""
        found: Object = json.loads(self.cluster.run("get", *args, "-o", "json").stdout)
        return found

    def set_up(self) -> None:
        """Have namespaces, the pods with the program in them, and the route of the proxy that answers at once."""
        self.apply(_namespace(HOME), _namespace(AGENTS), *_permissions())
        self.cluster.run("-n", HOME, "delete", "pods", "client", "instant", "--ignore-not-found")
        service = {"selector": {"bench": "instant"}, "ports": [{"port": 4000}]}
        meta = {"name": "instant", "namespace": HOME}
        self.apply(
            _pod("client", _SLEEP),
            _pod("instant", _SERVE),
            {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service},
        )
        self.cluster.run("-n", HOME, "wait", "pods", "client", "instant", "--for=condition=Ready", "--timeout=120s")
        packed = base64.b64encode(gzip.compress(program().read_bytes())).decode()
        given = json.dumps({"program": packed, "settings": {"address": ":4000", "master": self._master}})
        for pod in ("client", "instant"):
            self.cluster.run("-n", HOME, "exec", "-i", pod, "--", _PYTHON, "-c", _PUT, stdin=given)
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"key": self._master}}
        external = {"url": INSTANT_URL, "masterKeySecretRef": {"name": "instant", "key": "key"}}
        self.apply(secret, _route("instant", HOME, {"external": external, "models": [_MODEL]}))
        self.wait_for_route("instant", HOME, seconds=120)

    def set_up_real(self, cpu: str) -> str:
        """Have a real LiteLLM with a database of its own; returns its master key.

        Args:
            cpu: how much it may use, such as ``500m``; empty: all there is.
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
        """Until a route is ready."""

        def look() -> tuple[bool, str]:
            status = self.get("-n", namespace, "litellmroute", name).get("status") or {}
            found = [each for each in status.get("conditions", []) if each["type"] == "Ready"]
            return bool(found and found[0]["status"] == "True"), str(found and found[0]["message"])

        wait_until(look, seconds=seconds, what=f"the route {namespace}/{name}")

    def client(self, command: str, **settings: Any) -> Any:
        """Run one of the compiled program's commands in the cluster.

        Raises:
            RuntimeError: it failed; the message is what it printed.
        """
        args = ("-n", HOME, "exec", "-i", "client", "--", f"{_FOLDER}/bench", command)
        printed = self.cluster.run(*args, stdin=json.dumps(settings), timeout=7200).stdout
        return json.loads(printed) if printed else None

    def instant(self, what: str) -> Any:
        """Ask the proxy that answers at once for ``counts`` or its ``journal``, or have it ``forget`` or ``empty`` them."""
        return self.client("ask", url=f"{INSTANT_URL}/bench/{what}")

    def wipe(self) -> None:
        """Take away all agents and what they have, and the keys at the proxy that answers at once. The operator is down."""
        self.client("wipe", namespace=AGENTS, atATime=30)
        self.instant("empty")

    def tear_down(self) -> None:
        """Take away everything but what a real LiteLLM stands in, which goes with its namespace."""
        self.cluster.run("delete", "litellmkeyrotations", "-l", "bench=yes", "--ignore-not-found")
        self.cluster.run("-n", HOME, "delete", "litellmroutes", "--all", "--timeout=180s")
        self.cluster.run("delete", "namespaces", HOME, AGENTS, REAL, "--ignore-not-found", "--timeout=300s")
        self.cluster.run("delete", "clusterrole,clusterrolebinding", HOME, "--ignore-not-found")


class Operator:
    """The operator as it is installed: its pods, and what the one at work has used."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        deployment = json.loads(self._run("get", DEPLOYMENT, "-o", "json").stdout)
        self.replicas = int(deployment["spec"]["replicas"]) or 2
        self.image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]

    def _run(self, *args: str, **given: Any) -> Any:
        return self._cluster.run("-n", NAMESPACE, *args, **given)

    def pods(self) -> list[str]:
        """The names of its pods that run and aren't about to go."""
        items = json.loads(self._run("get", "pods", "-l", "app.kubernetes.io/name=litclaw", "-o", "json").stdout)[
            "items"
        ]
        running = [each for each in items if each["status"].get("phase") == "Running"]
        return [each["metadata"]["name"] for each in running if "deletionTimestamp" not in each["metadata"]]

    def leader(self) -> str:
        """The pod at work; empty where none is."""
        done = self._run("get", "lease", "litclaw", "-o", "jsonpath={.spec.holderIdentity}", check=False)
        holder = str(done.stdout.partition("_")[0])
        return holder if holder in self.pods() else ""

    def stop(self) -> None:
        """Have no pod of it."""
        self._run("scale", DEPLOYMENT, "--replicas=0")
        self._run("wait", "pods", "-l", "app.kubernetes.io/name=litclaw", "--for=delete", "--timeout=60s")

    def start(self) -> str:
        """Have its pods again; returns the one at work."""
        self._run("scale", DEPLOYMENT, f"--replicas={self.replicas}")
        return self.wait_for_leader()

    def wait_for_leader(self) -> str:
        """Until one is at work; returns it."""
        end = time.monotonic() + _LEADS_SECONDS
        while time.monotonic() < end:
            if leader := self.leader():
                return leader
            time.sleep(0.2)
        raise RuntimeError(f"no pod of the operator leads after {_LEADS_SECONDS} s: {self._why()}")

    def _why(self) -> str:
        """How its pods are, for somebody who wants to know why none is at work."""
        path = "{range .items[*].status.containerStatuses[*]}ready={.ready} restarts={.restartCount} {.lastState.terminated.reason} {end}"
        done = self._run("get", "pods", "-l", "app.kubernetes.io/name=litclaw", "-o", f"jsonpath={path}", check=False)
        return str(done.stdout).strip() or "there is no pod"

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Without it, and with it again afterwards."""
        self.stop()
        try:
            yield
        finally:
            self.start()
            # Until nobody writes about its pods any more, which would be counted with what it writes.
            self._run("rollout", "status", DEPLOYMENT, f"--timeout={_LEADS_SECONDS}s", timeout=_LEADS_SECONDS + 60)
            time.sleep(2)

    def python(self, pod: str, script: str) -> Any:
        """Run a script in a pod of it and read what it prints."""
        return json.loads(self._run("exec", "-i", pod, "--", _PYTHON, "-", stdin=script, timeout=2000).stdout)
