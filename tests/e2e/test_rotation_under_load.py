"""Rotation while agents work, and while the operator dies: no request fails, and each agent has one live key."""

import json
import threading
import time
from collections import Counter
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
from .test_agent_key import _key
from .test_rotation import ROTATION, ask, labelled, of, rotation, status, wait_phase
from .waiting import LONG_SECONDS, eventually

NAME = "duo"
ROUNDS = 5
CALLS = 20
"""Each caller makes so many calls in each round."""
AGENTS = 36
WORKERS = ("one", "two", "three")
PYTHON = "/opt/litclaw/bin/python"
SERVERS = Path(__file__).parent / "servers"


@pytest.fixture(scope="module")
def duo(kube: Kube, proxy: Proxy) -> Iterator[Proxy]:
    """A route for these tests with two replicas and no Redis, so each learns late of changes made at the other."""
    kube.apply(own_database(kube, NAME), let_in(NAME))
    managed = {"replicas": 2, "database": {"secretRef": {"name": "duo-db", "key": "URL"}}}
    kube.apply(managed_route(NAME, managed=managed, models=MODELS))
    kube.wait_ready("litellmroute", AI, NAME, timeout=LONG_SECONDS)
    kube.run("-n", AI, "rollout", "status", f"deployment/{NAME}-litellm", "--timeout=600s")
    yield Proxy(kube, AI, f"{NAME}-litellm", kube.secret(AI, f"{NAME}-master-key")["LITELLM_MASTER_KEY"])
    kube.delete("litellmroute", AI, NAME, "--cascade=foreground")
    kube.delete("secret", AI, "duo-db")
    kube.delete("networkpolicy", AI, f"{NAME}-reaches-main-postgres")


