"""Of two operators one leads: the other takes over when the leader leaves, dies or is paused. Never do both work.

Times are taken from the Lease and from the pods' status, so they don't depend on the speed of the test itself.
"""

import contextlib
import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import pytest
from litclaw.kube.election import LEASE_NAME, LEASE_SECONDS, RETRY_SECONDS
from litclaw.kube.fence import EXIT_STATUS

from dev.cluster import docker_runs

from .api import Object
from .audit import READS, log_of, requests
from .kube import Kube
from .proxy import Proxy
from .resources import TEAM, agent
from .waiting import PATIENCE_SECONDS, eventually

SYSTEM = "litclaw-system"
DEPLOYMENT = "deployment/litclaw"
TAKE_OVER_SECONDS = LEASE_SECONDS + 2 * 1.2 * RETRY_SECONDS + 1.0
"""How long a dead leader's Lease stays unchanged on a quiet machine."""
SLOWNESS = 3
"""A busy machine may take so many times as long."""
_SIGNAL = """
import os, signal, time, urllib.request

def made():
    lines = urllib.request.urlopen("http://127.0.0.1:8080/metrics").read().decode().splitlines()
    name = "litclaw_litellm_requests_total"
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name) and "/key/generate" in line)

until = made() + {keys} if {keys} else 0
print("counting", flush=True)
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
    """Let signals from within a pod reach the operator's process, which they don't if it is the container's first."""
    _share_processes(kube, "true")
    yield
    _share_processes(kube, "null")


def _share_processes(kube: Kube, value: str) -> None:
    patch = f'{{"spec":{{"template":{{"spec":{{"shareProcessNamespace":{value}}}}}}}}}'
    kube.run("-n", SYSTEM, "patch", DEPLOYMENT, "--type=merge", "-p", patch)
    kube.run("-n", SYSTEM, "rollout", "status", DEPLOYMENT, "--timeout=300s")
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

    eventually(ready, what="two operators, one of which leads")


def _lease(kube: Kube) -> Object:
    spec: Object = kube.must("lease", SYSTEM, LEASE_NAME)["spec"]
    return spec


def _leader(kube: Kube) -> str:
    return str(_lease(kube)["holderIdentity"]).partition("_")[0]


@contextlib.contextmanager
def _signalled(kube: Kube, pod: str, name: str, *, keys: int = 0) -> Iterator[None]:
    """Send a signal to the operator, once it has made some more keys than at the beginning."""
    command = [str(kube.cluster.kubectl_path), "--kubeconfig", str(kube.cluster.kubeconfig), "-n", SYSTEM]
    command += ["exec", pod, "--", "/opt/litclaw/bin/python", "-c", _SIGNAL.format(name=name, keys=keys)]
    with tempfile.TemporaryFile("w+") as printed:

        def text() -> str:
            printed.seek(0)
            return printed.read()

        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)
        try:
            eventually(lambda: "counting" in text() or process.poll() is not None, what="the sender of a signal")
            yield
            # The sender ends with the container whose first process it kills, unless it is gone by then.
            assert process.wait(PATIENCE_SECONDS) == 0 or name == "SIGKILL", text()
        finally:
            process.kill()
            process.wait()


def _wait_for_another(kube: Kube, before: str) -> str:
    def another() -> str:
        now = _leader(kube)
        return "" if now == before else now

    return eventually(another, what="another leader")


def _seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def _one_key_each(proxy: Proxy, uids: set[str]) -> bool:
    marks = [row["metadata"]["litclaw"]["agent"] for row in proxy.rows() if row["expires"] is None]
    keys = Counter(uid for uid in marks if uid in uids)
    assert set(keys.values()) == {1} and keys.keys() == uids, keys
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

    def cached(pod: str) -> float:
        return _metric(kube, pod, 'litclaw_cache_objects{kind="OpenClawAgent"}')

    eventually(lambda: cached(leader) == cached(standby), what="the standby has the same objects in its cache")
    with pytest.raises(AssertionError, match="has no"):
        _metric(kube, standby, 'litclaw_reconcile_total{kind="LiteLLMRoute",result="ready"}')


def test_a_leader_that_leaves_hands_over_at_once_and_causes_no_event(kube: Kube, scout: str) -> None:
    before = kube.must("openclawagent", TEAM, scout)
    events, leader = _events(kube, scout), _leader(kube)
    with _kept_after_its_end(kube, leader):
        kube.run("-n", SYSTEM, "delete", "pod", leader, "--wait=false")
        _wait_for_another(kube, leader)
        took = _seconds_between(eventually(lambda: _end_of(kube, leader)), str(_lease(kube)["acquireTime"]))
    print(f"handed over {took:.1f} s after the end of the leader")
    # A Lease that isn't given back is taken later than that: the leader renews it until its end.
    assert took < LEASE_SECONDS - 2 * RETRY_SECONDS
    kube.patch("openclawagent", TEAM, scout, {"spec": {"key": {"maxBudget": "7"}}})

    def limited() -> bool:
        assert kube.must("openclawagent", TEAM, scout)["status"]["budget"] == "7.00"
        return True

    eventually(limited, what="the new leader works")
    after = kube.must("openclawagent", TEAM, scout)
    assert [each["lastTransitionTime"] for each in after["status"]["conditions"]] == [
        each["lastTransitionTime"] for each in before["status"]["conditions"]
    ], "the agent's conditions don't change"
    assert _events(kube, scout) == events
    _wait_for_two(kube)


