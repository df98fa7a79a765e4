"""What the tests share: objects in and out of the cluster, and a real LiteLLM's admin and chat API."""

import argparse
import base64
import contextlib
import hashlib
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx

from dev.cluster import Cluster, images

from .api import Api, Object

AI = "ai"
TEAM = "team-a"
T = TypeVar("T")
_PACE_SECONDS = 0.25


def eventually(look: Callable[[], T], *, timeout: float = 60, what: str = "") -> T:
    """Call until the result is true, and return it; what a state that isn't complete raises counts as not yet.

    That is an AssertionError, a list of another length, or a field, an item or an object that isn't there.

    Raises:
        AssertionError: it didn't come true in time.
    """
    end = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < end:
        try:
            if found := look():
                return found
            last = found
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            last = repr(error)
        time.sleep(_PACE_SECONDS)
    raise AssertionError(f"not within {timeout:.0f} s: {what or getattr(look, '__name__', look)}; last: {last}")


# The arguments by which kubectl chooses objects, by what the API calls them.
_SELECTORS = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
_SELECTORS.add_argument("-l", "--selector", dest="labelSelector")
_SELECTORS.add_argument("--field-selector", dest="fieldSelector")


class Kube:
    """Objects in and out of the cluster as dicts."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.run = cluster.run
        assert cluster.kubeconfig, "the tests' cluster has a kubeconfig of its own"
        self._api = Api(cluster.kubeconfig)

    def apply(self, *manifests: Object) -> None:
        """Apply as a user would, server-side."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """An object, or None."""
        return self._api.get(kind, namespace, name)

    def must(self, kind: str, namespace: str, name: str) -> Object:
        """An object that must be there."""
        found = self.get(kind, namespace, name)
        assert found, f"no {kind} {namespace}/{name}"
        return found

    def list(self, kinds: str, *args: str) -> list[Object]:
        """All objects of some kinds in all namespaces, or those that a selector of kubectl's chooses."""
        options, rest = _SELECTORS.parse_known_args(args)
        assert not rest, f"only selectors are understood here, not {rest}"
        return self._api.every(kinds, **vars(options))

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """A Secret's values."""
        data = self.must("secret", namespace, name).get("data") or {}
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def delete(self, kind: str, namespace: str, name: str, *args: str) -> None:
        """Delete and wait for the end."""
        self.run("-n", namespace, "delete", kind, name, "--ignore-not-found", *args)

    def patch(self, kind: str, namespace: str, name: str, patch: Object) -> None:
        """Change an object as somebody else would: a merge patch."""
        self.run("-n", namespace, "patch", kind, name, "--type=merge", "-p", json.dumps(patch))

    def condition(self, kind: str, namespace: str, name: str, type_: str = "Ready") -> Object:
        """A condition of the current generation."""
        return _condition(self.must(kind, namespace, name), type_)

    def wait_condition(
        self, kind: str, namespace: str, name: str, type_: str, status: str, reason: str = "", *, timeout: float = 90
    ) -> Object:
        """Until a condition has a status and, if given, a reason."""

        def look() -> Object | None:
            found = self.condition(kind, namespace, name, type_)
            assert found.get("status") == status and reason in ("", found.get("reason")), found
            return found

        return eventually(look, timeout=timeout, what=f"{type_}={status} {reason} of {kind} {namespace}/{name}")

    def wait_ready(self, kind: str, namespace: str, name: str, *, timeout: float = 90) -> Object:
        """Until it is ready; returns the object as it was then."""

        def look() -> Object:
            body = self.must(kind, namespace, name)
            found = _condition(body, "Ready")
            assert found.get("status") == "True", found
            return body

        return eventually(look, timeout=timeout, what=f"Ready=True of {kind} {namespace}/{name}")

    @contextlib.contextmanager
    def forward(self, namespace: str, target: str, port: int) -> Iterator[str]:
        """A port-forward; yields the URL on loopback."""
        command = [str(self.cluster.kubectl_path), "--kubeconfig", str(self.cluster.kubeconfig)]
        command += ["-n", namespace, "port-forward", target, f":{port}"]
        # A file, not a pipe: kubectl writes a line for every connection, and nobody would empty the pipe.
        with tempfile.TemporaryFile("w+") as printed:
            process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)
            try:
                yield f"http://127.0.0.1:{eventually(lambda: _forwarded_port(printed, process), timeout=20)}"
            finally:
                process.kill()
                process.wait()


