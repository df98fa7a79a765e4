"""A managed route's optional parts: replicas, an autoscaler, Redis, metrics, no dashboard."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from dev.cluster import ROOT, Cluster, docker_runs

from .images import REDIS_IMAGE
from .kube import Kube
from .main_route import main_route
from .pods import pod
from .prometheus import pod_monitors
from .proxy import Proxy
from .resources import AI, TEAM, agent
from .waiting import LONG_SECONDS, eventually

NAME = "main-litellm"
PROXY_PODS = "app.kubernetes.io/instance=main,app.kubernetes.io/component=proxy"
PASSWORD = "not-a-real-password"
OPTIONAL = ("horizontalpodautoscaler", "poddisruptionbudget", "podmonitor")
CACHED_SECONDS = 60.0
"""A replica without Redis accepts a key that it has seen for so long after the key's end."""


def running(kube: Kube) -> list[str]:
    """The proxy's pods, if all are ready and of the current template.

    Raises:
        AssertionError: they are still changing.
    """
    deployment = kube.must("deployment", AI, NAME)
    status = deployment.get("status") or {}
    wanted = deployment["spec"]["replicas"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
    assert status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == [wanted] * 3, counts
    found = kube.list("pods", "-l", PROXY_PODS)
    pods = [body["metadata"]["name"] for body in found if "deletionTimestamp" not in body["metadata"]]
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
    kube.run("-n", AI, "wait", "--for=condition=Ready", "pod/redis", "--timeout=300s")
    yield
    for kind in ("pod", "service", "secret"):
        kube.delete(kind, AI, "redis")


@pytest.fixture(scope="module")
def production(kube: Kube, proxy: Proxy, redis: None) -> Iterator[list[str]]:
    """The pods of the route ``main``, with two replicas, Redis, metrics and no dashboard; it is reset afterwards."""
    kube.apply(pod_monitors())
    managed = {
        "replicas": 2,
        "redis": {"secretRef": {"name": "redis", "key": "REDIS_URL"}},
        "monitoring": {"enabled": True},
        "dashboard": {"enabled": False},
    }
    kube.patch("litellmroute", AI, "main", {"spec": {"managed": managed}})
    yield eventually(lambda: kube.wait_ready("litellmroute", AI, "main") and running(kube), timeout=LONG_SECONDS)
    reset = {key: None for key in ("replicas", "autoscaling", "redis", "monitoring", "dashboard", "networkPolicy")}
    kube.patch("litellmroute", AI, "main", {"spec": {"managed": reset, "allowedNamespaces": {"from": "All"}}})
    kube.apply(main_route())
    eventually(lambda: kube.wait_ready("litellmroute", AI, "main") and len(running(kube)) == 1, timeout=LONG_SECONDS)
    eventually(lambda: all(kube.get(kind, AI, NAME) is None for kind in OPTIONAL))
    kube.delete("crd", AI, "podmonitors.monitoring.coreos.com")


class Replicas:
    """Access to each of the proxy's pods."""

    def __init__(self, kube: Kube, pods: list[str]) -> None:
        self.kube = kube
        self.pods = pods

    def statuses(self, requests: int, key: str) -> list[int]:
        """The status codes of some completions, from the pods in turn."""
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
        first, second = self.pods
        with (
            self.kube.forward(AI, f"pod/{first}", 4000) as one,
            self.kube.forward(AI, f"pod/{second}", 4000) as two,
            httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False) as client,
        ):
            paths = [f"{(one, two)[turn % 2]}/v1/chat/completions" for turn in range(requests)]
            return [client.post(path, json=body).status_code for path in paths]

    def forget(self, key: str, end: Callable[[], object]) -> bool:
        """Whether both pods refuse a key sooner after its end than they would without Redis.

        Args:
            end: ends the key.
        """
        cached = time.monotonic()
        assert self.statuses(4, key) == [200] * 4
        end()
        eventually(lambda: self.statuses(2, key) == [401, 401])
        return time.monotonic() < cached + CACHED_SECONDS


def test_two_replicas_are_spread_and_outlive_a_drain(kube: Kube, production: list[str]) -> None:
    budget = kube.must("poddisruptionbudget", AI, NAME)
    assert budget["spec"]["minAvailable"] == 1
    eventually(lambda: kube.must("poddisruptionbudget", AI, NAME)["status"].get("disruptionsAllowed") == 1)
    [spread] = kube.must("deployment", AI, NAME)["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")


