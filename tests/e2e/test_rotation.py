"""Rotation of many keys: who is meant, what stands in its way, what happens meanwhile; and the end of the old ones."""

from datetime import UTC, datetime
from typing import Any

import pytest

from .support import AI, TEAM, Kube, Object, Proxy, agent, eventually
from .test_agent_key import _key

ROTATION = "litellmkeyrotation"


def rotation(name: str, **spec: Any) -> Object:
    """A LiteLLMKeyRotation."""
    meta = {"name": name}
    return {"apiVersion": "litclaw.dev/v1alpha1", "kind": "LiteLLMKeyRotation", "metadata": meta, "spec": spec}


def labelled(name: str, group: str, **spec: Any) -> Object:
    """An agent of a group of its own, so that a rotation of one test touches no other's."""
    body = agent(name, **spec)
    body["metadata"]["labels"] = {"group": group}
    return body


def of(group: str) -> Object:
    """The selector of a group."""
    return {"selector": {"matchLabels": {"group": group}}}


def ask(kube: Kube, name: str, value: str) -> None:
    """Ask for a rotation by the annotation."""
    kube.patch("openclawagent", TEAM, name, {"metadata": {"annotations": {"litclaw.dev/rotate": value}}})


def status(kube: Kube, name: str) -> Object:
    """An agent's status."""
    found: Object = kube.must("openclawagent", TEAM, name)["status"]
    return found


def wait_generation(kube: Kube, name: str, generation: int, *, timeout: float = 60) -> Object:
    """Until an agent has its n-th key; returns the key's status."""

    def look() -> Object:
        found: Object = status(kube, name)["key"]
        assert found["generation"] >= generation, found
        return found

    return eventually(look, timeout=timeout)


def wait_phase(kube: Kube, name: str, *phases: str, timeout: float = 60) -> Object:
    """Until a rotation is in one of some phases; returns its status."""

    def look() -> Object:
        found: Object = kube.must(ROTATION, "", name).get("status") or {}
        assert found.get("phase") in phases, found
        return found

    return eventually(look, timeout=timeout, what=f"{name} in {phases}")


