"""Two operators, one at work: the other takes over, whether the first leaves, dies or is paused, and never beside it."""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from litclaw.kube.election import LEASE_NAME, LEASE_SECONDS, RETRY_SECONDS

from dev.cluster import docker_runs

from .audit import READS, log_of, requests
from .support import TEAM, Kube, Object, Proxy, agent, eventually

SYSTEM = "litclaw-system"
DEPLOYMENT = "deployment/litclaw"
TAKE_OVER_SECONDS = LEASE_SECONDS + 2 * 1.2 * RETRY_SECONDS + 1.0  # and what looking at it takes
HAND_OVER_SECONDS = 10.0
EXIT_STATUS = 3  # kube/fence.py
_SIGNAL = """
import os, signal, time, urllib.request

def made():
    lines = urllib.request.urlopen("http://127.0.0.1:8080/metrics").read().decode().splitlines()
    name = "litclaw_litellm_requests_total"
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name) and "/key/generate" in line)

until = made() + {keys} if {keys} else 0
while until and made() < until:
    time.sleep(0.01)
for each in filter(str.isdigit, os.listdir("/proc")):
    try:
        line = open(f"/proc/{{each}}/cmdline", "rb").read()
    except OSError:
        continue
    if b"litclaw\\0run\\0" in line:
        os.kill(int(each), signal.{name})
"""


@pytest.fixture(scope="module", autouse=True)
def reachable(kube: Kube, proxy: Proxy) -> Iterator[None]:
    """Have the operator's process reached by signals from within its pod: the first process of a container isn't."""
    _share_processes(kube, "true")
    yield
    _share_processes(kube, "null")


def _share_processes(kube: Kube, value: str) -> None:
    patch = f'{{"spec":{{"template":{{"spec":{{"shareProcessNamespace":{value}}}}}}}}}'
    kube.run("-n", SYSTEM, "patch", DEPLOYMENT, "--type=merge", "-p", patch)
    kube.run("-n", SYSTEM, "rollout", "status", DEPLOYMENT, "--timeout=120s")
    _wait_for_two(kube)


def _pods(kube: Kube) -> list[Object]:
    pods = kube.list("pods", "-l", "app.kubernetes.io/name=litclaw")
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def _wait_for_two(kube: Kube) -> None:
    def ready() -> bool:
        states = [pod["status"].get("containerStatuses", [{}])[0].get("ready") for pod in _pods(kube)]
        assert states == [True, True], states
        assert _leader(kube) in {pod["metadata"]["name"] for pod in _pods(kube)}
        return True

    eventually(ready, timeout=90, what="two operators, one of which leads")


def _lease(kube: Kube) -> Object:
    spec: Object = kube.must("lease", SYSTEM, LEASE_NAME)["spec"]
    return spec


def _leader(kube: Kube) -> str:
    return str(_lease(kube)["holderIdentity"]).partition("_")[0]


def _signal(kube: Kube, pod: str, name: str, *, keys: int = 0) -> None:
    """Send a signal to the operator, once it has made some more keys."""
    command = ("-n", SYSTEM, "exec", "-i", pod, "--", "/opt/litclaw/bin/python", "-")
    # With the container's first process, whoever kills it is killed too, unless it is gone by then.
    kube.run(*command, stdin=_SIGNAL.format(name=name, keys=keys), timeout=60, check=name != "SIGKILL")


@contextlib.contextmanager
def _signalled_at_work(kube: Kube, pod: str, name: str) -> Iterator[None]:
    """Have a signal sent in the midst of what is done here."""
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(_signal, kube, pod, name, keys=2)
        time.sleep(1.5)  # it has to be there first
        yield
        sent.result()


def _wait_for_another(kube: Kube, before: str) -> str:
    def another() -> str:
        now = _leader(kube)
        return "" if now == before else now

    return eventually(another, timeout=60, what="another leader")


def _one_key_each(proxy: Proxy, uids: set[str]) -> bool:
    marks = [row["metadata"]["litclaw"]["agent"] for row in proxy.rows() if row["expires"] is None]
    held = Counter(uid for uid in marks if uid in uids)
    assert set(held.values()) == {1} and held.keys() == uids, held
    return True


def _events(kube: Kube, name: str) -> set[str]:
    found = kube.list("events", f"--field-selector=involvedObject.name={name}")
    return {event["metadata"]["name"] for event in found}


def _metric(kube: Kube, pod: str, line: str) -> float:
    script = 'import urllib.request as r; print(r.urlopen("http://127.0.0.1:8080/metrics").read().decode())'
    command = ("-n", SYSTEM, "exec", "-i", pod, "--", "/opt/litclaw/bin/python", "-")
    for each in kube.run(*command, stdin=script).stdout.splitlines():
        if each.startswith(f"{line} "):
            return float(each.rpartition(" ")[2])
    raise AssertionError(f"{pod} has no {line}")


def test_one_of_two_leads_and_the_other_is_ready_and_does_nothing(kube: Kube) -> None:
    leader = _leader(kube)
    [standby] = [pod["metadata"]["name"] for pod in _pods(kube) if pod["metadata"]["name"] != leader]
    assert (_metric(kube, leader, "litclaw_leader"), _metric(kube, standby, "litclaw_leader")) == (1, 0)
    held = [_metric(kube, pod, 'litclaw_cache_objects{kind="OpenClawAgent"}') for pod in (leader, standby)]
    assert held[0] == held[1], "the one that stands by knows as much"
    with pytest.raises(AssertionError, match="has no"):
        _metric(kube, standby, 'litclaw_reconcile_total{kind="LiteLLMRoute",result="ready"}')