def _condition(body: Object, type_: str) -> Object:
    status = body.get("status") or {}
    assert status.get("observedGeneration") == body["metadata"]["generation"], "an older generation's status"
    return next((each for each in status.get("conditions", []) if each["type"] == type_), {})


def _forwarded_port(printed: IO[str], process: subprocess.Popen[bytes]) -> str:
    printed.seek(0)
    text = printed.read()
    match = re.search(r"127\.0\.0\.1:(\d+)", text)
    assert match, text
    assert process.poll() is None, text
    return match[1]


class Proxy:
    """A real LiteLLM behind its Service."""

    def __init__(
        self, kube: Kube, namespace: str, service: str, master_key: str, port: int = 4000, target: str = "service"
    ) -> None:
        self.kube = kube
        self.port = port
        self.namespace = namespace
        self.target = f"{target}/{service}"
        self.master_key = master_key
        self._forward = contextlib.ExitStack()
        self._url: str | None = None
        # Each request has a connection of its own, as the pods behind the Service come and go.
        self._client = httpx.Client(timeout=30, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

    def close(self) -> None:
        """End the port-forward."""
        self._forward.close()
        self._url = None

    def call(self, method: str, path: str, *, key: str | None = None, **given: Any) -> httpx.Response:
        """One request with a key; the master key where none is given. The port-forward is kept while its pod lives."""
        headers = {"Authorization": f"Bearer {key or self.master_key}"}
        last: Exception | None = None
        for _ in range(8):
            try:
                if self._url is None:
                    forward = self.kube.forward(self.namespace, self.target, self.port)
                    self._url = self._forward.enter_context(forward)
                return self._client.request(method, f"{self._url}{path}", headers=headers, **given)
            except (httpx.HTTPError, AssertionError) as error:
                last = error
                self.close()
                time.sleep(1)
        raise AssertionError(f"{method} {path}: {last}")

    def chat(self, key: str, model: str = "gpt-4o") -> httpx.Response:
        """A chat completion."""
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        return self.call("POST", "/v1/chat/completions", key=key, json=body)

    def rows(self, agent_uid: str | None = None) -> list[Object]:
        """The virtual keys that Litclaw has made, those of one agent if asked."""
        rows: list[Object] = []
        page = 1
        while True:
            params = {"size": 100, "page": page, "return_full_object": "true"}
            body = self.call("GET", "/key/list", params=params).json()
            rows += body["keys"]
            if page >= (body.get("total_pages") or 1):
                break
            page += 1
        marks = [((row.get("metadata") or {}).get("litclaw") or {}, row) for row in rows]
        return [row for mark, row in marks if isinstance(mark, dict) and mark and agent_uid in (None, mark["agent"])]


def namespace(name: str) -> Object:
    """A namespace that enforces the strictest Pod Security Standard."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def resource(kind: str, name: str, namespace: str, spec: Object) -> Object:
    """One of our resources."""
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "litclaw.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


MODELS = [
    {"name": name, "litellmParams": {"model": f"{provider}/{name}", "mock_response": f"This is {name}."}}
    for provider, name in (("anthropic", "claude-opus-4-6"), ("openai", "gpt-4o"))
]
IMAGE_MODEL: Object = {
    "name": "gpt-image-2",
    "litellmParams": {"model": "openai/gpt-image-2", "api_base": "http://painter.ai.svc.cluster.local:8080/v1"},
    "apiKeySecretRef": {"name": "painter-key", "key": "KEY"},
    "modelInfo": {"mode": "image_generation"},
}
"""A model that makes images, by a real call of the proxy to a provider in the cluster (servers/painter.py)."""


UNSTEADY_MODEL: Object = {
    "name": "unsteady",
    "litellmParams": {"model": "openai/gpt-4o", "api_base": "http://127.0.0.1:9/v1"},
    "apiKeySecretRef": {"name": "painter-key", "key": "KEY"},
    "secretParams": {"organization": {"name": "painter-key", "key": "ORGANIZATION"}},
}
"""A model whose provider never answers, so that its fallback does."""


def secret(name: str, **data: str) -> Object:
    """A Secret of namespace ``ai``."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": AI}, "stringData": data}


