"""The operator for some namespaces: it works with permissions in those alone, and doesn't touch other keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .api import Object
from .cli import of_litclaw
from .kube import Kube
from .proxy import Proxy
from .resources import AI, TEAM, agent, managed_route, namespace, resource
from .waiting import LONG_SECONDS, eventually

SYSTEM = "litclaw-system"
DEPLOYMENT = "deployment/litclaw"
ELSEWHERE = "elsewhere"
_CLUSTER_WIDE = ("clusterrolebinding/litclaw", "clusterrolebinding/litclaw-cluster")


def _elsewhere(name: str) -> Object:
    """An agent of another namespace."""
    return {**agent(name), "metadata": {"name": name, "namespace": ELSEWHERE}}


@pytest.fixture(scope="module", autouse=True)
def namespaced(kube: Kube, proxy: Proxy, root: Path) -> Iterator[None]:
    """deploy/namespaced in place of deploy/default, which is restored afterwards.

    Before that, an agent of another namespace gets a key at the same proxy.
    """
    kube.apply(namespace(ELSEWHERE))
    kube.apply(_elsewhere("neighbour"))
    kube.wait_ready("openclawagent", ELSEWHERE, "neighbour")
    kube.run("delete", *_CLUSTER_WIDE)
    overlay = str(root / "deploy" / "namespaced")
    kube.run("apply", "--server-side", "--force-conflicts", "-k", overlay)
    kube.run("-n", SYSTEM, "rollout", "status", DEPLOYMENT, "--timeout=300s")
    # Its pods start while the other tests run.
    kube.apply(managed_route("small"))
    yield
    kube.run("delete", "role,rolebinding", "litclaw", "-n", AI)
    kube.run("delete", "role,rolebinding", "litclaw", "-n", TEAM)
    kube.run("delete", "role,rolebinding", "litclaw-cluster-identity", "-n", "kube-system")
    kube.run("apply", "--server-side", "--force-conflicts", "-k", str(root / "deploy" / "default"))
    kube.run("-n", SYSTEM, "rollout", "status", DEPLOYMENT, "--timeout=300s")
    kube.run("-n", ELSEWHERE, "delete", "openclawagents", "--all")
    kube.run("delete", "namespace", ELSEWHERE)


def test_agents_of_the_named_namespaces_are_served_and_others_are_left_alone(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("near"), _elsewhere("stranger"))
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
    kube.wait_ready("openclawagent", TEAM, "labelled")
    kube.run("label", "namespace", TEAM, "llm-")
    kube.wait_condition("openclawagent", TEAM, "labelled", "RouteAccepted", "False", "NamespaceNotAllowed")
    kube.delete("openclawagent", TEAM, "labelled")
    kube.delete("litellmroute", AI, "by-label")


def test_keys_of_other_namespaces_at_the_same_proxy_are_left_alone(kube: Kube, proxy: Proxy) -> None:
    """The operator doesn't watch the agent, so its key looks like that of a deleted agent."""
    before = kube.must("openclawagent", ELSEWHERE, "neighbour")
    mark = {"cluster": kube.must("namespace", "", "kube-system")["metadata"]["uid"], "agent": "gone", "generation": 1}
    stray = {"key_alias": "stray", "metadata": {"litclaw": {**mark, "namespace": TEAM}}}
    assert proxy.call("POST", "/key/generate", json=stray).status_code == 200
    eventually(lambda: not proxy.rows("gone"), what="the end of a key of a watched namespace that has no agent")
    [row] = proxy.rows(before["metadata"]["uid"])
    assert not row["blocked"] and row["expires"] is None
    assert proxy.chat(kube.secret(ELSEWHERE, "neighbour-litellm")["LITELLM_API_KEY"]).status_code == 200
    assert kube.must("openclawagent", ELSEWHERE, "neighbour")["status"] == before["status"]


def test_a_key_is_rotated_by_its_annotation(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("turning", key={"rotation": {"gracePeriod": "5m"}}))
    kube.wait_ready("openclawagent", TEAM, "turning")
    old = kube.secret(TEAM, "turning-litellm")["LITELLM_API_KEY"]
    [asked] = of_litclaw(kube, "rotate", "turning", "-n", TEAM, "--wait", "--timeout", "5m")["agents"]
    assert asked["generation"] == 2
    new = kube.secret(TEAM, "turning-litellm")["LITELLM_API_KEY"]
    assert new != old and [proxy.chat(key).status_code for key in (old, new)] == [200, 200]
    uid = kube.must("openclawagent", TEAM, "turning")["metadata"]["uid"]
    kube.delete("openclawagent", TEAM, "turning")
    assert proxy.rows(uid) == [], "the old key is ended too"


def test_a_managed_route_from_nothing_to_its_end(kube: Kube) -> None:
    kube.wait_ready("litellmroute", AI, "small", timeout=LONG_SECONDS)
    kube.apply(agent("tenant", route="small"))
    kube.wait_ready("openclawagent", TEAM, "tenant")
    tenants = Proxy(kube, AI, "small-litellm", kube.secret(AI, "small-master-key")["LITELLM_MASTER_KEY"])
    assert tenants.chat(kube.secret(TEAM, "tenant-litellm")["LITELLM_API_KEY"]).status_code == 200
    tenants.close()
    checks = of_litclaw(kube, "doctor", status=0)["checks"]
    seen = {each["name"]: (each["outcome"], each["detail"]) for each in checks}
    assert seen["permissions"][0] == seen[f"proxy {AI}/small"][0] == "ok"
    assert seen["operator"][1].endswith(f", for {AI}, {TEAM}")
    kube.delete("openclawagent", TEAM, "tenant")
    kube.delete("litellmroute", AI, "small")
    kinds = "deployments,statefulsets,services,secrets,configmaps,networkpolicies,jobs,pods"
    small = ("-l", "app.kubernetes.io/managed-by=litclaw,app.kubernetes.io/instance=small")
    eventually(lambda: kube.list(kinds, *small) == [], what="its end")


def test_nothing_is_refused(kube: Kube) -> None:
    pods = [pod["metadata"]["name"] for pod in kube.list("pods", "-l", "app.kubernetes.io/name=litclaw")]
    logs = "".join(kube.run("-n", SYSTEM, "logs", pod).stdout for pod in pods)
    assert "watches ai, team-a" in logs
    assert "orbidden" not in logs and "can't be" not in logs, logs