def seconds_until(moment: str) -> float:
    """From now until a time."""
    return (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()


def test_a_rotation_ends_every_old_key_and_names_what_it_could_not_rotate(kube: Kube, proxy: Proxy) -> None:
    group = of("many")
    kube.apply(*[labelled(name, "many") for name in ("many-a", "many-b", "many-lost")])
    kube.apply(labelled("many-asleep", "many", suspend=True), labelled("other", "few"))
    for name in ("many-a", "many-b", "many-lost", "many-asleep", "other"):
        kube.wait_ready("openclawagent", TEAM, name)
    old = {name: _key(kube, name) for name in ("many-a", "many-b", "many-asleep", "other")}
    kube.patch("openclawagent", TEAM, "many-lost", {"spec": {"routeRef": {"name": "nowhere"}}})
    kube.wait_condition("openclawagent", TEAM, "many-lost", "RouteAccepted", "False", "RouteNotFound")
    kube.apply(rotation("many", **group, gracePeriod="0s", maxConcurrent=2, what=["VirtualKeys"]))
    found = wait_phase(kube, "many", "Retiring")
    assert (found["total"], found["rotated"], found["failed"], found["retiring"]) == (4, 3, 1, 2), found
    [failure] = found["failures"]
    assert failure["agent"] == "team-a/many-lost" and failure["reason"].startswith("RouteNotFound: "), failure
    assert 0 < seconds_until(found["retiringUntil"]) <= 90 and "completedAt" not in found
    new = {name: _key(kube, name) for name in old}
    assert new["other"] == old["other"] and all(new[name] != old[name] for name in ("many-a", "many-b", "many-asleep"))
    assert proxy.chat(new["many-a"]).status_code == 200
    # What is seen in use is revoked at once; what isn't, when every mounted Secret has changed.
    eventually(
        lambda: proxy.chat(old["many-a"]).status_code == 401, timeout=45, what="revoked once the new one is in use"
    )
    assert proxy.chat(old["many-b"]).status_code == 200
    eventually(lambda: proxy.chat(old["many-b"]).status_code == 401, timeout=90, what="ended by the proxy itself")
    found = wait_phase(kube, "many", "Failed", timeout=150)
    assert (found["total"], found["rotated"], found["failed"], found["retiring"]) == (4, 3, 1, 0), found
    assert found["completedAt"] >= found["startedAt"]
    for name in ("many-a", "many-b", "many-asleep"):
        assert len(proxy.rows(kube.must("openclawagent", TEAM, name)["metadata"]["uid"])) == 1
        assert "retiringUntil" not in status(kube, name)["key"]
    assert kube.must(ROTATION, "", "many")["status"]["conditions"][2]["status"] == "True", "Stalled"
    kube.patch("openclawagent", TEAM, "many-asleep", {"spec": {"suspend": False}})
    eventually(lambda: proxy.chat(_key(kube, "many-asleep")).status_code == 200, timeout=70)
    kube.run("-n", TEAM, "delete", "openclawagent", "-l", "group in (many,few)")
    kube.delete(ROTATION, "", "many")


def test_a_rotation_stops_after_failures_rests_and_is_not_changed(kube: Kube, proxy: Proxy) -> None:
    names = [f"stop-{number}" for number in range(4)]
    kube.apply(*[labelled(name, "stop") for name in names])
    for name in names:
        kube.wait_ready("openclawagent", TEAM, name)
    kube.apply(
        rotation(
            "rests",
            **of("stop"),
            suspend=True,
            namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": TEAM}},
        )
    )
    found = wait_phase(kube, "rests", "Suspended")
    assert (found["total"], found["rotated"]) == (4, 0)
    for change in (
        {"gracePeriod": "2h"},
        {"selector": None},
        {"maxConcurrent": 1},
        {"routeRef": {"name": "main", "namespace": AI}},
    ):
        with pytest.raises(RuntimeError, match="can't be changed once it is made"):
            kube.patch(ROTATION, "", "rests", {"spec": change})
    kube.patch(ROTATION, "", "rests", {"spec": {"suspend": False}})
    found = wait_phase(kube, "rests", "Retiring")
    assert found["rotated"] == 4 and seconds_until(found["retiringUntil"]) > 3600
    for name in names[:3]:
        kube.patch("openclawagent", TEAM, name, {"spec": {"routeRef": {"name": "nowhere"}}})
        kube.wait_condition("openclawagent", TEAM, name, "RouteAccepted", "False", "RouteNotFound")
    kube.apply(rotation("stops", **of("stop"), stopAfterFailures=2, maxConcurrent=1))
    found = wait_phase(kube, "stops", "Stopped")
    assert (found["failed"], found["rotated"], status(kube, "stop-3")["key"]["generation"]) == (2, 0, 2), found
    kube.apply(rotation("nobody", **of("stop"), namespaceSelector={"matchLabels": {"no": "such"}}))
    kube.apply(rotation("elsewhere", **of("stop"), routeRef={"name": "other", "namespace": AI}))
    for name in ("nobody", "elsewhere"):
        assert wait_phase(kube, name, "Completed")["total"] == 0
    kube.run("-n", TEAM, "delete", "openclawagent", "-l", "group=stop")
    kube.run("delete", ROTATION, "rests", "stops", "nobody", "elsewhere")


def test_two_rotations_at_once_and_what_happens_to_agents_meanwhile(kube: Kube, proxy: Proxy) -> None:
    names = [f"two-{number:02}" for number in range(12)]
    kube.apply(*[labelled(name, "two", key={"maxBudget": "5"}) for name in names])
    for name in names:
        kube.wait_ready("openclawagent", TEAM, name)
    kube.apply(rotation("first", **of("two"), maxConcurrent=1), rotation("second", **of("two"), gracePeriod="10m"))
    kube.apply(*[labelled(name, "two", key={"maxBudget": "7"}) for name in names[:4]])
    kube.run("-n", TEAM, "delete", "openclawagent", names[5], "--wait=false")
    kube.apply(labelled(names[6], "two", key={"maxBudget": "5"}, suspend=True))
    kube.apply(labelled("two-newcomer", "two"))
    for name in ("first", "second"):
        found = wait_phase(kube, name, "Retiring")
        assert (found["total"], found["rotated"], found["failed"]) == (11, 11, 0), found
    assert status(kube, "two-newcomer")["key"]["generation"] == 1, "its first key is new enough"
    keys = [status(kube, name)["key"] for name in names if name != names[5]]
    assert all(2 <= key["generation"] <= 3 for key in keys), keys
    for name in names[:4]:
        uid = kube.must("openclawagent", TEAM, name)["metadata"]["uid"]
        assert [row["max_budget"] for row in proxy.rows(uid) if row["expires"] is None] == [7]
        # The shorter of the two grace periods holds.
        assert 0 < seconds_until(status(kube, name)["key"]["retiringUntil"]) < 700
    uid = kube.must("openclawagent", TEAM, names[6])["metadata"]["uid"]
    assert [row["blocked"] for row in proxy.rows(uid) if row["expires"] is None] == [True]
    kube.run("-n", TEAM, "delete", "openclawagent", "-l", "group=two")
    for name in ("first", "second"):
        assert wait_phase(kube, name, "Completed")["total"] == 0, "there is nothing left to wait for"
    kube.run("delete", ROTATION, "first", "second")
