"""A component is unavailable for a minute while the operator works: afterwards everything is as it should be.

Meanwhile agents are made, changed and rotated, and one calls without pause with the key in its Secret. The components
are paused rather than ended: connections stay open and nothing answers, which is harder than a refusal.
"""

import contextlib
import json
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from dev.cluster import images

from .api import Object
from .kube import Kube
from .node import Node
from .pods import pod
from .proxy import Proxy
from .resources import AI, TEAM, agent
from .test_agent_key import _key
from .test_rotation import ask, status
from .test_rotation_under_load import PYTHON, SERVERS, seen, takes
from .waiting import eventually

SYSTEM = "litclaw-system"
AWAY_SECONDS = 60
RECOVERY_SECONDS = 600
"""kubelet waits up to five minutes before it restarts a container that has ended several times."""
NAMES = [f"lasting-{number}" for number in range(6)]
SAVER = NAMES[0]
WHAT = ("make", "change", "rotate")


@pytest.fixture(scope="module")
def node(kube: Kube, kind_cluster: object) -> Node:
    """The node whose components become unavailable."""
    return Node(kind_cluster.name)  # type: ignore[attr-defined]


class Load:
    """Makes, changes and rotates agents, twice in three seconds. What fails during the outage isn't repeated."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.made: list[str] = []
        self.done: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        chosen, number = random.Random(7), 0
        while not self._end.wait(1.5):
            what = WHAT[number % len(WHAT)]
            number += 1
            name = f"meanwhile-{number}" if what == "make" else chosen.choice(NAMES[1:])
            if what == "make":
                self.made.append(name)
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                self._do(what, name, number)
                self.done[what] += 1

    def _do(self, what: str, name: str, number: int) -> None:
        if what == "rotate":
            ask(self._kube, name, f"turn {number}")
        else:
            body = agent(name, key={"maxBudget": str(5 + number), "rotation": {"gracePeriod": "1m"}})
            text = json.dumps(body)
            self._kube.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text, timeout=30)


def _calling(name: str) -> Object:
    file, url = "/key/LITELLM_API_KEY", f"http://main-litellm.{AI}.svc.cluster.local:4000"
    command = [PYTHON, "-c", (SERVERS / "caller.py").read_text(), file, url]
    body = pod(f"caller-{name}", images()["operator"], command, 65534, TEAM)
    [container] = body["spec"]["containers"]
    container["volumeMounts"] = [{"name": "key", "mountPath": "/key"}]
    body["spec"]["volumes"] = [{"name": "key", "secret": {"secretName": f"{name}-litellm"}}]
    return body


@pytest.fixture
def lasting(kube: Kube, proxy: Proxy) -> Iterator[float]:
    """Agents for an outage, of which one has spent something and another calls; yields the spend of the first."""
    key = {"maxBudget": "5", "rotation": {"gracePeriod": "1m"}}
    kube.apply(*[agent(name, key=key) for name in NAMES])
    for name in NAMES:
        kube.wait_ready("openclawagent", TEAM, name)
    kube.apply(_calling(NAMES[1]))
    assert proxy.chat(_key(kube, SAVER), "claude-opus-4-6").status_code == 200
    spent = eventually(lambda: float(status(kube, SAVER)["spend"]), what="spend in the status")
    eventually(lambda: seen(kube, NAMES[1])["calls"] > 5)
    yield spent
    kube.delete("pod", TEAM, f"caller-{NAMES[1]}", "--grace-period=1")
    kube.run("-n", TEAM, "delete", "openclawagent", "--all")


def _restarts(kube: Kube) -> dict[str, int]:
    pods = kube.list("pods", "-l", "app.kubernetes.io/name=litclaw")
    return {
        body["metadata"]["name"]: sum(each["restartCount"] for each in body["status"].get("containerStatuses", []))
        for body in pods
    }


def _one_live_key_each(kube: Kube, proxy: Proxy) -> bool:
    """Whether each agent has one live key, in its Secret and accepted, and no key is without an agent."""
    agents = {body["metadata"]["uid"]: body for body in kube.list("openclawagents")}
    rows = proxy.rows()
    live = {row["metadata"]["litclaw"]["agent"]: row["token"] for row in rows if row["expires"] is None}
    counts = Counter(row["metadata"]["litclaw"]["agent"] for row in rows if row["expires"] is None)
    assert set(counts.values()) == {1} and counts.keys() == agents.keys(), counts
    assert {row["metadata"]["litclaw"]["agent"] for row in rows} <= agents.keys(), "no orphan"
    for uid, body in agents.items():
        name = body["metadata"]["name"]
        assert body["status"]["key"]["hash"] == live[uid][:8], name
        assert takes(proxy, kube.secret(TEAM, f"{name}-litellm")["LITELLM_API_KEY"]), name
    return True


def _through(
    kube: Kube,
    proxy: Proxy,
    spent: float,
    away: contextlib.AbstractContextManager[object],
    seconds: float = AWAY_SECONDS,
    *,
    meanwhile: Callable[[], None],
) -> Object:
    """Make a component unavailable in the middle of work, and check that everything is as it should be afterwards.

    Args:
        meanwhile: called in the middle of the outage; checks that the component is unavailable.

    Returns:
        The observations: restarts of each operator, what the load did, the calls that failed, and the seconds until
        everything was as it should be.
    """
    before, called, saved = _restarts(kube), seen(kube, NAMES[1]), _key(kube, SAVER)
    with Load(kube) as load:
        eventually(lambda: all(load.done[what] for what in WHAT), what="work of each kind")
        with away:
            ended = time.monotonic() + seconds
            time.sleep(seconds / 2)
            meanwhile()
            time.sleep(max(0.0, ended - time.monotonic()))
        back, done = time.monotonic(), load.done.total()
        eventually(
            lambda: load.done.total() >= done + len(WHAT), timeout=RECOVERY_SECONDS, what="work after the outage"
        )
    names = [*NAMES, *[name for name in load.made if _is_there(kube, name)]]
    kube.wait_ready("litellmroute", AI, "main", timeout=RECOVERY_SECONDS)
    for name in names:
        kube.wait_ready("openclawagent", TEAM, name, timeout=RECOVERY_SECONDS)
    eventually(lambda: _one_live_key_each(kube, proxy), timeout=RECOVERY_SECONDS, what="one live key each")
    well = time.monotonic() - back
    row = next(r for r in proxy.rows(kube.must("openclawagent", TEAM, SAVER)["metadata"]["uid"]) if not r["expires"])
    assert row["spend"] == pytest.approx(spent), "the spend is kept"
    assert _key(kube, SAVER) == saved, "nobody asked for another key"
    after = _restarts(kube)
    assert after.keys() == before.keys()
    calls = seen(kube, NAMES[1])
    found = {
        "restarts": sorted(after[name] - before[name] for name in before),
        "load": dict(load.done),
        "agents": len(names),
        "calls": calls["calls"] - called["calls"],
        "failed calls": calls["failed"] - called["failed"],
        "refused calls": calls["refused"] - called["refused"],
        "well after": round(well),
    }
    print(found, calls["failures"][len(called["failures"]) :][:2], flush=True)
    return found


def _is_there(kube: Kube, name: str) -> bool:
    return eventually(lambda: [kube.get("openclawagent", TEAM, name) is not None])[0]


@pytest.mark.parametrize("part", ["kube-apiserver", pytest.param("etcd", marks=pytest.mark.chaos)])
def test_the_api_server_or_what_is_behind_it(
    kube: Kube, proxy: Proxy, node: Node, lasting: float, part: str, record_property: Any
) -> None:
    def away() -> None:
        made = kube.run("-n", TEAM, "create", "configmap", "never", "--request-timeout=5s", check=False)
        assert made.returncode, f"{part} is unavailable, but something was written"

    found = _through(kube, proxy, lasting, node.stopped(node.component(part)), meanwhile=away)
    record_property("outage", found)
    assert found["refused calls"] == 0, "a caller with a key isn't affected, as long as the name resolves"
    # A leader that can't renew its Lease exits, so that no other works at the same time, and is restarted.
    assert max(found["restarts"]) <= 1, found


def _pod_of(kube: Kube, component: str) -> str:
    selector = f"app.kubernetes.io/instance=main,app.kubernetes.io/component={component}"
    [body] = [pod for pod in kube.list("pods", "-l", selector) if "deletionTimestamp" not in pod["metadata"]]
    return str(body["metadata"]["uid"])


@pytest.mark.chaos
@pytest.mark.parametrize("component", ["proxy", "database"])
def test_the_proxy_or_its_database(
    kube: Kube, proxy: Proxy, node: Node, lasting: float, component: str, record_property: Any
) -> None:
    def told() -> None:
        kube.wait_condition("litellmroute", AI, "main", "Ready", "False", timeout=60)

    # A longer outage than the probes tolerate would restart the pod, which another test covers.
    found = _through(kube, proxy, lasting, node.stopped(node.pod(_pod_of(kube, component))), meanwhile=told)
    record_property("outage", found)
    assert found["restarts"] == [0, 0], found


@pytest.mark.chaos
def test_the_network_of_the_node(kube: Kube, proxy: Proxy, node: Node, lasting: float, record_property: Any) -> None:
    def away() -> None:
        connect = f"import socket; socket.create_connection(('main-litellm.{AI}', 4000), 3)"
        done = kube.run("-n", TEAM, "exec", f"caller-{NAMES[1]}", "--", PYTHON, "-c", connect, check=False)
        assert done.returncode and "Traceback" in done.stderr, done

    found = _through(kube, proxy, lasting, node.cut(), meanwhile=away)
    record_property("outage", found)
    # A leader exits as above, and the restarted one can't be probed until the network is back.
    assert max(found["restarts"]) <= 2, found


@contextlib.contextmanager
def _full(kube: Kube, node: Node, folder: str) -> Iterator[None]:
    file = node.fill(folder)
    try:
        yield
    finally:
        node.run("rm", file)


def _see_full(kube: Kube, node: Node, folder: str) -> None:
    assert node.run("df", "--output=avail", folder).split()[-1] == "0"
    psql = ("psql", "--username=litellm", "--dbname=litellm", "--command")
    more = "CREATE TABLE more AS SELECT generate_series(1, 1000000)"
    done = kube.run("-n", AI, "exec", "main-postgres-0", "--", *psql, more, check=False)
    assert "No space left on device" in done.stderr, done


@contextlib.contextmanager
def _without_database(kube: Kube) -> Iterator[None]:
    """Keep the database's pod away while its volume is changed."""
    [name] = [body["metadata"]["name"] for body in kube.list("nodes")]
    kube.run("cordon", name)
    try:
        kube.delete("pod", AI, "main-postgres-0", "--grace-period=5")
        yield
    finally:
        kube.run("uncordon", name)
    kube.run("-n", AI, "rollout", "status", "statefulset/main-postgres", "--timeout=600s")


@pytest.mark.chaos
def test_the_databases_disk_is_full(kube: Kube, proxy: Proxy, node: Node, lasting: float, record_property: Any) -> None:
    [claim] = [each for each in kube.list("pvc") if each["metadata"]["name"].endswith("main-postgres-0")]
    with _without_database(kube):
        folder = node.shrink(claim["spec"]["volumeName"], spare_mib=256)
    try:
        kube.wait_ready("litellmroute", AI, "main", timeout=RECOVERY_SECONDS)
        found = _through(
            kube, proxy, lasting, _full(kube, node, folder), meanwhile=lambda: _see_full(kube, node, folder)
        )
        record_property("outage", found)
        assert found["restarts"] == [0, 0], found
    finally:
        with _without_database(kube):
            node.unshrink(folder)
    kube.wait_ready("litellmroute", AI, "main", timeout=RECOVERY_SECONDS)
