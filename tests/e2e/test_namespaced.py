"""The operator for some namespaces: rights in those alone, and it needs no others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .support import AI, TEAM, Kube, Proxy, agent, eventually, namespace, resource

SYSTEM = "litclaw-system"
DEPLOYMENT = "deployment/litclaw"
ELSEWHERE = "elsewhere"
_CLUSTER_WIDE = ("clusterrolebinding/litclaw", "clusterrolebinding/litclaw-cluster")


@pytest.fixture(scope="module", autouse=True)
def namespaced(kube: Kube, proxy: Proxy, root: Path) -> Iterator[None]:
    """deploy/namespaced in the place of deploy/default, which comes back afterwards."""
    kube.apply(namespace(ELSEWHERE))
    kube.run("delete", *_CLUSTER_WIDE)
    overlay = str(root / "deploy" / "namespaced")
    kube.run("apply", "--server-side", "--force-conflicts", "-k", overlay)
    kube.run("-n", SYSTEM, "rollout", "status", DEPLOYMENT, "--timeout=120s")
    yield
    kube.run("delete", "role,rolebinding", "litclaw", "-n", AI)
    kube.run("delete", "role,rolebinding", "litclaw", "-n", TEAM)
    kube.run("delete", "role,rolebinding", "litclaw-cluster-identity", "-n", "kube-system")
    kube.run("apply", "--server-side", "--force-conflicts", "-k", str(root / "deploy" / "default"))
    kube.run("-n", SYSTEM, "rollout", "status", DEPLOYMENT, "--timeout=120s")
    kube.run("delete", "namespace", ELSEWHERE)


def test_agents_of_the_named_namespaces_are_served_and_others_are_left_alone(kube: Kube, proxy: Proxy) -> None:
    stranger = {**agent("stranger"), "metadata": {"name": "stranger", "namespace": ELSEWHERE}}
    kube.apply(agent("near"), stranger)
    kube.wait_ready("openclawagent", TEAM, "near")
    assert proxy.chat(kube.secret(TEAM, "near-litellm")["LITELLM_API_KEY"]).status_code == 200
    kube.delete("secret", TEAM, "near-litellm")
    eventually(lambda: kube.get("secret", TEAM, "near-litellm"), what="the Secret comes back")
    uid = kube.must("openclawagent", TEAM, "near")["metadata"]["uid"]
    kube.delete("openclawagent", TEAM, "near")
    assert proxy.rows(uid) == []
    left = kube.must("openclawagent", ELSEWHERE, "stranger")
    assert "status" not in left and "finalizers" not in left["metadata"]
    kube.delete("openclawagent", ELSEWHERE, "stranger")


def test_a_route_that_chooses_by_labels_sees_those_of_the_named_namespaces(kube: Kube, proxy: Proxy) -> None:
    master = {"name": "main-master-key", "key": "LITELLM_MASTER_KEY"}
    spec = {
        "external": {"url": f"http://main-litellm.{AI}.svc.cluster.local:4000", "masterKeySecretRef": master},
        "models": [{"name": "gpt-4o"}],
        "allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"llm": "yes"}}},
    }
    kube.apply(resource("LiteLLMRoute", "by-label", AI, spec), agent("labelled", route="by-label"))
    kube.wait_condition("openclawagent", TEAM, "labelled", "RouteAccepted", "False", "NamespaceNotAllowed")
    kube.run("label", "namespace", TEAM, "llm=yes")
    kube.wait_ready("openclawagent", TEAM, "labelled", timeout=60)
    kube.run("label", "namespace", TEAM, "llm-")
    kube.wait_condition("openclawagent", TEAM, "labelled", "RouteAccepted", "False", "NamespaceNotAllowed")
    kube.delete("openclawagent", TEAM, "labelled")
    kube.delete("litellmroute", AI, "by-label")


def test_nothing_is_refused(kube: Kube) -> None:
    pods = [pod["metadata"]["name"] for pod in kube.list("pods", "-l", "app.kubernetes.io/name=litclaw")]
    logs = "".join(kube.run("-n", SYSTEM, "logs", pod).stdout for pod in pods)
    assert "watches ai, team-a" in logs
    assert "orbidden" not in logs and "can't be" not in logs, logs
