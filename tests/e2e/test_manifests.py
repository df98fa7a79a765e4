"""The YAML that we ship: the API server accepts it with strict validation, and a linter finds nothing.

`tests/e2e/test_story.py` shows that the examples work.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .api import Object
from .kube import Kube
from .lint import complaints
from .proxy import Proxy

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ("default", "high-availability", "namespaced", "development")
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
MOVED = {"ai": "examples-ai", "team-a": "examples-team"}
"""The namespaces of the examples here, which no other test uses."""


_NOT_DONE = {
    "deployment-replicas": "a route has one pod unless it asks for more",
    "pod-networkpolicy": "the proxy may connect anywhere, because providers are anywhere",
    "container-resources": "what the embedded database needs depends on its data",
    "container-security-context-user-group-id": "the PostgreSQL image's user is 999",
    "pod-probes": "PostgreSQL has one check for both probes",
}
"""Checks of kube-score that don't apply to the objects that the operator makes, and why."""


def _strictly(kube: Kube, manifests: str) -> None:
    """Check that the API server accepts manifests: no unknown or duplicate field, no rule broken."""
    kube.run(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--validate=strict",
        "--dry-run=server",
        "-f",
        "-",
        stdin=manifests,
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_valid(kube: Kube, proxy: Proxy, overlay: str) -> None:
    built = kube.run("kustomize", str(ROOT / "deploy" / overlay)).stdout
    _strictly(kube, built)
    documents = list(yaml.safe_load_all(built))
    [deployment] = [body for body in documents if body["kind"] == "Deployment"]
    replicas = {"default": 2, "high-availability": 3, "namespaced": 2, "development": 1}
    assert deployment["spec"]["replicas"] == replicas[overlay]
    names = {(body["kind"], body["metadata"].get("namespace"), body["metadata"]["name"]) for body in documents}
    assert len(names) == len(documents)
    # The roles for people are ClusterRoles everywhere, since Kubernetes adds them to its own.
    assert ("ClusterRoleBinding" in {body["kind"] for body in documents}) == (overlay != "namespaced")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_passes_the_linter(kube: Kube, proxy: Proxy, overlay: str) -> None:
    one_pod = ("deployment-replicas",) if overlay == "development" else ()
    assert complaints(kube.run("kustomize", str(ROOT / "deploy" / overlay)).stdout, *one_pod) == []


def test_what_the_operator_makes_passes_the_linter(kube: Kube, proxy: Proxy, scout: str) -> None:
    kinds = "deployments,statefulsets,services,networkpolicies,poddisruptionbudgets"
    found = kube.list(kinds, "-l", "app.kubernetes.io/managed-by=litclaw,app.kubernetes.io/instance=main")
    assert {body["kind"] for body in found} >= {"Deployment", "StatefulSet", "Service", "NetworkPolicy"}
    for body in found:
        body["metadata"].pop("managedFields", None)
    text = "\n---\n".join(json.dumps(body) for body in found)
    assert complaints(text, *_NOT_DONE) == []


def _documents(path: Path) -> list[Object]:
    """A file's resources, in the namespaces of the examples."""
    return [_moved(body) for body in yaml.safe_load_all(path.read_text()) if body["kind"] != "Kustomization"]


def _moved(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        name = MOVED.get(value.get("metadata", {}).get("name", "")) if value.get("kind") == "Namespace" else None
        out = {key: _moved(each, key) for key, each in value.items()}
        return {**out, "metadata": {**out["metadata"], "name": name}} if name else out
    if isinstance(value, list):
        return [_moved(each) for each in value]
    return MOVED.get(value, value) if key == "namespace" else value


@pytest.fixture(scope="module")
def spaces(kube: Kube, proxy: Proxy) -> Iterator[None]:
    """The namespaces of the quick start."""
    kube.apply(*_documents(ROOT / "examples" / "quickstart" / "namespaces.yaml"))
    yield
    kube.run("delete", "namespace", *MOVED.values(), "--wait=false")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(ROOT / "examples").as_posix())
def test_an_example_is_valid(kube: Kube, spaces: None, path: Path) -> None:
    documents = _documents(path)
    if not documents:  # a kustomization: build it
        built = kube.run("kustomize", str(path.parent)).stdout
        documents = [_moved(body) for body in yaml.safe_load_all(built)]
    text = "\n---\n".join(json.dumps(body) for body in documents)
    _strictly(kube, text)
    # The image's user is 1000, and a team makes the NetworkPolicies of its own namespace.
    if any(body["kind"] in ("Job", "Deployment") for body in documents):
        assert complaints(text, "container-security-context-user-group-id", "pod-networkpolicy") == []


@pytest.mark.parametrize(
    ("file", "condition", "reason"),
    [
        ("route-external.yaml", "SecretsReady", "SecretNotFound"),
        ("route-production.yaml", "SecretsReady", "SecretNotFound"),
    ],
)
def test_an_example_names_what_is_missing(kube: Kube, spaces: None, file: str, condition: str, reason: str) -> None:
    [route] = _documents(ROOT / "examples" / file)
    route["metadata"]["name"] = "lacking"
    kube.apply(route)
    found = kube.wait_condition("litellmroute", MOVED["ai"], "lacking", condition, "False", reason)
    assert "create it, or " in found["message"]
    kube.delete("litellmroute", MOVED["ai"], "lacking")
