"""What is shipped as YAML: the API server takes it to the letter, a linter has nothing to say, the policy refuses.

That the examples work is in the whole story, `tests/e2e/test_story.py`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .lint import complaints
from .support import Kube, Object, Proxy

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ("default", "high-availability", "namespaced", "development")
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
MOVED = {"ai": "examples-ai", "team-a": "examples-team"}
"""Where the examples go, so that they meet nothing of the other tests'."""


_NOT_DONE = {
    "deployment-replicas": "one pod is what a route has unless it says more",
    "pod-networkpolicy": "the proxy reaches out to anywhere, as providers are anywhere",
    "container-resources": "the embedded database takes what its data needs",
    "container-security-context-user-group-id": "the PostgreSQL image's user is 999",
    "pod-probes": "PostgreSQL has one question to ask",
}
"""What kube-score would have of the objects that the operator makes, and why it isn't done."""


def _strictly(kube: Kube, manifests: str) -> None:
    """See that the API server takes manifests: no unknown or doubled field, every rule kept."""
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
    assert ("ClusterRole" in {body["kind"] for body in documents}) == (overlay != "namespaced")


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
    if not documents:  # a kustomization, which is built
        built = kube.run("kustomize", str(path.parent)).stdout
        documents = [_moved(body) for body in yaml.safe_load_all(built)]
    text = "\n---\n".join(json.dumps(body) for body in documents)
    _strictly(kube, text)
    # The image's user is 1000, and the NetworkPolicies of a team's namespace are the team's.
    if any(body["kind"] in ("Job", "Deployment") for body in documents):
        assert complaints(text, "container-security-context-user-group-id", "pod-networkpolicy") == []


@pytest.mark.parametrize(
    ("file", "condition", "reason"),
    [
        ("route-external.yaml", "SecretsReady", "SecretNotFound"),
        ("route-production.yaml", "SecretsReady", "SecretNotFound"),
    ],
)
def test_an_example_says_what_it_lacks(kube: Kube, spaces: None, file: str, condition: str, reason: str) -> None:
    [route] = _documents(ROOT / "examples" / file)
    route["metadata"]["name"] = "lacking"
    kube.apply(route)
    found = kube.wait_condition("litellmroute", MOVED["ai"], "lacking", condition, "False", reason)
    assert "create it, or mend the name" in found["message"]
    kube.delete("litellmroute", MOVED["ai"], "lacking")
