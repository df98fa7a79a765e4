"""No call is refused while a managed proxy's pods are replaced, with one replica and with two.

A setting, the image, the master key, an evicted pod, another operator: what can happen at one time happens at one time here,
because each roll-out takes as long as a LiteLLM takes to start.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_kind import KindCluster

from dev.cluster import images

from .api import Object
from .database import let_in, own_database
from .kube import Kube
from .node import also_named
from .pods import pod
from .proxy import Proxy
from .resources import AI, MODELS, TEAM, agent, managed_route
from .test_rotation import ROTATION, rotation, wait_phase
from .waiting import LONG_SECONDS, eventually

NAME = "roller"
DEPLOYMENT = f"{NAME}-litellm"
CALLER = f"caller-{NAME}"
CALLS_PER_SECOND = 20
SLOWNESS = 10
"""While pods start on a busy machine, a call may take seconds, and the caller makes one after another in each of its threads."""
STARTS = "Waiting for application startup"
"""LiteLLM's log when it has imported everything, which takes most of the time that it needs to start."""
SYSTEM = "litclaw-system"
PYTHON = "/opt/litclaw/bin/python"
SCRIPT = Path(__file__).parent / "servers" / "caller.py"


@pytest.fixture(scope="module")
def roller(kube: Kube, proxy: Proxy) -> Iterator[None]:
    """A route with an agent, and a pod that calls it all the time, each call by a connection of its own."""
    kube.apply(own_database(kube, NAME), let_in(NAME))
    by_default = {"terminationGracePeriodSeconds": None}
    managed = {"database": {"secretRef": {"name": f"{NAME}-db", "key": "URL"}}, **by_default}
    kube.apply(managed_route(NAME, managed=managed, models=MODELS))
    kube.wait_ready("litellmroute", AI, NAME, timeout=LONG_SECONDS)
    kube.apply(agent(NAME, route=NAME))
    kube.wait_ready("openclawagent", TEAM, NAME)
    url = f"http://{DEPLOYMENT}.{AI}.svc.cluster.local:4000"
    command = [PYTHON, "-c", SCRIPT.read_text(), "/key/LITELLM_API_KEY", url, str(CALLS_PER_SECOND)]
    body = pod(CALLER, images()["operator"], command, 65534, TEAM)
    [container] = body["spec"]["containers"]
    container["volumeMounts"] = [{"name": "key", "mountPath": "/key"}]
    body["spec"]["volumes"] = [{"name": "key", "secret": {"secretName": f"{NAME}-litellm"}}]
    kube.apply(body)
    eventually(lambda: seen(kube)["calls"] > CALLS_PER_SECOND)
    yield
    kube.delete("pod", TEAM, CALLER, "--grace-period=1")
    kube.run("delete", ROTATION, f"{NAME}-1", f"{NAME}-2", "--ignore-not-found")
    kube.delete("openclawagent", TEAM, NAME)
    kube.delete("litellmroute", AI, NAME, "--cascade=foreground")
    kube.delete("secret", AI, f"{NAME}-db")
    kube.delete("networkpolicy", AI, f"{NAME}-reaches-main-postgres")


@pytest.fixture(scope="module")
def another_image(kind_cluster: KindCluster, roller: None) -> str:
    """The proxy's image by another name, as a release has another tag."""
    name = f"{images()['litellm']}-again"
    also_named(kind_cluster.name, images()["litellm"], name)
    return name


def seen(kube: Kube) -> Object:
    """The counts of the caller."""
    lines = kube.run("-n", TEAM, "logs", CALLER, "--tail=1", check=False).stdout.splitlines()
    assert lines, "it hasn't called yet"
    found: Object = json.loads(lines[-1])
    return found


