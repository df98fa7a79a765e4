"""No call is refused while a managed proxy's pods are replaced, with one replica and with two."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.cluster import images

from .api import Object
from .database import let_in, own_database
from .kube import Kube
from .pods import pod
from .proxy import Proxy
from .resources import AI, MODELS, TEAM, agent, managed_route
from .test_rotation import ROTATION, rotation, wait_phase
from .waiting import LONG_SECONDS, eventually

NAME = "roller"
DEPLOYMENT = f"{NAME}-litellm"
CALLER = f"caller-{NAME}"
PYTHON = "/opt/litclaw/bin/python"
SCRIPT = Path(__file__).parent / "servers" / "caller.py"


@pytest.fixture(scope="module")
def roller(kube: Kube, proxy: Proxy) -> Iterator[None]:
    """A route with an agent, and a pod that calls it all the time, each call by a connection of its own."""
    kube.apply(own_database(kube, NAME), let_in(NAME))
    managed = {"database": {"secretRef": {"name": f"{NAME}-db", "key": "URL"}}}
    kube.apply(managed_route(NAME, managed=managed, models=MODELS))
    kube.wait_ready("litellmroute", AI, NAME, timeout=LONG_SECONDS)
    kube.apply(agent(NAME, route=NAME))
    kube.wait_ready("openclawagent", TEAM, NAME)
    url = f"http://{DEPLOYMENT}.{AI}.svc.cluster.local:4000"
    command = [PYTHON, "-c", SCRIPT.read_text(), "/key/LITELLM_API_KEY", url]
    body = pod(CALLER, images()["operator"], command, 65534, TEAM)
    [container] = body["spec"]["containers"]
    container["volumeMounts"] = [{"name": "key", "mountPath": "/key"}]
    body["spec"]["volumes"] = [{"name": "key", "secret": {"secretName": f"{NAME}-litellm"}}]
    kube.apply(body)
    eventually(lambda: seen(kube)["calls"] > 10)
    yield
    kube.delete("pod", TEAM, CALLER, "--grace-period=1")
    kube.delete("openclawagent", TEAM, NAME)
    kube.delete("litellmroute", AI, NAME, "--cascade=foreground")
    kube.delete("secret", AI, f"{NAME}-db")
    kube.delete("networkpolicy", AI, f"{NAME}-reaches-main-postgres")


def seen(kube: Kube) -> Object:
    """The counts of the caller."""
    lines = kube.run("-n", TEAM, "logs", CALLER, "--tail=1", check=False).stdout.splitlines()
    assert lines, "it hasn't called yet"
    found: Object = json.loads(lines[-1])
    return found


def pods(kube: Kube) -> list[Object]:
    """The proxy's pods, also those that end."""
    return kube.list("pods", "-l", f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=proxy")


def names(kube: Kube) -> set[str]:
    """The names of the proxy's pods."""
    return {body["metadata"]["name"] for body in pods(kube)}


def replaced(kube: Kube, before: set[str], replicas: int) -> bool:
    """Whether no pod of before is left, and all of now are ready."""
    status = kube.must("deployment", AI, DEPLOYMENT)["status"]
    now = names(kube)
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
    return not now & before and len(now) == replicas and counts == [replicas] * 3


@pytest.mark.parametrize("replicas", [1, 2])
def test_not_one_call_is_refused(kube: Kube, roller: None, replicas: int) -> None:
    def settled(what: str, before: set[str]) -> None:
        eventually(lambda: replaced(kube, before, replicas), timeout=LONG_SECONDS, what=what)
        calls = seen(kube)["calls"]
        eventually(lambda: seen(kube)["calls"] > calls + 20)
        assert seen(kube)["failures"] == [], what

    def change(**spec: object) -> None:
        before = names(kube)
        kube.patch("litellmroute", AI, NAME, {"spec": spec})
        settled(str(spec), before)

    kube.patch("litellmroute", AI, NAME, {"spec": {"managed": {"replicas": replicas}}})
    settled("the replicas", set())
    change(routerSettings={"num_retries": 1 + replicas})
    change(managed={"podAnnotations": {"example.com/turn": str(replicas)}})

    before = names(kube)
    kube.apply(rotation(f"{NAME}-{replicas}", what=["MasterKeys"], routeRef={"name": NAME, "namespace": AI}))
    settled("the master key", before)
    wait_phase(kube, f"{NAME}-{replicas}", "Completed", timeout=LONG_SECONDS)

    evicted = min(names(kube))
    kube.run("-n", AI, "delete", "pod", evicted, "--wait=false")  # with its own grace period, as an eviction
    settled("an evicted pod", {evicted})
    kube.wait_ready("litellmroute", AI, NAME)
    kube.delete(ROTATION, "", f"{NAME}-{replicas}")


def test_a_port_that_is_given_up_still_answers(kube: Kube, roller: None) -> None:
    failures = seen(kube)["failed"]
    kube.patch("litellmroute", AI, NAME, {"spec": {"managed": {"port": 4100}}})
    eventually(lambda: kube.must("litellmroute", AI, NAME)["status"]["url"].endswith(":4100"))
    eventually(lambda: kube.wait_ready("openclawagent", TEAM, NAME))
    calls = seen(kube)["calls"]
    eventually(lambda: seen(kube)["calls"] > calls + 50)
    assert seen(kube)["failed"] == failures, "the caller goes on at the former port"
