"""A managed route's new master key: the proxy's pods are replaced, nobody is locked out, agents' keys stay."""

import threading
import time
from collections.abc import Iterator

import pytest

from .database import let_in, own_database
from .kube import Kube
from .proxy import Proxy
from .resources import AI, TEAM, agent, managed_route
from .test_agent_key import _key
from .test_delete import external
from .test_no_leaks import see_no, shown
from .test_rotation import ROTATION, rotation, wait_phase
from .waiting import LONG_SECONDS, eventually

NAME = "crown"


@pytest.fixture(scope="module")
def crown(kube: Kube, proxy: Proxy) -> Iterator[Proxy]:
    """A route for these tests with two replicas, in main's PostgreSQL."""
    kube.apply(own_database(kube, NAME), let_in(NAME))
    managed = {"replicas": 2, "database": {"secretRef": {"name": "crown-db", "key": "URL"}}}
    kube.apply(managed_route(NAME, managed=managed))
    kube.wait_ready("litellmroute", AI, NAME, timeout=LONG_SECONDS)
    yield Proxy(kube, AI, f"{NAME}-litellm", master_key(kube))
    kube.delete("litellmroute", AI, NAME, "--cascade=foreground")
    kube.delete("secret", AI, "crown-db")
    kube.delete("networkpolicy", AI, f"{NAME}-reaches-main-postgres")


def master_key(kube: Kube) -> str:
    """The master key in the route's Secret."""
    return kube.secret(AI, f"{NAME}-master-key")["LITELLM_MASTER_KEY"]


def test_a_new_master_key_rolls_the_proxy_and_the_operator_is_never_locked_out(kube: Kube, crown: Proxy) -> None:
    kube.apply(agent("subject", route=NAME))
    kube.wait_ready("openclawagent", TEAM, "subject")
    old, salt, key = master_key(kube), kube.secret(AI, f"{NAME}-salt-key"), _key(kube, "subject")
    locked_out: list[str] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for condition in kube.must("litellmroute", AI, NAME)["status"]["conditions"]:
                # Not Unreachable: a connection that is kept open ends with its pod.
                if condition["reason"] == "MasterKeyRefused":
                    locked_out.append(condition["message"])
            time.sleep(0.5)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        ref = {"name": NAME, "namespace": AI}
        kube.apply(rotation("crown", what=["MasterKeys", "VirtualKeys"], routeRef=ref, gracePeriod="5m"))
        eventually(lambda: "LITELLM_MASTER_KEY_BEFORE" in kube.secret(AI, f"{NAME}-master-key"))
        # Whenever the operator dies, the next one goes on.
        for _ in range(3):
            eventually(lambda: _is_led(kube), what="an operator that leads")
            time.sleep(5)
            kube.run(
                "-n",
                "litclaw-system",
                "delete",
                "pod",
                "-l",
                "app.kubernetes.io/name=litclaw",
                "--force",
                "--grace-period=0",
            )
        assert crown.chat(key).status_code == 200, "agents' keys stay valid"
        found = wait_phase(kube, "crown", "Retiring", timeout=LONG_SECONDS)
        assert (found["total"], found["rotated"], found["failed"]) == (2, 2, 0), found
    finally:
        stop.set()
        watcher.join()
    assert locked_out == []
    new = kube.secret(AI, f"{NAME}-master-key")
    assert set(new) == {"LITELLM_MASTER_KEY"} and new["LITELLM_MASTER_KEY"] != old
    assert kube.secret(AI, f"{NAME}-salt-key") == salt, "the salt is never changed"
    crown.close()
    crown.master_key = new["LITELLM_MASTER_KEY"]
    assert crown.call("GET", "/key/list").status_code == 200
    assert crown.call("GET", "/key/list", key=old).status_code == 401
    assert crown.chat(key).status_code == 200 and crown.chat(_key(kube, "subject")).status_code == 200
    assert _key(kube, "subject") != key
    for what, value in (("the new master key", new["LITELLM_MASTER_KEY"]), ("the old master key", old)):
        see_no(value, what, shown(kube))
    kube.wait_ready("litellmroute", AI, NAME)
    kube.delete("openclawagent", TEAM, "subject")
    kube.delete(ROTATION, "", "crown")


def _is_led(kube: Kube) -> bool:
    """Whether one of the operators that run now holds the Lease."""
    holder = str(kube.must("lease", "litclaw-system", "litclaw")["spec"]["holderIdentity"]).partition("_")[0]
    return holder in {pod["metadata"]["name"] for pod in kube.list("pods", "-l", "app.kubernetes.io/name=litclaw")}


def test_a_master_key_that_is_not_ours_or_was_never_salted_is_refused_with_the_reason(kube: Kube, crown: Proxy) -> None:
    kube.apply(external("regent", f"{NAME}-litellm"))
    kube.patch(
        "litellmroute", AI, "regent", {"spec": {"external": {"masterKeySecretRef": {"name": f"{NAME}-master-key"}}}}
    )
    kube.wait_ready("litellmroute", AI, "regent")
    before = master_key(kube)
    kube.apply(rotation("regent", what=["MasterKeys"], routeRef={"name": "regent", "namespace": AI}))
    found = wait_phase(kube, "regent", "Failed")
    [failure] = found["failures"]
    assert failure["route"] == "ai/regent" and "spec.external.masterKeySecretRef" in failure["reason"], failure
    # A Deployment whose salt is unknown, like a proxy from before Litclaw.
    meta = {"name": "own-key", "namespace": AI}
    own = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"KEY": before}}
    kube.apply(own)
    reference = {"masterKeySecretRef": {"name": "own-key", "key": "KEY"}}
    kube.patch("litellmroute", AI, NAME, {"spec": {"managed": reference}})
    kube.apply(rotation("owned", what=["MasterKeys"], routeRef={"name": NAME, "namespace": AI}))
    [failure] = wait_phase(kube, "owned", "Failed")["failures"]
    assert failure["route"] == f"ai/{NAME}" and "own-key" in failure["reason"], failure
    assert master_key(kube) == before
    kube.run("delete", ROTATION, "regent", "owned")
    kube.delete("litellmroute", AI, "regent")
    kube.delete("secret", AI, "own-key")