def pods(kube: Kube) -> dict[str, Object]:
    """The proxy's pods that aren't about to end, by name."""
    found = kube.list("pods", "-l", f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=proxy")
    return {body["metadata"]["name"]: body for body in found if "deletionTimestamp" not in body["metadata"]}


def replace(kube: Kube, replicas: int, change: Callable[[], object], meanwhile: Callable[[set[str]], object]) -> None:
    """Change something, and wait until other pods have taken the place of all. Those of before may still end.

    Args:
        replicas: how many pods there are then.
        meanwhile: called with the names of the pods of before, when the first new one runs.
    """
    before = set(pods(kube))

    def first_runs() -> bool:
        [new, *_] = [body for name, body in pods(kube).items() if name not in before]
        return "running" in new["status"]["containerStatuses"][0]["state"]

    def replaced() -> bool:
        deployment = kube.must("deployment", AI, DEPLOYMENT)
        status, now = deployment["status"], set(pods(kube))
        assert status["observedGeneration"] == deployment["metadata"]["generation"]
        counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
        assert not now & before and len(now) == replicas and counts == [replicas] * 3, (now, before, counts)
        return True

    change()
    eventually(first_runs, timeout=LONG_SECONDS)
    meanwhile(before)
    eventually(replaced, timeout=LONG_SECONDS)
    assert seen(kube)["failures"] == []


def evict(kube: Kube, names: set[str]) -> None:
    """Evict one of some pods that is ready, as the drain of its node does."""

    def evicted() -> bool:
        left = names & set(pods(kube))
        if not left:
            return True  # the roll-out was faster, and ends it itself
        name = min(left)
        meta = {"name": name, "namespace": AI}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        path = f"/api/v1/namespaces/{AI}/pods/{name}/eviction"
        done = kube.run("create", "--raw", path, "-f", "-", stdin=json.dumps(body), check=False)
        assert not done.returncode, done.stderr  # the PodDisruptionBudget may need a moment
        return True

    eventually(evicted)


def patch(kube: Kube, **spec: object) -> None:
    """Change the route."""
    kube.patch("litellmroute", AI, NAME, {"spec": spec})


def rotate_master_key(kube: Kube, replicas: int) -> None:
    """Ask for another master key."""
    where = {"name": NAME, "namespace": AI}
    kube.apply(rotation(f"{NAME}-{replicas}", what=["MasterKeys"], routeRef=where))


def upgrade(kube: Kube, change: Callable[[], object]) -> None:
    """Stop the operator, and start one that wants other pods than the one before, because something has changed meanwhile."""
    kube.run("-n", SYSTEM, "scale", "deployment/litclaw", "--replicas=0")
    try:
        kube.run("-n", SYSTEM, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=litclaw", "--timeout=300s")
        change()
    finally:
        kube.run("-n", SYSTEM, "scale", "deployment/litclaw", "--replicas=2")


def nothing(_: object) -> None:
    """Nothing happens meanwhile."""


def test_not_one_call_is_refused_with_one_replica(kube: Kube, roller: None, another_image: str) -> None:
    def setting_and_image() -> None:
        patch(kube, routerSettings={"num_retries": 1}, managed={"image": another_image})

    def evict_the_only_one(before: set[str]) -> None:
        # It answers for another two minutes. On a machine that runs several clusters its successor may take longer to start,
        # but not once it has imported everything.
        [new] = set(pods(kube)) - before
        eventually(lambda: STARTS in kube.run("-n", AI, "logs", new).stdout, timeout=LONG_SECONDS)
        evict(kube, before)

    replace(kube, 1, lambda: upgrade(kube, setting_and_image), nothing)
    replace(kube, 1, lambda: rotate_master_key(kube, 1), evict_the_only_one)
    wait_phase(kube, f"{NAME}-1", "Completed", timeout=LONG_SECONDS)
    assert seen(kube)["failures"] == [], "the last old pod has ended"


def test_not_one_call_is_refused_with_two_replicas(kube: Kube, roller: None, another_image: str) -> None:
    managed = {"replicas": 2, "terminationGracePeriodSeconds": 60}
    replace(kube, 2, lambda: patch(kube, routerSettings={"num_retries": 2}, managed=managed), nothing)

    def image_and_master_key() -> None:
        patch(kube, managed={"image": None})
        rotate_master_key(kube, 2)

    replace(kube, 2, lambda: upgrade(kube, image_and_master_key), lambda before: evict(kube, before))
    wait_phase(kube, f"{NAME}-2", "Completed", timeout=LONG_SECONDS)
    found = seen(kube)
    assert found["failures"] == [], "the last old pod has ended"
    assert found["calls"] > found["seconds"] * CALLS_PER_SECOND / SLOWNESS, found
    kube.wait_ready("litellmroute", AI, NAME)


def test_a_port_that_is_given_up_still_answers(kube: Kube, roller: None) -> None:
    failures = seen(kube)["failed"]
    patch(kube, managed={"port": 4100})
    eventually(lambda: kube.must("litellmroute", AI, NAME)["status"]["url"].endswith(":4100"))
    eventually(lambda: kube.wait_ready("openclawagent", TEAM, NAME))
    calls = seen(kube)["calls"]
    eventually(lambda: seen(kube)["calls"] > calls + 20)
    assert seen(kube)["failed"] == failures, "the caller goes on at the former port"
