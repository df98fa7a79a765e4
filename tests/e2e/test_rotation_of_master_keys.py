"""A managed route's new master key: the proxy rolls, nobody is locked out, virtual keys don't notice."""

import threading
import time
from collections.abc import Iterator

import pytest

from .support import AI, TEAM, Kube, Proxy, agent, eventually, let_in, managed_route, own_database
from .test_agent_key import _key
from .test_delete import external
from .test_no_leaks import see_no, shown
from .test_rotation import ROTATION, rotation, wait_phase

NAME = "crown"


@pytest.fixture(scope="module")
def crown(kube: Kube, proxy: Proxy) -> Iterator[Proxy]:
    """A route of its own with two replicas, in main's PostgreSQL."""
    kube.apply(own_database(kube, NAME), let_in(NAME))
    managed = {"replicas": 2, "database": {"secretRef": {"name": "crown-db", "key": "URL"}}}
    kube.apply(managed_route(NAME, managed=managed))
    kube.wait_ready("litellmroute", AI, NAME, timeout=400)
    yield Proxy(kube, AI, f"{NAME}-litellm", master_key(kube))
    kube.delete("litellmroute", AI, NAME, "--cascade=foreground")
    kube.delete("secret", AI, "crown-db")
    kube.delete("networkpolicy", AI, f"{NAME}-reaches-main-postgres")


def master_key(kube: Kube) -> str:
    """The route's master key as its Secret has it."""
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
                # Not Unreachable: while pods roll, one that has just ended refuses connections for a moment.
                if condition["reason"] == "MasterKeyRefused":
                    locked_out.append(condition["message"])
            time.sleep(0.5)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        ref = {"name": NAME, "namespace": AI}
        kube.apply(rotation("crown", what=["MasterKeys", "VirtualKeys"], routeRef=ref, gracePeriod="5m"))
        eventually(lambda: "LITELLM_MASTER_KEY_BEFORE" in kube.secret(AI, f"{NAME}-master-key"), timeout=30)
        # Whatever the moment of its death, the next start goes on.
        for _ in range(3):
            time.sleep(20)  # whoever follows a dead leader leads after fifteen
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
        assert crown.chat(key).status_code == 200, "virtual keys don't notice"
        found = wait_phase(kube, "crown", "Retiring", timeout=300)
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
    kube.delete("openclawagent", TEAM, "subject", "--timeout=60s")
    kube.delete(ROTATION, "", "crown")


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
    # A Deployment of which no salt is known, as of a proxy that was there before Litclaw.
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
    kube.delete("litellmroute", AI, "regent", "--timeout=60s")
    kube.delete("secret", AI, "own-key")
