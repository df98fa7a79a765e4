"""A proxy that hangs, drips, lists without end, answers too much or something odd affects only its own agents."""

import json
import time
from collections.abc import Iterator

import pytest

from .api import Object
from .kube import Kube
from .pods import python_server
from .proxy import Proxy
from .resources import AI, TEAM, agent, resource, secret
from .waiting import eventually

WAYS = ("hang", "drip", "huge", "endless", "odd", "stuck")
AGENTS = 20
"""More than the operator has workers."""


@pytest.fixture(scope="module")
def routes(kube: Kube, proxy: Proxy) -> Iterator[None]:
    """Two routes to each such proxy, and many agents of the one that gets stuck."""
    kube.apply(secret("hard", LITELLM_MASTER_KEY="sk-the-master-key-of-hard-proxies"))
    kube.apply(*python_server("overwhelming", "overwhelming", 8080))
    kube.run("-n", AI, "rollout", "status", "deployment/overwhelming", "--timeout=300s")
    reference = {"name": "hard", "key": "LITELLM_MASTER_KEY"}
    for way in WAYS:
        url = f"http://overwhelming.ai.svc.cluster.local:8080/{way}"
        spec = {"external": {"url": url, "masterKeySecretRef": reference}, "allowedNamespaces": {"from": "All"}}
        kube.apply(*(resource("LiteLLMRoute", f"{way}-{number}", AI, spec) for number in range(2)))
    kube.apply(*(agent(f"stuck-{number}", route="stuck-0") for number in range(AGENTS)))
    yield
    agents = [f"stuck-{number}" for number in range(AGENTS)]
    kube.run("-n", TEAM, "delete", "oca", *agents, "--wait=false")
    kube.run("-n", AI, "delete", "llr", *(f"{way}-{number}" for way in WAYS for number in range(2)))
    kube.run("-n", TEAM, "wait", "--for=delete", *(f"oca/{name}" for name in agents), "--timeout=600s")
    kube.run("-n", AI, "delete", "deployment,service,secret", "overwhelming")


def _pods(kube: Kube) -> list[Object]:
    return kube.list("pods", "-l", "app.kubernetes.io/name=litclaw")


def _restarts(kube: Kube) -> int:
    return sum(each["restartCount"] for pod in _pods(kube) for each in pod["status"]["containerStatuses"])


def _ready_after(kube: Kube, name: str) -> float:
    """Create an agent at the healthy proxy, and return the seconds until it is ready."""
    began = time.monotonic()
    kube.apply(agent(name))
    kube.wait_ready("openclawagent", TEAM, name)
    took = time.monotonic() - began
    kube.delete("openclawagent", TEAM, name)
    return took


def test_each_is_reported_at_its_own_route(kube: Kube, routes: None) -> None:
    wanted = {"hang": "Unreachable", "drip": "Unreachable", "huge": "NotLiteLLM", "odd": "NotLiteLLM"}
    for way, reason in wanted.items():
        for number in range(2):
            kube.wait_condition("litellmroute", AI, f"{way}-{number}", "ProxyReady", "False", reason)
    kube.wait_ready("litellmroute", AI, "stuck-0")
    kube.wait_condition("openclawagent", TEAM, "stuck-0", "KeyReady", "False", "ProxyUnavailable")


def test_agents_of_another_proxy_are_created_changed_and_repaired_meanwhile(kube: Kube, routes: None) -> None:
    restarts = _restarts(kube)
    # Each agent of the stuck proxy is reconciled again and again, and its call hangs for half a minute.
    for turn in range(3):
        for number in range(AGENTS):
            limits = {"spec": {"key": {"rpmLimit": 10 + turn}}}
            kube.patch("openclawagent", TEAM, f"stuck-{number}", limits)
        # A worker that waits for the stuck proxy is taken for 30 s; ten healthy agents would need minutes then.
        took = [_ready_after(kube, f"healthy-{turn}-{number}") for number in range(10)]
        assert sum(took) < 120, took
    kube.apply(agent("healthy"))
    kube.wait_ready("openclawagent", TEAM, "healthy")
    before = kube.secret(TEAM, "healthy-litellm")
    kube.delete("secret", TEAM, "healthy-litellm")
    eventually(lambda: kube.secret(TEAM, "healthy-litellm") != before, what="a new key in the Secret")
    kube.delete("openclawagent", TEAM, "healthy")
    assert _restarts(kube) == restarts
    for pod in _pods(kube):
        assert pod["status"]["phase"] == "Running", json.dumps(pod["status"])
