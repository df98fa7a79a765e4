"""What the tests share: objects in and out of the cluster, and a real LiteLLM's admin and chat API."""

import base64
import contextlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx

from dev.cluster import Cluster

AI = "ai"
TEAM = "team-a"
T = TypeVar("T")
Object = dict[str, Any]


def eventually(look: Callable[[], T], *, timeout: float = 60, what: str = "") -> T:
    """Call until the result is true, and return it; an AssertionError counts as not yet.

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
        except AssertionError as error:
            last = error
        time.sleep(0.3)
    raise AssertionError(f"not within {timeout:.0f} s: {what or getattr(look, '__name__', look)}; last: {last}")


class Kube:
    """Objects in and out of the cluster as dicts."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.run = cluster.run

    def apply(self, *manifests: Object) -> None:
        """Apply as a user would, server-side."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """An object, or None."""
        done = self.run("-n", namespace, "get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def must(self, kind: str, namespace: str, name: str) -> Object:
        """An object that must be there."""
        found = self.get(kind, namespace, name)
        assert found, f"no {kind} {namespace}/{name}"
        return found

    def list(self, kinds: str, *args: str) -> list[Object]:
        """All objects of some kinds in all namespaces."""
        items: list[Object] = json.loads(self.run("get", kinds, "-A", "-o", "json", *args).stdout)["items"]
        return items

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
        body = self.must(kind, namespace, name)
        status = body.get("status") or {}
        assert status.get("observedGeneration") == body["metadata"]["generation"], "an older generation's status"
        return next((each for each in status.get("conditions", []) if each["type"] == type_), {})

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
        """Until it is ready; returns the object."""
        self.wait_condition(kind, namespace, name, "Ready", "True", timeout=timeout)
        return self.must(kind, namespace, name)

    @contextlib.contextmanager
    def forward(self, namespace: str, target: str, port: int) -> Iterator[str]:
        """A port-forward; yields the URL on loopback."""
        command = [str(self.cluster.kubectl_path), "--kubeconfig", str(self.cluster.kubeconfig)]
        command += ["-n", namespace, "port-forward", target, f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                assert process.stdout
                line = process.stdout.readline()
                match = re.search(r"127\.0\.0\.1:(\d+)", line)
                assert match, line
                yield f"http://127.0.0.1:{match[1]}"
            finally:
                process.kill()


class Proxy:
    """A real LiteLLM behind its Service."""

    def __init__(self, kube: Kube, namespace: str, service: str, master_key: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self.service = service
        self.master_key = master_key

    def call(self, method: str, path: str, *, key: str | None = None, **given: Any) -> httpx.Response:
        """One request with a key; the master key where none is given."""
        headers = {"Authorization": f"Bearer {key or self.master_key}"}
        last: Exception | None = None
        for _ in range(5):
            try:
                with self.kube.forward(self.namespace, f"service/{self.service}", 4000) as url:
                    return httpx.request(method, f"{url}{path}", headers=headers, timeout=30, trust_env=False, **given)
            except (httpx.HTTPError, AssertionError) as error:
                last = error
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
        return [row for mark, row in marks if mark and agent_uid in (None, mark["agent"])]


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


def managed_route(name: str, **spec: Any) -> Object:
    """A route with its own LiteLLM and PostgreSQL and two models that answer offline at their real prices."""
    managed = {"database": {"embedded": {"storage": "1Gi"}}}
    return resource(
        "LiteLLMRoute", name, AI, {"managed": managed, "models": MODELS, "allowedNamespaces": {"from": "All"}, **spec}
    )


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