def test_redis_shares_limits_and_the_end_of_a_key(kube: Kube, proxy: Proxy, production: list[str]) -> None:
    made: list[str] = []

    def new_key(**limits: int) -> str:
        body = {"key_alias": f"by-hand-{len(made)}", **limits}
        made.append(proxy.call("POST", "/key/generate", json=body).json()["key"])
        return made[-1]

    replicas = Replicas(kube, production)

    def shared() -> bool:
        statuses = replicas.statuses(12, new_key(rpm_limit=6))
        assert (statuses.count(200), statuses.count(429)) == (6, 6), statuses
        return True

    # LiteLLM's minute may end in between, so that the count begins again.
    eventually(shared, what="the limit holds for both together")
    plain = new_key()
    assert replicas.forget(plain, lambda: proxy.call("POST", "/key/block", json={"key": plain}))
    proxy.call("POST", "/key/delete", json={"keys": made})
    kube.apply(agent("fleeting"))
    kube.wait_ready("openclawagent", TEAM, "fleeting")
    key = kube.secret(TEAM, "fleeting-litellm")["LITELLM_API_KEY"]
    # Without being blocked first, a deleted key would be accepted by the other replica for a minute.
    assert replicas.forget(key, lambda: kube.delete("openclawagent", TEAM, "fleeting"))
    keys = kube.run(
        "-n", AI, "exec", "redis", "--", "redis-cli", "-a", PASSWORD, "--no-auth-warning", "KEYS", "*"
    ).stdout
    assert keys.strip() and "This is gpt-4o." not in keys
    config = kube.must("configmap", AI, NAME)["data"]["config.yaml"]
    assert "os.environ/REDIS_URL" in config and PASSWORD not in config


def test_metrics_are_counted_and_a_pod_monitor_says_where(kube: Kube, production: list[str], scout: str) -> None:
    monitor = eventually(lambda: kube.get("podmonitor", AI, NAME))
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "http", "path": "/metrics/"}]
    [rule] = kube.must("networkpolicy", AI, NAME)["spec"]["ingress"]
    prometheus = {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}
    allowed = {"matchLabels": {"litclaw.dev/metrics": "allowed"}}
    assert {"namespaceSelector": allowed, "podSelector": prometheus} in rule["from"]
    key = kube.secret(TEAM, f"{scout}-litellm")["LITELLM_API_KEY"]
    assert Replicas(kube, production).statuses(2, key) == [200, 200]

    def counted() -> bool:
        for name in production:
            with kube.forward(AI, f"pod/{name}", 4000) as url:
                answer = httpx.get(f"{url}/metrics/", timeout=60, trust_env=False)
            assert answer.status_code == 200, answer.text[:200]
            assert "litellm_proxy_total_requests_metric_total" in answer.text and "gpt-4o" in answer.text
            assert key not in answer.text
        return True

    eventually(counted)


def test_a_dashboard_that_is_turned_off_lets_nobody_sign_in(proxy: Proxy, production: list[str]) -> None:
    assert proxy.call("GET", "/.well-known/litellm-ui-config").json()["admin_ui_disabled"] is True
    assert "Admin UI is Disabled" in proxy.call("GET", "/sso/key/generate").text
    assert proxy.sign_in(proxy.master_key) == 401
    assert proxy.call("GET", "/key/list").status_code == 200, "the API is as before"


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
    assert deployment["spec"]["replicas"] == 2, "not 1, the API server's default"
    assert sorted(eventually(lambda: running(kube))) == sorted(production)
    eventually(lambda: kube.get("poddisruptionbudget", AI, NAME) is None, what="there may be only one pod")
    kube.run("-n", AI, "scale", "deployment", NAME, "--replicas=1")
    generation = kube.must("deployment", AI, NAME)["metadata"]["generation"]
    for _ in range(2):  # a pass that repairs this begins after the scaling; the second one, after the first has ended
        kube.delete("networkpolicy", AI, NAME)
        eventually(lambda: kube.get("networkpolicy", AI, NAME), what="a pass")
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
