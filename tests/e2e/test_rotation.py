"""Rotation of many keys: the selection, failures, changes meanwhile, and the end of the old keys."""

from datetime import UTC, datetime
from typing import Any

import pytest

from .api import Object
from .kube import Kube
from .proxy import Proxy
from .resources import AI, TEAM, agent
from .test_agent_key import _key
from .waiting import LONG_SECONDS, PATIENCE_SECONDS, eventually

ROTATION = "litellmkeyrotation"


def rotation(name: str, **spec: Any) -> Object:
    """A LiteLLMKeyRotation."""
    meta = {"name": name}
    return {"apiVersion": "litclaw.dev/v1alpha1", "kind": "LiteLLMKeyRotation", "metadata": meta, "spec": spec}


def labelled(name: str, group: str, **spec: Any) -> Object:
    """An agent of a group, so that a rotation in one test doesn't select another test's agents."""
    body = agent(name, **spec)
    body["metadata"]["labels"] = {"group": group}
    return body


def of(group: str) -> Object:
    """The selector of a group."""
    return {"selector": {"matchLabels": {"group": group}}}


def ask(kube: Kube, name: str, value: str) -> None:
    """Ask for a rotation with the annotation."""
    kube.patch("openclawagent", TEAM, name, {"metadata": {"annotations": {"litclaw.dev/rotate": value}}})


def status(kube: Kube, name: str) -> Object:
    """An agent's status."""
    found: Object = kube.must("openclawagent", TEAM, name)["status"]
    return found


def wait_generation(kube: Kube, name: str, generation: int) -> Object:
    """Wait until an agent has its n-th key, or a later one; returns the key's status."""

    def look() -> Object:
        found: Object = status(kube, name)["key"]
        assert found["generation"] >= generation, found
        return found

    return eventually(look)


def wait_phase(kube: Kube, name: str, *phases: str, timeout: float = PATIENCE_SECONDS) -> Object:
    """Wait until a rotation is in one of some phases; returns its status."""

    def look() -> Object:
        found: Object = kube.must(ROTATION, "", name).get("status") or {}
        assert found.get("phase") in phases, found
        return found

    return eventually(look, timeout=timeout, what=f"{name} in {phases}")


def seconds_between(earlier: str, later: str) -> float:
    """From one time to another."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def seconds_until(moment: str) -> float:
    """From now until a time."""
    return seconds_between(datetime.now(UTC).isoformat(), moment)


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
    # The key of the agent that can't be rotated ends too, with the others.
    assert (found["total"], found["rotated"], found["failed"], found["retiring"]) == (4, 3, 1, 3), found
    [failure] = found["failures"]
    assert failure["agent"] == "team-a/many-lost" and failure["reason"].startswith("RouteNotFound: "), failure
    assert 0 < seconds_until(found["retiringUntil"]) <= 90 and "completedAt" not in found
    new = {name: _key(kube, name) for name in old}
    assert new["other"] == old["other"] and all(new[name] != old[name] for name in ("many-a", "many-b", "many-asleep"))
    assert proxy.chat(new["many-a"]).status_code == 200
    # An old key is revoked once its successor is seen in use and, at the latest, when every mounted Secret has changed.
    end = eventually(lambda: str(status(kube, "many-b")["key"]["retiringUntil"]))
    eventually(lambda: proxy.chat(old["many-a"]).status_code == 401, what="revoked once the new one is in use")
    accepted = proxy.chat(old["many-b"]).status_code == 200
    assert accepted or seconds_until(end) < 0, "isn't revoked before its end"
    eventually(lambda: proxy.chat(old["many-b"]).status_code == 401, what="ended by the proxy itself")
    found = wait_phase(kube, "many", "Failed", timeout=LONG_SECONDS)
    assert (found["total"], found["rotated"], found["failed"], found["retiring"]) == (4, 3, 1, 0), found
    assert found["completedAt"] >= found["startedAt"]
    for name in ("many-a", "many-b", "many-asleep"):
        assert len(proxy.rows(kube.must("openclawagent", TEAM, name)["metadata"]["uid"])) == 1
        assert "retiringUntil" not in status(kube, name)["key"]
    assert kube.must(ROTATION, "", "many")["status"]["conditions"][2]["status"] == "True", "Stalled"
    kube.patch("openclawagent", TEAM, "many-asleep", {"spec": {"suspend": False}})
    eventually(lambda: proxy.chat(_key(kube, "many-asleep")).status_code == 200)
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
    assert found["rotated"] == 4 and seconds_between(found["startedAt"], found["retiringUntil"]) > 3600
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
    kube.wait_ready("openclawagent", TEAM, "two-newcomer")

    def rotated(name: str) -> bool:
        found = wait_phase(kube, name, "Retiring")
        assert (found["total"], found["rotated"], found["failed"]) == (11, 11, 0), found
        return True

    for name in ("first", "second"):
        eventually(lambda name=name: rotated(name))
    assert status(kube, "two-newcomer")["key"]["generation"] == 1, "its first key is new enough"
    keys = [status(kube, name)["key"] for name in names if name != names[5]]
    assert all(2 <= key["generation"] <= 3 for key in keys), keys
    for name in names[:4]:
        uid = kube.must("openclawagent", TEAM, name)["metadata"]["uid"]
        _wait_for_row(proxy, uid, max_budget=7)
        # The shorter of the two grace periods holds.
        eventually(lambda name=name: 0 < seconds_until(status(kube, name)["key"]["retiringUntil"]) < 700)
    uid = kube.must("openclawagent", TEAM, names[6])["metadata"]["uid"]
    _wait_for_row(proxy, uid, blocked=True)
    kube.run("-n", TEAM, "delete", "openclawagent", "-l", "group=two")
    for name in ("first", "second"):
        assert wait_phase(kube, name, "Completed")["total"] == 0, "there is nothing left to wait for"
    kube.run("delete", ROTATION, "first", "second")


def _wait_for_row(proxy: Proxy, uid: str, **fields: object) -> None:
    """Wait until an agent's live key has some fields at the proxy."""

    def look() -> bool:
        [row] = [row for row in proxy.rows(uid) if row["expires"] is None]
        assert {name: row[name] for name in fields} == fields, row
        return True

    eventually(look)
