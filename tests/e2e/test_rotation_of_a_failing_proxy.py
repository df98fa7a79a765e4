"""A proxy that fails in the middle of a rotation: the rotation waits and goes on, and agents keep their keys."""

import time
from collections.abc import Iterator

import pytest

from .kube import Kube
from .pods import python_server
from .proxy import Proxy
from .resources import AI, TEAM
from .test_agent_key import _key
from .test_delete import external
from .test_rotation import ROTATION, labelled, of, rotation, wait_phase
from .waiting import LONG_SECONDS, eventually

NAMES = [f"mood-{number}" for number in range(4)]


@pytest.fixture(scope="module")
def moody(kube: Kube, proxy: Proxy) -> Iterator[Proxy]:
    """A route through a LiteLLM whose failures a test can switch, and four agents of it."""
    server = python_server("moody", "moody", 8080)
    server[1]["spec"]["template"]["spec"]["containers"][0]["args"] += [
        "8080",
        f"main-litellm.{AI}.svc.cluster.local",
        "4000",
    ]
    kube.apply(*server)
    kube.run("-n", AI, "rollout", "status", "deployment/moody", "--timeout=300s")
    route = external("moody", "moody")
    route["spec"]["external"]["url"] = f"http://moody.{AI}.svc.cluster.local:8080"
    kube.apply(route, *[labelled(name, "mood", route="moody") for name in NAMES])
    for name in NAMES:
        kube.wait_ready("openclawagent", TEAM, name)
    door = Proxy(kube, AI, "moody", proxy.master_key, port=8080)
    yield door
    feel(door, "fine")
    kube.run("-n", TEAM, "delete", "openclawagent", *NAMES)
    kube.delete("litellmroute", AI, "moody")
    kube.run("-n", AI, "delete", "deployment,service,secret", "moody")
    door.close()


def feel(door: Proxy, mood: str) -> None:
    """Switch the proxy to a mood."""
    assert door.call("PUT", f"/mood/{mood}").status_code == 200


@pytest.mark.parametrize("mood", ["500", "429", "shut", "deaf", "silent"])
def test_it_waits_for_a_proxy_in_a_bad_mood_and_finishes(kube: Kube, proxy: Proxy, moody: Proxy, mood: str) -> None:
    before = {name: _key(kube, name) for name in NAMES}
    feel(moody, mood)
    name = f"mood-{mood}"
    kube.apply(rotation(name, **of("mood"), maxConcurrent=2))
    for _ in range(5):
        time.sleep(2)
        for agent_name in NAMES:
            assert proxy.chat(_key(kube, agent_name)).status_code == 200, "the key in the Secret is live"
    found = wait_phase(kube, name, "Running")
    assert found["failed"] == 0 and found["rotated"] == 0, found
    feel(moody, "fine")
    found = wait_phase(kube, name, "Retiring", timeout=LONG_SECONDS)
    assert (found["total"], found["rotated"], found["failed"]) == (4, 4, 0), found
    for agent_name, key in before.items():
        uid = kube.must("openclawagent", TEAM, agent_name)["metadata"]["uid"]
        assert _key(kube, agent_name) != key and proxy.chat(_key(kube, agent_name)).status_code == 200

        def one(uid: str = uid) -> bool:
            return len([row for row in proxy.rows(uid) if row["expires"] is None]) == 1

        eventually(one, what="one live key")
    kube.delete(ROTATION, "", name)


def test_a_database_that_is_away_for_a_minute_and_a_proxy_that_restarts(kube: Kube, proxy: Proxy) -> None:
    kube.apply(*[labelled(f"away-{number}", "away") for number in range(3)])
    names = [f"away-{number}" for number in range(3)]
    for name in names:
        kube.wait_ready("openclawagent", TEAM, name)
    before = {name: _key(kube, name) for name in names}
    [node] = [body["metadata"]["name"] for body in kube.list("nodes")]
    kube.run("cordon", node)
    try:
        kube.run("-n", AI, "delete", "pod", "main-postgres-0", "--grace-period=1")
        kube.apply(rotation("away", **of("away")))
        ended = time.monotonic() + 60
        while time.monotonic() < ended:
            assert {name: _key(kube, name) for name in names} == before
            time.sleep(5)
        found = eventually(lambda: kube.must(ROTATION, "", "away")["status"])
        assert found["rotated"] == 0, found
        proxies = "app.kubernetes.io/instance=main,app.kubernetes.io/component=proxy"
        kube.run("-n", AI, "delete", "pod", "-l", proxies, "--grace-period=1")
    finally:
        kube.run("uncordon", node)
    found = wait_phase(kube, "away", "Retiring", timeout=LONG_SECONDS)
    assert (found["total"], found["rotated"], found["failed"]) == (3, 3, 0), found
    assert all(proxy.chat(_key(kube, name)).status_code == 200 for name in names)
    kube.wait_ready("litellmroute", AI, "main")
    kube.run("-n", TEAM, "delete", "openclawagent", *names)
    kube.delete(ROTATION, "", "away")