def replicas(kube: Kube) -> list[str]:
    """The names of the proxy's pods."""
    found = kube.list("pods", "-l", f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=proxy")
    return [body["metadata"]["name"] for body in found if "deletionTimestamp" not in body["metadata"]]


def every_replica(kube: Kube, duo: Proxy) -> list[Proxy]:
    """A client for each of the proxy's pods."""
    found = [Proxy(kube, AI, name, duo.master_key, target="pod") for name in replicas(kube)]
    assert len(found) == 2
    return found


def caller(name: str) -> Object:
    """A pod that calls the proxy with the key in its mounted Secret."""
    file, url = "/key/LITELLM_API_KEY", f"http://{NAME}-litellm.{AI}.svc.cluster.local:4000"
    script = (SERVERS / "caller.py").read_text()
    body = pod(f"caller-{name}", images()["operator"], [PYTHON, "-c", script, file, url], 65534, TEAM)
    [container] = body["spec"]["containers"]
    container["volumeMounts"] = [{"name": "key", "mountPath": "/key"}]
    body["spec"]["volumes"] = [{"name": "key", "secret": {"secretName": f"{name}-litellm"}}]
    return body


def seen(kube: Kube, name: str) -> Object:
    """The counts of a caller."""
    lines = kube.run("-n", TEAM, "logs", f"caller-{name}", "--tail=1", check=False).stdout.splitlines()
    assert lines, "it hasn't called yet"
    found: Object = json.loads(lines[-1])
    return found


def turn(kube: Kube, name: str) -> str:
    """A turn of the real OpenClaw in an agent's gateway.

    OpenClaw 2026.9.6 refuses a turn that starts in the instant in which it reads its secrets again, before it calls any
    model (docs/rotation.md); such a turn is repeated once.
    """
    where = ("-n", TEAM, "exec", f"deployment/{name}-openclaw", "-c", "openclaw", "--")
    command = ("node", "openclaw.mjs", "agent", "--agent", "main", "--json", "--message", "Hello")
    for _ in range(2):
        done = kube.run(*where, *command, check=False)
        answer = done.stdout + done.stderr
        if "plugin generation was superseded" not in answer:
            break
    return answer


def test_not_one_request_fails_while_every_key_is_rotated_five_times(kube: Kube, duo: Proxy) -> None:
    kube.apply(
        *[labelled(name, "load", route=NAME, defaultModel="gpt-4o", gateway={"storage": "1Gi"}) for name in WORKERS]
    )
    for name in WORKERS:
        kube.wait_ready("openclawagent", TEAM, name, timeout=LONG_SECONDS)
    assert all("This is gpt-4o." in turn(kube, name) for name in WORKERS)
    kube.run("-n", TEAM, "delete", "pod", *[f"caller-{name}" for name in WORKERS], "--ignore-not-found")
    kube.apply(*[caller(name) for name in WORKERS])
    for name in WORKERS:
        eventually(lambda name=name: seen(kube, name)["calls"] > 10)
    first = {name: _key(kube, name) for name in WORKERS}
    answers: list[tuple[str, str]] = []
    stop = threading.Event()

    def take_turns() -> None:
        while not stop.is_set():
            for name in WORKERS:
                answers.append((name, turn(kube, name)))
            time.sleep(3)

    turns = threading.Thread(target=take_turns)
    turns.start()
    try:
        for number in range(ROUNDS):
            kube.apply(rotation(f"round-{number}", **of("load"), gracePeriod="30s"))
            found = wait_phase(kube, f"round-{number}", "Retiring")
            assert (found["total"], found["rotated"], found["failed"]) == (3, 3, 0), found
            counts = {name: seen(kube, name)["calls"] for name in WORKERS}
            eventually(lambda counts=counts: all(seen(kube, name)["calls"] > counts[name] + CALLS for name in WORKERS))
        for number in range(ROUNDS):
            wait_phase(kube, f"round-{number}", "Completed", timeout=LONG_SECONDS)
        eventually(lambda: len(answers) >= 2 * len(WORKERS), timeout=LONG_SECONDS, what="turns of each agent")
    finally:
        stop.set()
        turns.join()
    assert [each for each in answers if "This is gpt-4o." not in each[1]] == []
    for name in WORKERS:
        found = seen(kube, name)
        assert found["failures"] == [] and found["keys"] >= 2 and found["calls"] > ROUNDS * CALLS, found
        assert status(kube, name)["key"]["generation"] == ROUNDS + 1
        assert "This is gpt-4o." in turn(kube, name)
    for replica in every_replica(kube, duo):
        for name in WORKERS:
            assert replica.chat(first[name]).status_code == 401 and replica.chat(_key(kube, name)).status_code == 200
        replica.close()
    kube.run("-n", TEAM, "delete", "pod", *[f"caller-{name}" for name in WORKERS])
    kube.run("-n", TEAM, "delete", "openclawagent", *WORKERS)
    kube.run("delete", ROTATION, *[f"round-{number}" for number in range(ROUNDS)])


def operator_pod() -> Object:
    """A pod in place of the operator's, in which operators are started and die."""
    body = pod("dying", images()["operator"], [PYTHON, "-c", "import time; time.sleep(3600)"], 65532, "litclaw-system")
    body["metadata"]["labels"]["app.kubernetes.io/name"] = "litclaw"
    body["spec"]["serviceAccountName"] = "litclaw"
    return body


def live(kube: Kube, duo: Proxy, name: str) -> tuple[Object, list[Object]]:
    """An agent's one live key, and the others."""
    rows = duo.rows(kube.must("openclawagent", TEAM, name)["metadata"]["uid"])
    [row] = [row for row in rows if row["expires"] is None]
    return row, [other for other in rows if other is not row]


def takes(proxy: Proxy, key: str) -> bool:
    """Whether a proxy accepts a key, by a call that costs nothing."""
    return proxy.call("GET", "/v1/models", key=key).status_code == 200


def test_killed_at_every_boundary_each_agent_has_one_live_key(kube: Kube, duo: Proxy) -> None:
    script = (SERVERS / "dying_operator.py").read_text()
    key = {"maxBudget": "5", "rotation": {"gracePeriod": "1h"}}
    kube.apply(*[agent(f"kill-{number:02}", route=NAME, key=key) for number in range(AGENTS)])
    agents = [f"kill-{number:02}" for number in range(AGENTS)]
    for name in agents:
        kube.wait_ready("openclawagent", TEAM, name)
        assert duo.chat(_key(kube, name)).status_code == 200
    spent = {name: eventually(lambda name=name: float(status(kube, name)["spend"])) for name in agents}
    kube.run("-n", "litclaw-system", "scale", "deployment/litclaw", "--replicas=0")
    kube.run(
        "-n", "litclaw-system", "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=litclaw", "--timeout=300s"
    )
    kube.apply(operator_pod())
    kube.run("-n", "litclaw-system", "wait", "--for=condition=Ready", "pod/dying", "--timeout=300s")

    def run(name: str, boundary: str) -> list[str]:
        ask(kube, name, f"killed at {boundary}")
        command = (PYTHON, "-c", script, name, boundary)
        done = kube.run("-n", "litclaw-system", "exec", "dying", "--", *command, check=False)
        return [line for line in done.stdout.splitlines() if line]

    try:
        boundaries = list(dict.fromkeys(run(agents[0], "-")))
        assert len(boundaries) >= 16 and "1 after POST /key/generate" in boundaries, boundaries
        assert len(boundaries) < len(agents), boundaries
        for name, boundary in zip(agents[1:], boundaries, strict=False):
            assert run(name, boundary)[-1] == boundary
            assert takes(duo, _key(kube, name)), f"the key in the Secret is live, killed {boundary}"
    finally:
        kube.delete("pod", "litclaw-system", "dying")
        kube.run("-n", "litclaw-system", "scale", "deployment/litclaw", "--replicas=2")
    both = every_replica(kube, duo)
    for name, boundary in zip(agents[1:], boundaries, strict=False):

        def settled(name: str = name) -> bool:
            row, others = live(kube, duo, name)
            found = status(kube, name)
            assert found["key"]["hash"] == row["token"][:8], "the status names the live key"
            assert found["lastHandledRotation"].startswith("killed at "), found
            assert len(others) == 1, "the former key, with an end, and no orphan"
            return True

        eventually(settled, what=f"one live key, killed {boundary}")
        row, _ = live(kube, duo, name)
        assert row["spend"] == pytest.approx(spent[name]), f"the spend, killed {boundary}"
        assert all(takes(replica, _key(kube, name)) for replica in both)
    for replica in both:
        replica.close()
    alone = Counter(row["metadata"]["litclaw"]["agent"] for row in duo.rows() if row["expires"] is None)
    assert set(alone.values()) == {1}, "no orphan anywhere"
    kube.run("-n", TEAM, "delete", "openclawagent", *agents)
