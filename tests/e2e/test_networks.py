"""The network access to a managed route's pods and the operator's, where the cluster enforces NetworkPolicies."""

from collections.abc import Iterator

import pytest

from dev.cluster import NAMESPACE, images

from .kube import Kube
from .networks import operator_policy, operator_reaches, python_reaches
from .pods import pod
from .proxy import Proxy
from .resources import AI, TEAM
from .waiting import eventually

PROXY = (f"main-litellm.{AI}.svc.cluster.local", 4000)
DATABASE = (f"main-postgres.{AI}.svc.cluster.local", 5432)
_SERVE = "import http.server as h; h.HTTPServer(('', 8000), h.SimpleHTTPRequestHandler).serve_forever()"


@pytest.fixture(scope="module")
def probes(kube: Kube, proxy: Proxy) -> Iterator[None]:
    """A pod ``probe`` in each namespace, and one whose policy lets nobody in."""
    wall = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "wall", "namespace": TEAM},
        "spec": {"podSelector": {"matchLabels": {"app": "wall"}}, "policyTypes": ["Ingress"]},
    }
    made = [("probe", AI), ("probe", TEAM), ("wall", TEAM)]
    kube.apply(wall, *(pod(name, images()["litellm"], ["python3", "-c", _SERVE], 65534, where) for name, where in made))
    for name, where in made:
        kube.run("-n", where, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=300s")
    yield
    for name, where in made:
        kube.delete("pod", where, name)
    kube.delete("networkpolicy", TEAM, "wall")
    reset = {"allowedNamespaces": {"from": "All", "selector": None}, "managed": {"networkPolicy": None}}
    kube.patch("litellmroute", AI, "main", {"spec": reset})
    kube.wait_ready("litellmroute", AI, "main")


def reaches(kube: Kube, source: str, host: str, port: int) -> bool:
    """Whether the probe of a namespace can connect. False may also mean that a busy machine was too slow."""
    return python_reaches(kube, (source, "probe"), host, port)


@pytest.fixture
def enforced(kube: Kube, probes: None) -> None:
    """Skip where the cluster's network doesn't enforce policies."""
    address = kube.must("pod", TEAM, "wall")["status"]["podIP"]
    if reaches(kube, TEAM, address, 8000):
        pytest.skip("this cluster doesn't enforce NetworkPolicies")


OPERATOR = (f"litclaw.{NAMESPACE}.svc.cluster.local", 8080)


def test_the_operator_is_reached_by_an_administrators_prometheus_alone(kube: Kube, enforced: None) -> None:
    """A pod of a tenant that has Prometheus' label isn't one."""
    for source in (AI, TEAM):
        kube.run("-n", source, "label", "pod", "probe", "app.kubernetes.io/name=prometheus")
    kube.run("label", "namespace", AI, "litclaw.dev/metrics=allowed")
    eventually(lambda: reaches(kube, AI, *OPERATOR))
    assert not reaches(kube, TEAM, *OPERATOR)
    kube.run("-n", AI, "label", "pod", "probe", "app.kubernetes.io/name-")
    eventually(lambda: not reaches(kube, AI, *OPERATOR))
    kube.run("label", "namespace", AI, "litclaw.dev/metrics-")
    kube.run("-n", TEAM, "label", "pod", "probe", "app.kubernetes.io/name-")


def test_the_operator_reaches_the_api_server_and_proxies_alone(kube: Kube, enforced: None) -> None:
    eventually(lambda: operator_reaches(kube, "kubernetes.default.svc.cluster.local", 443))
    eventually(lambda: operator_reaches(kube, *PROXY))
    address = kube.must("pod", TEAM, "probe")["status"]["podIP"]
    eventually(lambda: reaches(kube, AI, address, 8000))
    assert not operator_reaches(kube, address, 8000)
    assert not operator_reaches(kube, *DATABASE)
    # As docs/install.md describes for a proxy at another port.
    more = operator_policy(TEAM)
    kube.apply(more)
    eventually(lambda: operator_reaches(kube, address, 8000))
    kube.delete("networkpolicy", NAMESPACE, more["metadata"]["name"])
    eventually(lambda: not operator_reaches(kube, address, 8000))


def test_what_we_run_is_where_the_strictest_standard_is_enforced(kube: Kube, proxy: Proxy, scout: str) -> None:
    found = [
        body["metadata"]["namespace"]
        for selector in ("app.kubernetes.io/managed-by=litclaw", "app.kubernetes.io/name=litclaw")
        for body in kube.list("pods", "-l", selector)
    ]
    assert {AI, NAMESPACE} <= set(found)
    for name in set(found):
        labels = kube.must("namespace", "", name)["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted", name


def test_the_policies_are_there_and_follow_the_route(kube: Kube, probes: None) -> None:
    def sources() -> object:
        return kube.must("networkpolicy", AI, "main-litellm")["spec"]["ingress"][0]["from"]

    operator = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "litclaw-system"}}}
    assert sources() == [{"namespaceSelector": {}}, operator]
    assert kube.must("networkpolicy", AI, "main-postgres")["spec"]["policyTypes"] == ["Ingress", "Egress"]
    kube.patch("litellmroute", AI, "main", {"spec": {"allowedNamespaces": {"from": "Same"}}})
    eventually(lambda: sources() == [{"podSelector": {}}, operator])
    kube.patch("litellmroute", AI, "main", {"spec": {"managed": {"networkPolicy": {"enabled": False}}}})
    for name in ("main-litellm", "main-postgres"):
        eventually(lambda name=name: kube.get("networkpolicy", AI, name) is None)
    reset = {"allowedNamespaces": {"from": "All"}, "managed": {"networkPolicy": None}}
    kube.patch("litellmroute", AI, "main", {"spec": reset})
    eventually(lambda: kube.get("networkpolicy", AI, "main-postgres"))
    kube.delete("networkpolicy", AI, "main-litellm")
    eventually(lambda: kube.get("networkpolicy", AI, "main-litellm"), what="a deleted policy comes back")


def test_the_database_is_reached_by_the_proxy_alone(kube: Kube, enforced: None) -> None:
    for source in (AI, TEAM):
        assert not reaches(kube, source, *DATABASE)
    kube.wait_ready("litellmroute", AI, "main")


def test_the_proxy_is_reached_from_the_namespaces_that_may_use_it(kube: Kube, enforced: None) -> None:
    eventually(lambda: reaches(kube, TEAM, *PROXY))
    kube.patch("litellmroute", AI, "main", {"spec": {"allowedNamespaces": {"from": "Same"}}})
    eventually(lambda: not reaches(kube, TEAM, *PROXY))
    eventually(lambda: reaches(kube, AI, *PROXY))
    kube.wait_ready("litellmroute", AI, "main")  # the operator has access from its own namespace
    selector = {"from": "Selector", "selector": {"matchLabels": {"models": "yes"}}}
    kube.patch("litellmroute", AI, "main", {"spec": {"allowedNamespaces": selector}})
    kube.wait_ready("litellmroute", AI, "main")
    assert not reaches(kube, TEAM, *PROXY)
    kube.run("label", "namespace", TEAM, "models=yes")
    eventually(lambda: reaches(kube, TEAM, *PROXY))
    kube.run("label", "namespace", TEAM, "models-")