def managed_route(name: str, **spec: Any) -> Object:
    """A route with its own LiteLLM and PostgreSQL and two models that answer offline at their real prices."""
    managed = {"database": {"embedded": {"storage": "1Gi"}}}
    return resource(
        "LiteLLMRoute", name, AI, {"managed": managed, "models": MODELS, "allowedNamespaces": {"from": "All"}, **spec}
    )


POD_SETTINGS: Object = {
    "resources": {"requests": {"cpu": "0.1", "memory": "1Gi"}, "limits": {"memory": "3Gi"}},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "agents", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": {"matchExpressions": [{"key": "agents", "operator": "Exists"}]}}
            ]
        }
    },
    "env": [
        {"name": "GREETING", "value": "hello"},
        {"name": "FROM_KEY", "valueFrom": {"configMapKeyRef": {"name": "channels", "key": "CHANNEL"}}},
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "channel-token", "key": "TOKEN"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "channels"}, "prefix": "MY_"}, {"secretRef": {"name": "channel-token"}}],
    "podLabels": {"team": "research"},
    "podAnnotations": {"example.com/note": "of the owner's"},
    "serviceAccountName": "of-the-owners",
    "imagePullSecrets": [{"name": "pull"}],
    "service": {"type": "ClusterIP", "annotations": {"example.com/service": "yes"}},
}
"""All that an owner may set of pods, for a route's and a gateway's alike."""


def what_pods_need(namespace: str) -> list[Object]:
    """What `POD_SETTINGS` names."""
    meta = {"namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "channels", **meta}, "data": {"CHANNEL": "c-1"}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "channel-token", **meta},
            "stringData": {"TOKEN": "t"},
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "of-the-owners", **meta}},
    ]


def has_pod_settings(pod: Object, service: Object) -> None:
    """See that a pod and its Service are as `POD_SETTINGS` says."""
    meta, spec = pod["metadata"], pod["spec"]
    assert (meta["labels"]["team"], meta["annotations"]["example.com/note"]) == ("research", "of the owner's")
    assert (spec["serviceAccountName"], spec["imagePullSecrets"]) == ("of-the-owners", [{"name": "pull"}])
    assert spec["nodeSelector"] == POD_SETTINGS["nodeSelector"] and spec["affinity"] == POD_SETTINGS["affinity"]
    assert POD_SETTINGS["tolerations"][0] in spec["tolerations"]
    [container] = spec["containers"]
    wanted = POD_SETTINGS["resources"]
    assert container["resources"]["limits"] == wanted["limits"]
    assert container["resources"]["requests"] == {**wanted["requests"], "cpu": "100m"}
    assert service["spec"]["type"] == "ClusterIP"
    assert service["metadata"]["annotations"]["example.com/service"] == "yes"


def main_route() -> Object:
    """The route that most tests use: chat, images, a fallback, settings of each kind, limits for all."""
    return managed_route(
        "main",
        managed={"database": {"embedded": {"storage": "1Gi"}}, **POD_SETTINGS},
        models=[*MODELS, IMAGE_MODEL, UNSTEADY_MODEL],
        fallbacks=[{"model": "unsteady", "to": ["gpt-4o"]}],
        routerSettings={"num_retries": 0},
        litellmSettings={"drop_params": True},
        # LiteLLM looks for budgets whose period is over every ten minutes, unless it is told to do so more often.
        generalSettings={
            "proxy_budget_rescheduler_min_time": 5,
            "proxy_budget_rescheduler_max_time": 10,
            "proxy_batch_write_at": 2,
        },
        keyDefaults={"tpmLimit": 10_000_000, "rpmLimit": 100_000},
    )


def make_main(kube: Kube) -> str:
    """The route ``main`` in namespace ``ai`` and all that it needs, until it is ready; returns its master key."""
    for name in (AI, TEAM):
        kube.apply(namespace(name))
    kube.apply(
        *what_pods_need(AI),
        *python_server("painter", "painter", 8080),
        secret("painter-key", KEY="the-key-of-the-painter", ORGANIZATION="o-1"),
    )
    kube.apply(main_route())
    kube.wait_ready("litellmroute", AI, "main", timeout=600)
    return kube.secret(AI, "main-master-key")["LITELLM_MASTER_KEY"]