def test_a_leader_that_leaves_hands_over_at_once_and_nobody_is_told_anything(kube: Kube, scout: str) -> None:
    before = kube.must("openclawagent", TEAM, scout)
    told, leader, started = _events(kube, scout), _leader(kube), time.monotonic()
    kube.run("-n", SYSTEM, "delete", "pod", leader, "--wait=false")
    _wait_for_another(kube, leader)
    took = time.monotonic() - started
    print(f"handed over after {took:.1f} s")
    assert took < HAND_OVER_SECONDS
    kube.patch("openclawagent", TEAM, scout, {"spec": {"key": {"maxBudget": "7"}}})

    def limited() -> bool:
        assert kube.must("openclawagent", TEAM, scout)["status"]["budget"] == "7.00"
        return True

    eventually(limited, timeout=20, what="the new leader works")
    after = kube.must("openclawagent", TEAM, scout)
    assert [each["lastTransitionTime"] for each in after["status"]["conditions"]] == [
        each["lastTransitionTime"] for each in before["status"]["conditions"]
    ], "an agent is as ready as it was"
    assert _events(kube, scout) == told
    _wait_for_two(kube)


def test_a_leader_that_dies_is_followed_within_the_stated_time_and_nothing_is_lost(kube: Kube, proxy: Proxy) -> None:
    names = [f"orphan-{number:02}" for number in range(12)]
    leader = _leader(kube)
    with _signalled_at_work(kube, leader, "SIGKILL"):
        kube.apply(*[agent(name) for name in names])
    killed = time.monotonic()
    kube.run("-n", SYSTEM, "delete", "pod", leader, "--force", "--grace-period=0")
    _wait_for_another(kube, leader)
    took = time.monotonic() - killed
    for name in names:
        kube.wait_ready("openclawagent", TEAM, name, timeout=60)
    print(f"took over after {took:.1f} s, all agents ready after {time.monotonic() - killed:.1f} s")
    assert took < TAKE_OVER_SECONDS
    uids = {kube.must("openclawagent", TEAM, name)["metadata"]["uid"] for name in names}
    eventually(lambda: _one_key_each(proxy, uids), timeout=60)
    kube.run("-n", TEAM, "delete", "openclawagent", *names)
    _wait_for_two(kube)


def test_a_leader_that_is_paused_past_its_lease_does_nothing_when_it_wakes(
    kube: Kube, proxy: Proxy, kind_cluster: object
) -> None:
    names = [f"paused-{number:02}" for number in range(16)]
    leader = _leader(kube)
    with _signalled_at_work(kube, leader, "SIGSTOP"):
        kube.apply(*[agent(name) for name in names])
    before = {agent["metadata"]["name"]: agent.get("status") or {} for agent in kube.list("openclawagents")}
    assert [name for name in names if not before[name].get("key")], "some passes are half done"
    _wait_for_another(kube, leader)
    acquired = datetime.fromisoformat(_lease(kube)["acquireTime"])
    uids = {kube.wait_ready("openclawagent", TEAM, name, timeout=60)["metadata"]["uid"] for name in names}
    eventually(lambda: _one_key_each(proxy, uids), timeout=60)
    written = _secrets(kube, names)
    _signal(kube, leader, "SIGCONT")

    def ended() -> bool:
        [status] = kube.must("pod", SYSTEM, leader)["status"]["containerStatuses"]
        assert status["restartCount"] > 0, status
        assert status["lastState"]["terminated"]["exitCode"] == EXIT_STATUS, status
        return True

    eventually(ended, timeout=40, what="the end of the leader that was paused")
    said = kube.run("-n", SYSTEM, "logs", leader, "--previous").stdout.splitlines()
    assert json.loads(said[-1])["level"] == "CRITICAL", said[-3:]
    _wait_for_two(kube)
    assert _leader(kube) != leader
    assert _one_key_each(proxy, uids) and _secrets(kube, names) == written
    if not docker_runs():
        writes = _writes_of(kind_cluster.name, leader)  # type: ignore[attr-defined]
        assert writes, "the audit log must know what it wrote while it led"
        assert [(when, what) for when, what in writes if when >= acquired] == []
    for name in names[::4]:
        assert proxy.chat(kube.secret(TEAM, f"{name}-litellm")["LITELLM_API_KEY"]).status_code == 200
    kube.run("-n", TEAM, "delete", "openclawagent", *names)


def _secrets(kube: Kube, names: list[str]) -> list[str]:
    return [kube.must("secret", TEAM, f"{name}-litellm")["metadata"]["resourceVersion"] for name in names]


def _writes_of(cluster: str, pod: str) -> list[tuple[datetime, str]]:
    """What a pod of the operator's has written, by the API server's audit log (localkube)."""
    return [
        (datetime.fromisoformat(entry["requestReceivedTimestamp"]), f"{entry['verb']} {entry['requestURI']}")
        for entry in requests(log_of(cluster))
        if pod in entry["user"]["extra"]["authentication.kubernetes.io/pod-name"] and entry["verb"] not in READS
    ]
