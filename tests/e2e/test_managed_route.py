"""What a managed route has around its pods: several of them, an autoscaler, Redis, metrics, NetworkPolicies."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dev.cluster import ROOT, Cluster, docker_runs

from .images import REDIS_IMAGE
from .support import AI, TEAM, Kube, Proxy, agent, eventually, main_route, pod, pod_monitors

NAME = "main-litellm"
PROXY_PODS = "app.kubernetes.io/instance=main,app.kubernetes.io/component=proxy"
PASSWORD = "not-a-real-password"
OPTIONAL = ("horizontalpodautoscaler", "poddisruptionbudget", "podmonitor")


def running(kube: Kube) -> list[str]:
    """The proxy's pods, all of the newest template and ready; none while they change."""
    deployment = kube.must("deployment", AI, NAME)
    status = deployment.get("status") or {}
    wanted = deployment["spec"]["replicas"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
    assert status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == [wanted] * 3, counts
    pods = [body["metadata"]["name"] for body in kube.list("pods", "-l", PROXY_PODS)]
    assert len(pods) == wanted, pods
    return pods


@pytest.fixture(scope="module")
def redis(kube: Kube, cluster: Cluster) -> Iterator[None]:
    """A Redis behind ``redis:6379`` in namespace ``ai``, and a Secret with its URL."""
    if cluster.load and not docker_runs():
        subprocess.run([sys.executable, str(ROOT / "images" / "build"), "redis"], check=True)
        cluster.load(REDIS_IMAGE)
    url = f"redis://:{PASSWORD}@redis.{AI}.svc.cluster.local:6379/0"
    meta = {"name": "redis", "namespace": AI}
    service = {"selector": {"app": "redis"}, "ports": [{"port": 6379}]}
    kube.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"REDIS_URL": url}},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service},
        pod("redis", REDIS_IMAGE, ["redis-server", "--save", "", "--requirepass", PASSWORD], 999),
    )
    kube.run("-n", AI, "wait", "--for=condition=Ready", "pod/redis", "--timeout=120s")
    yield
    for kind in ("pod", "service", "secret"):
        kube.delete(kind, AI, "redis")


@pytest.fixture(scope="module")
def production(kube: Kube, proxy: Proxy, redis: None) -> Iterator[list[str]]:
    """The route ``main`` with two replicas, Redis and metrics: the names of its pods. As it was, afterwards."""
    kube.apply(pod_monitors())
    managed = {
        "replicas": 2,
        "redis": {"secretRef": {"name": "redis", "key": "REDIS_URL"}},
        "monitoring": {"enabled": True},
    }
    kube.patch("litellmroute", AI, "main", {"spec": {"managed": managed}})
    yield eventually(lambda: kube.wait_ready("litellmroute", AI, "main") and running(kube), timeout=400)
    reset = {key: None for key in ("replicas", "autoscaling", "redis", "monitoring", "networkPolicy")}
    kube.patch("litellmroute", AI, "main", {"spec": {"managed": reset, "allowedNamespaces": {"from": "All"}}})
    kube.apply(main_route())
    eventually(lambda: kube.wait_ready("litellmroute", AI, "main") and len(running(kube)) == 1, timeout=400)
    eventually(lambda: all(kube.get(kind, AI, NAME) is None for kind in OPTIONAL))
    kube.delete("crd", AI, "podmonitors.monitoring.coreos.com")


class Replicas:
    """The proxy's pods, each asked for itself."""

    def __init__(self, kube: Kube, pods: list[str]) -> None:
        self.kube = kube
        self.pods = pods

    def statuses(self, requests: int, key: str) -> list[int]:
        """Status codes of that many completions, the pods in turn."""
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
        first, second = self.pods
        with (
            self.kube.forward(AI, f"pod/{first}", 4000) as one,
            self.kube.forward(AI, f"pod/{second}", 4000) as two,
            httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False) as client,
        ):
            paths = [f"{(one, two)[turn % 2]}/v1/chat/completions" for turn in range(requests)]
            return [client.post(path, json=body).status_code for path in paths]


def test_two_replicas_are_spread_and_outlive_a_drain(kube: Kube, production: list[str]) -> None:
    budget = kube.must("poddisruptionbudget", AI, NAME)
    assert budget["spec"]["minAvailable"] == 1
    eventually(lambda: kube.must("poddisruptionbudget", AI, NAME)["status"].get("disruptionsAllowed") == 1)
    [spread] = kube.must("deployment", AI, NAME)["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")