def agent(name: str, *, route: str = "main", **spec: Any) -> Object:
    """An agent of namespace ``team-a``."""
    return resource("OpenClawAgent", name, TEAM, {"routeRef": {"name": route, "namespace": AI}, **spec})


def pod(name: str, image: str, command: list[str], uid: int, namespace: str = AI) -> Object:
    """A pod that passes ``restricted``."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": uid,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": command,
                    "workingDir": "/tmp",
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }


def let_in(route: str) -> Object:
    """A NetworkPolicy that lets a second route's pods reach the database of the route ``main``, as an owner may."""
    database = {"app.kubernetes.io/instance": "main", "app.kubernetes.io/component": "database"}
    source = {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": route}}}
    spec = {"podSelector": {"matchLabels": database}, "policyTypes": ["Ingress"], "ingress": [{"from": [source]}]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"{route}-reaches-main-postgres", "namespace": AI},
        "spec": spec,
    }


def own_database(kube: Kube, name: str) -> Object:
    """Make an empty database beside main's own; returns a Secret ``<name>-db`` with its ``URL``."""
    where = ("-n", AI, "exec", "main-postgres-0", "--", "psql", "--username=litellm", "--dbname=litellm", "--command")
    kube.run(*where, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    kube.run(*where, f"CREATE DATABASE {name}")
    return secret(
        f"{name}-db", URL=kube.secret(AI, "main-postgres")["DATABASE_URL"].removesuffix("/litellm") + f"/{name}"
    )


def pod_monitors() -> Object:
    """As much of the prometheus-operator's CRD as the API server needs to take a PodMonitor."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    kinds = {"kind": "PodMonitor", "listKind": "PodMonitorList", "plural": "podmonitors", "singular": "podmonitor"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "podmonitors.monitoring.coreos.com",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a test's"},
        },
        "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": kinds, "versions": [version]},
    }


def operator_policy(namespace: str) -> Object:
    """A NetworkPolicy beside the operator's own that opens a namespace's pods to it, at every port."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"proxies-in-{namespace}", "namespace": "litclaw-system"},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "litclaw"}},
            "policyTypes": ["Egress"],
            "egress": [
                {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]},
            ],
        },
    }


def python_reaches(kube: Kube, source: tuple[str, str], host: str, port: int, python: str = "python3") -> bool:
    """Whether a pod with a Python gets a connection.

    Args:
        source: the pod's namespace, and its name or what it is one of (``deployment/litclaw``).
    """
    code = f"import socket; socket.create_connection(({host!r}, {port}), 3)"
    return kube.run("-n", source[0], "exec", source[1], "--", python, "-c", code, check=False).returncode == 0


def operator_reaches(kube: Kube, host: str, port: int) -> bool:
    """Whether the operator's pod gets a connection."""
    return python_reaches(kube, ("litclaw-system", "deployment/litclaw"), host, port, "/opt/litclaw/bin/python")


def served_by(
    name: str, image: str, port: int, files: dict[str, str], args: list[str], env: list[Object] | None = None
) -> list[Object]:
    """A Deployment of one pod in namespace ``ai`` that passes ``restricted``, its files in a Secret, and its Service."""
    meta = {"name": name, "namespace": AI}
    labels = {"app": name}
    container = {
        "name": "server",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "env": env or [],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "volumeMounts": [{"name": "files", "mountPath": "/files"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    security = {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}}
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    template = {
        "metadata": {"labels": labels, "annotations": {"files": digest}},
        "spec": {
            "securityContext": security,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            "volumes": [{"name": "files", "secret": {"secretName": name}}, {"name": "tmp", "emptyDir": {}}],
        },
    }
    deployment = {"selector": {"matchLabels": labels}, "strategy": {"type": "Recreate"}, "template": template}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": files},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": deployment},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": [{"port": port}]},
        },
    ]


def python_server(name: str, script: str, port: int, files: dict[str, str] | None = None) -> list[Object]:
    """One of ``servers/``, run by the Python in the operator's image, with more files beside it in ``/files``."""
    text = (Path(__file__).parent / "servers" / f"{script}.py").read_text()
    manifests = served_by(name, images()["operator"], port, {**(files or {}), "server.py": text}, ["/files/server.py"])
    [container] = manifests[1]["spec"]["template"]["spec"]["containers"]
    container["command"] = ["/opt/litclaw/bin/python"]
    return manifests
