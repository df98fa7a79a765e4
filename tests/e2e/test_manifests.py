"""What is shipped as YAML: the API server takes it to the letter, a linter has nothing to say, the examples work."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .lint import complaints
from .support import Kube, Object, Proxy, let_in, own_database

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ("default", "high-availability", "namespaced", "development")
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
_NAME = "kubernetes.io/metadata.name"
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


def test_the_policy_for_gateways_is_valid(kube: Kube) -> None:
    """The one that docs/install.md shows; the API server compiles its expressions."""
    page = (ROOT / "docs" / "install.md").read_text()
    [text] = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "AdmissionPolicy" in block]
    _strictly(kube, text)


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
def quickstart(kube: Kube, proxy: Proxy) -> Iterator[None]:
    """The quick start, applied for real."""
    kube.apply(*_documents(ROOT / "examples" / "quickstart" / "namespaces.yaml"))
    for name in ("route", "scout", "keeper"):
        kube.apply(*_documents(ROOT / "examples" / "quickstart" / f"{name}.yaml"))
    yield
    kube.run("-n", MOVED["team-a"], "delete", "openclawagents", "--all", "--timeout=120s")
    kube.run("-n", MOVED["ai"], "delete", "litellmroutes", "--all", "--timeout=120s")
    kube.run("delete", "namespace", *MOVED.values(), "--wait=false")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(ROOT / "examples").as_posix())
def test_an_example_is_valid(kube: Kube, quickstart: None, path: Path) -> None:
    documents = _documents(path)
    if not documents:  # a kustomization, which is built
        built = kube.run("kustomize", str(path.parent)).stdout
        documents = [_moved(body) for body in yaml.safe_load_all(built)]
    text = "\n---\n".join(json.dumps(body) for body in documents)
    _strictly(kube, text)
    # The image's user is 1000, and the NetworkPolicies of a team's namespace are the team's.
    if any(body["kind"] in ("Job", "Deployment") for body in documents):
        assert complaints(text, "container-security-context-user-group-id", "pod-networkpolicy") == []


def test_the_quick_start_gets_ready(kube: Kube, quickstart: None) -> None:
    """This is the longest: the proxy's pods start while the other tests look at files."""
    kube.wait_ready("litellmroute", MOVED["ai"], "main", timeout=300)
    for name in ("scout", "keeper"):
        kube.wait_ready("openclawagent", MOVED["team-a"], name, timeout=300)


def test_a_database_and_keys_of_ones_own(kube: Kube, quickstart: None) -> None:
    """The example with Secrets that the reader makes, and the agent of the examples that asks for its models."""
    space = MOVED["ai"]
    database = own_database(kube, "examples")
    made = {
        "litellm-db": {"DATABASE_URL": database["stringData"]["URL"]},
        "anthropic": {"ANTHROPIC_API_KEY": "sk-ant-of-the-tests"},
        "openai": {"OPENAI_API_KEY": "sk-of-the-tests"},
        "aws": {"AWS_SECRET_ACCESS_KEY": "of-the-tests"},
    }
    policy = let_in("main")
    policy["spec"]["ingress"] = [{"from": [{"namespaceSelector": {"matchLabels": {_NAME: space}}}]}]
    policy["metadata"]["name"] = "examples-reach-main-postgres"
    kube.apply(policy, *(_secret(space, name, values) for name, values in made.items()))
    [route] = _documents(ROOT / "examples" / "route-managed-database-secret.yaml")
    [scout] = _documents(ROOT / "examples" / "agent.yaml")
    for body in (route, scout):
        body["metadata"]["name"] = "own"
    route["spec"]["managed"]["replicas"] = 1
    scout["spec"]["routeRef"]["name"] = "own"
    kube.apply(route, scout)
    kube.wait_ready("litellmroute", space, "own", timeout=300)
    kube.wait_ready("openclawagent", MOVED["team-a"], "own")
    kube.delete("networkpolicy", "ai", policy["metadata"]["name"])


def _secret(space: str, name: str, values: dict[str, str]) -> Object:
    meta = {"name": name, "namespace": space}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": values}


@pytest.mark.parametrize(
    ("file", "condition", "reason"),
    [
        ("route-external.yaml", "SecretsReady", "SecretNotFound"),
        ("route-production.yaml", "SecretsReady", "SecretNotFound"),
    ],
)
def test_an_example_says_what_it_lacks(kube: Kube, quickstart: None, file: str, condition: str, reason: str) -> None:
    [route] = _documents(ROOT / "examples" / file)
    route["metadata"]["name"] = "lacking"
    kube.apply(route)
    found = kube.wait_condition("litellmroute", MOVED["ai"], "lacking", condition, "False", reason)
    assert "create it, or mend the name" in found["message"]
    kube.delete("litellmroute", MOVED["ai"], "lacking")
