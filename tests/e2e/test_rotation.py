"""Rotation: one key or many, asked for in every way, with what stands in its way; the old keys end and budgets survive."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from .support import AI, TEAM, Kube, Object, Proxy, agent, eventually
from .test_agent_key import _events, _key, _spend
from .test_delete import external

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


def test_an_annotation_rotates_one_key_while_the_old_one_lives_on(kube: Kube, proxy: Proxy) -> None:
    key = {"maxBudget": "5", "rotation": {"gracePeriod": "30m"}}
    kube.apply(agent("turner", key=key))
    uid = kube.wait_ready("openclawagent", TEAM, "turner")["metadata"]["uid"]
    old, before = _key(kube, "turner"), status(kube, "turner")["key"]
    ask(kube, "turner", "because of a leaver")
    now = wait_generation(kube, "turner", 2)
    new = _key(kube, "turner")
    assert new != old and now["hash"] != before["hash"] and now["alias"] == "team-a/turner"
    assert proxy.chat(new).status_code == proxy.chat(old).status_code == 200
    assert 30 * 60 < seconds_until(now["retiringUntil"]) < 30 * 60 + 100
    rows = {row["token"][:8]: row for row in proxy.rows(uid)}
    assert rows[now["hash"]]["expires"] is None and rows[before["hash"]]["expires"]
    assert rows[before["hash"]]["key_alias"].startswith("team-a/turner#1.")
    secret = kube.must("secret", TEAM, "turner-litellm")["metadata"]["annotations"]
    assert secret["litclaw.dev/key"] == now["hash"] and secret["reloader.stakater.com/match"] == "true"
    assert status(kube, "turner")["lastHandledRotation"] == "because of a leaver"
    assert len(_events(kube, "turner", "KeyRotated")) == 1
    ask(kube, "turner", "because of a leaver")
    time.sleep(3)
    assert status(kube, "turner")["key"]["hash"] == now["hash"], "each value rotates once"
    route = kube.must("litellmroute", AI, "main")["status"]
    assert route["keys"]["retiring"] >= 0
    kube.delete("openclawagent", TEAM, "turner", "--timeout=30s")
    assert proxy.rows(uid) == [] and proxy.chat(old).status_code == 401, "the old key ends with its agent too"


def test_a_key_is_rotated_when_it_is_as_old_as_its_interval(kube: Kube, proxy: Proxy) -> None:
    defaults = {"rotation": {"interval": "60s", "gracePeriod": "10m"}}
    kube.apply(
        {
            **external("clockwork", "main-litellm"),
            "spec": {**external("clockwork", "main-litellm")["spec"], "keyDefaults": defaults},
        }
    )
    never, own = {"rotation": {"interval": "0s"}}, {"rotation": {"interval": "720h", "gracePeriod": "1m"}}
    kube.apply(
        agent("tick", route="clockwork"),
        agent("tock", route="clockwork", key=never),
        agent("slow", route="clockwork", key=own),
    )
    for name in ("tick", "tock", "slow"):
        kube.wait_ready("openclawagent", TEAM, name)
    turn = seconds_until(status(kube, "tick")["key"]["nextRotation"])
    assert 40 < turn <= 60, "in the last tenth of the interval"
    assert 640 * 3600 < seconds_until(status(kube, "slow")["key"]["nextRotation"]) <= 720 * 3600
    assert "nextRotation" not in status(kube, "tock")["key"]
    found = wait_generation(kube, "tick", 2, timeout=90)
    assert 600 < seconds_until(found["retiringUntil"]) < 700
    assert [status(kube, name)["key"]["generation"] for name in ("tock", "slow")] == [1, 1]
    kube.run("-n", TEAM, "delete", "openclawagent", "tick", "tock", "slow")
    kube.delete("litellmroute", AI, "clockwork")


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


def test_rotating_again_and_again_spends_one_budget(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("saver", key={"maxBudget": "0.004", "budgetDuration": "14d", "rotation": {"gracePeriod": "1h"}}))
    uid = kube.wait_ready("openclawagent", TEAM, "saver")["metadata"]["uid"]
    first, resets = _key(kube, "saver"), eventually(lambda: status(kube, "saver").get("budgetResetsAt"), timeout=60)
    spent = _spend(kube, proxy, "saver")
    for number in range(1, 6):
        ask(kube, "saver", f"round {number}")
        wait_generation(kube, "saver", number + 1)
        assert float(status(kube, "saver")["spend"]) >= spent, "what was spent is carried"
    assert status(kube, "saver")["budgetResetsAt"] == resets, "the period goes on, though LiteLLM counts it from birth"
    assert [row["metadata"]["litclaw"]["anew_at"] for row in proxy.rows(uid) if row["expires"] is None] == [resets]
    # The first key, still alive, goes on spending: that is added to the live one.
    for _ in range(3):
        assert proxy.chat(first, "claude-opus-4-6").status_code == 200
    eventually(lambda: float(status(kube, "saver")["spend"]) >= 1.9 * spent, timeout=90, what="spend beside is added")

    def refused() -> bool:
        return proxy.chat(_key(kube, "saver"), "claude-opus-4-6").status_code in (400, 422, 429)

    for _ in range(60):
        if refused():
            break
    kube.wait_condition("openclawagent", TEAM, "saver", "WithinBudget", "False", "Spent", timeout=90)
    ask(kube, "saver", "one more")
    wait_generation(kube, "saver", 7)
    assert eventually(refused, timeout=15), "the new key has no new budget"
    eventually(
        lambda: proxy.chat(first, "claude-opus-4-6").status_code == 401, timeout=60, what="nor have the old ones"
    )
    kube.delete("openclawagent", TEAM, "saver")