@contextlib.contextmanager
def _kept_after_its_end(kube: Kube, pod: str) -> Iterator[None]:
    """Keep a pod's object after its containers have ended, for its status."""
    kube.patch("pod", SYSTEM, pod, {"metadata": {"finalizers": ["example.com/kept"]}})
    try:
        yield
    finally:
        kube.patch("pod", SYSTEM, pod, {"metadata": {"finalizers": None}})


def _end_of(kube: Kube, pod: str) -> str:
    """When the container of a pod has ended."""
    [status] = kube.must("pod", SYSTEM, pod)["status"]["containerStatuses"]
    return str(status["state"]["terminated"]["finishedAt"])


def test_a_leader_that_dies_is_followed_within_the_stated_time_and_nothing_is_lost(kube: Kube, proxy: Proxy) -> None:
    names = [f"orphan-{number:02}" for number in range(12)]
    leader = _leader(kube)
    with _signalled(kube, leader, "SIGKILL", keys=2):
        kube.apply(*[agent(name) for name in names])
    lease = _lease(kube)  # nobody renews it any more
    kube.run("-n", SYSTEM, "delete", "pod", leader, "--force", "--grace-period=0")
    _wait_for_another(kube, leader)
    if str(lease["holderIdentity"]).startswith(leader):
        took = _seconds_between(str(lease["renewTime"]), str(_lease(kube)["acquireTime"]))
        print(f"took over {took:.1f} s after the last renewal")
        assert LEASE_SECONDS <= took < SLOWNESS * TAKE_OVER_SECONDS
    for name in names:
        kube.wait_ready("openclawagent", TEAM, name)
    uids = {kube.must("openclawagent", TEAM, name)["metadata"]["uid"] for name in names}
    eventually(lambda: _one_key_each(proxy, uids))
    kube.run("-n", TEAM, "delete", "openclawagent", *names)
    _wait_for_two(kube)


def test_a_leader_that_is_paused_past_its_lease_does_nothing_when_it_wakes(
    kube: Kube, proxy: Proxy, kind_cluster: object
) -> None:
    names = [f"paused-{number:02}" for number in range(16)]
    leader = _leader(kube)
    with _signalled(kube, leader, "SIGSTOP", keys=2):
        kube.apply(*[agent(name) for name in names])
    before = {agent["metadata"]["name"]: agent.get("status") or {} for agent in kube.list("openclawagents")}
    assert [name for name in names if not before[name].get("key")], "some passes are unfinished"
    _wait_for_another(kube, leader)
    acquired = datetime.fromisoformat(_lease(kube)["acquireTime"])
    uids = {kube.wait_ready("openclawagent", TEAM, name)["metadata"]["uid"] for name in names}
    eventually(lambda: _one_key_each(proxy, uids))
    written = _secrets(kube, names)
    with _signalled(kube, leader, "SIGCONT"):
        pass

    def ended() -> bool:
        [status] = kube.must("pod", SYSTEM, leader)["status"]["containerStatuses"]
        assert status["restartCount"] > 0, status
        assert status["lastState"]["terminated"]["exitCode"] == EXIT_STATUS, status
        return True

    eventually(ended, what="the end of the leader that was paused")
    log = kube.run("-n", SYSTEM, "logs", leader, "--previous").stdout.splitlines()
    assert json.loads(log[-1])["level"] == "CRITICAL", log[-3:]
    _wait_for_two(kube)
    assert _leader(kube) != leader
    assert _one_key_each(proxy, uids) and _secrets(kube, names) == written
    if not docker_runs():
        writes = _writes_of(kind_cluster.name, leader)  # type: ignore[attr-defined]
        assert writes, "the audit log has the writes of the time in which it led"
        assert [(when, what) for when, what in writes if when >= acquired] == []
    for name in names[::4]:
        assert proxy.chat(kube.secret(TEAM, f"{name}-litellm")["LITELLM_API_KEY"]).status_code == 200
    kube.run("-n", TEAM, "delete", "openclawagent", *names)


def _secrets(kube: Kube, names: list[str]) -> list[str]:
    return [kube.must("secret", TEAM, f"{name}-litellm")["metadata"]["resourceVersion"] for name in names]


def _writes_of(cluster: str, pod: str) -> list[tuple[datetime, str]]:
    """The writes of an operator's pod, by the API server's audit log (localkube)."""
    return [
        (datetime.fromisoformat(entry["requestReceivedTimestamp"]), f"{entry['verb']} {entry['requestURI']}")
        for entry in requests(log_of(cluster))
        if pod in entry["user"]["extra"]["authentication.kubernetes.io/pod-name"] and entry["verb"] not in READS
    ]