def test_redis_shares_limits_and_the_end_of_a_key(kube: Kube, proxy: Proxy, production: list[str]) -> None:
    made = proxy.call("POST", "/key/generate", json={"key_alias": "limited", "rpm_limit": 6}).json()["key"]
    replicas = Replicas(kube, production)
    statuses = replicas.statuses(12, made)
    assert statuses.count(200) == 6 and statuses.count(429) == 6, "the limit holds for both together"
    plain = proxy.call("POST", "/key/generate", json={"key_alias": "ending"}).json()["key"]
    assert replicas.statuses(4, plain) == [200] * 4
    proxy.call("POST", "/key/block", json={"key": plain})
    started = time.monotonic()
    assert eventually(lambda: replicas.statuses(2, plain) == [401, 401], timeout=30)
    assert time.monotonic() - started < 15, "without Redis it is a minute"
    proxy.call("POST", "/key/delete", json={"keys": [made, plain]})
    kube.apply(agent("fleeting"))
    kube.wait_ready("openclawagent", TEAM, "fleeting")
    held = kube.secret(TEAM, "fleeting-litellm")["LITELLM_API_KEY"]
    assert replicas.statuses(4, held) == [200] * 4
    kube.delete("openclawagent", TEAM, "fleeting")
    started = time.monotonic()
    assert eventually(lambda: replicas.statuses(2, held) == [401, 401], timeout=30)
    assert time.monotonic() - started < 15, "a key that was only deleted goes on at the other replica for a minute"
    keys = kube.run(
        "-n", AI, "exec", "redis", "--", "redis-cli", "-a", PASSWORD, "--no-auth-warning", "KEYS", "*"
    ).stdout
    assert keys.strip() and "This is gpt-4o." not in keys
    config = kube.must("configmap", AI, NAME)["data"]["config.yaml"]
    assert "os.environ/REDIS_URL" in config and PASSWORD not in config


def test_metrics_are_counted_and_a_pod_monitor_says_where(kube: Kube, production: list[str], scout: str) -> None:
    monitor = eventually(lambda: kube.get("podmonitor", AI, NAME))
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "http", "path": "/metrics/"}]
    key = kube.secret(TEAM, f"{scout}-litellm")["LITELLM_API_KEY"]
    assert Replicas(kube, production).statuses(2, key) == [200, 200]

    def counted() -> bool:
        for name in production:
            with kube.forward(AI, f"pod/{name}", 4000) as url:
                answer = httpx.get(f"{url}/metrics/", timeout=30, trust_env=False)
            assert answer.status_code == 200, answer.text[:200]
            assert "litellm_proxy_total_requests_metric_total" in answer.text and "gpt-4o" in answer.text
            assert key not in answer.text
        return True

    eventually(counted, timeout=30)


def test_an_autoscaler_takes_over_without_a_dip_and_is_not_fought(kube: Kube, production: list[str]) -> None:
    autoscaling = {"minReplicas": 1, "maxReplicas": 3, "targetCPUUtilization": 900}
    kube.patch("litellmroute", AI, "main", {"spec": {"managed": {"replicas": None, "autoscaling": autoscaling}}})
    autoscaler = eventually(lambda: kube.get("horizontalpodautoscaler", AI, NAME))
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == NAME
    kube.wait_ready("litellmroute", AI, "main")

    def handed_over() -> bool:
        return not _owns_replicas(kube)

    eventually(handed_over)
    deployment = kube.must("deployment", AI, NAME)
    assert deployment["spec"]["replicas"] == 2, "not one, which is the API server's default"
    assert sorted(eventually(lambda: running(kube))) == sorted(production)
    eventually(lambda: kube.get("poddisruptionbudget", AI, NAME) is None, what="one pod may be all there is")
    kube.run("-n", AI, "scale", "deployment", NAME, "--replicas=1")
    generation = kube.must("deployment", AI, NAME)["metadata"]["generation"]
    time.sleep(40)  # a route is looked at every thirty seconds
    after = kube.must("deployment", AI, NAME)
    assert after["spec"]["replicas"] == 1 and after["metadata"]["generation"] == generation
    kube.patch("litellmroute", AI, "main", {"spec": {"managed": {"replicas": 1, "autoscaling": None}}})
    eventually(lambda: kube.get("horizontalpodautoscaler", AI, NAME) is None and _owns_replicas(kube))


def _owns_replicas(kube: Kube) -> bool:
    text = kube.run("-n", AI, "get", "deployment", NAME, "-o", "json", "--show-managed-fields").stdout
    entries: list[dict[str, Any]] = json.loads(text)["metadata"]["managedFields"]
    return any(e["manager"] == "litclaw" and "f:replicas" in e["fieldsV1"].get("f:spec", {}) for e in entries)


def test_an_agent_is_made_meanwhile(kube: Kube, proxy: Proxy, production: list[str]) -> None:
    kube.apply(agent("meanwhile"))
    kube.wait_ready("openclawagent", TEAM, "meanwhile")
    assert proxy.chat(kube.secret(TEAM, "meanwhile-litellm")["LITELLM_API_KEY"]).status_code == 200
    kube.delete("openclawagent", TEAM, "meanwhile")
