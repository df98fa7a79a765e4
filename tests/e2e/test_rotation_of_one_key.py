"""Rotation of one agent's key, by the annotation and by its age; and its one budget."""

from .kube import Kube
from .proxy import Proxy
from .resources import AI, TEAM, agent
from .test_agent_key import _call, _events, _key, _spend
from .test_delete import external
from .test_rotation import ask, seconds_between, seconds_until, status, wait_generation
from .waiting import eventually


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
    assert seconds_between(now["rotatedAt"], now["retiringUntil"]) > 30 * 60
    assert seconds_until(now["retiringUntil"]) < 30 * 60 + 100
    rows = {row["token"][:8]: row for row in proxy.rows(uid)}
    assert rows[now["hash"]]["expires"] is None and rows[before["hash"]]["expires"]
    assert rows[before["hash"]]["key_alias"].startswith("team-a/turner@1.")
    secret = kube.must("secret", TEAM, "turner-litellm")["metadata"]["annotations"]
    assert secret["litclaw.dev/key"] == now["hash"] and secret["reloader.stakater.com/match"] == "true"
    assert status(kube, "turner")["lastHandledRotation"] == "because of a leaver"
    eventually(lambda: len(_events(kube, "turner", "KeyRotated")) == 1)
    ask(kube, "turner", "because of a leaver")
    kube.patch("openclawagent", TEAM, "turner", {"spec": {"key": {"maxBudget": "6"}}})
    kube.wait_ready("openclawagent", TEAM, "turner")
    assert status(kube, "turner")["key"]["hash"] == now["hash"], "each value rotates once"
    route = kube.must("litellmroute", AI, "main")["status"]
    assert route["keys"]["retiring"] >= 0
    kube.delete("openclawagent", TEAM, "turner")
    assert proxy.rows(uid) == [] and proxy.chat(old).status_code == 401, "the old key ends with its agent too"


def test_a_key_is_rotated_when_it_is_as_old_as_its_interval(kube: Kube, proxy: Proxy) -> None:
    defaults = {"rotation": {"interval": "60s", "gracePeriod": "50s"}}
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
    # In the last tenth of the interval; times in a status are whole seconds.
    assert 53 <= _age_at_rotation(kube, "tick") <= 61
    assert 640 * 3600 < _age_at_rotation(kube, "slow") <= 720 * 3600 + 1
    assert "nextRotation" not in status(kube, "tock")["key"]
    found = wait_generation(kube, "tick", 2)
    assert seconds_between(found["rotatedAt"], found["retiringUntil"]) > 100
    assert seconds_until(found["retiringUntil"]) < 145
    assert [status(kube, name)["key"]["generation"] for name in ("tock", "slow")] == [1, 1]
    kube.run("-n", TEAM, "delete", "openclawagent", "tick", "tock", "slow")
    kube.delete("litellmroute", AI, "clockwork")


def _age_at_rotation(kube: Kube, name: str) -> float:
    """How old an agent's key is when it is rotated, in seconds."""
    key = status(kube, name)["key"]
    return seconds_between(key["rotatedAt"], key["nextRotation"])


def test_rotating_again_and_again_spends_one_budget(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("saver", key={"maxBudget": "0.004", "budgetDuration": "14d", "rotation": {"gracePeriod": "1h"}}))
    uid = kube.wait_ready("openclawagent", TEAM, "saver")["metadata"]["uid"]
    first, resets = _key(kube, "saver"), eventually(lambda: status(kube, "saver").get("budgetResetsAt"))
    spent = _spend(kube, proxy, "saver")
    for number in range(1, 6):
        ask(kube, "saver", f"round {number}")
        wait_generation(kube, "saver", number + 1)
        assert float(status(kube, "saver")["spend"]) >= spent, "the spend is carried over"
    assert status(kube, "saver")["budgetResetsAt"] == resets, (
        "the period goes on, though LiteLLM counts it from the key's creation"
    )
    assert [row["metadata"]["litclaw"]["anew_at"] for row in proxy.rows(uid) if row["expires"] is None] == [resets]
    # The first key is still valid and goes on spending; its spend is added to the live key.
    for _ in range(3):
        _call(proxy, first)
    eventually(lambda: float(status(kube, "saver")["spend"]) >= 1.9 * spent, what="the old key's spend is added")

    def refused() -> bool:
        return proxy.chat(_key(kube, "saver"), "claude-opus-4-6").status_code in (400, 422, 429)

    def spent_up() -> bool:
        proxy.chat(_key(kube, "saver"), "claude-opus-4-6")  # a refused call may be refused for what LiteLLM reserves
        return kube.condition("openclawagent", TEAM, "saver", "WithinBudget")["status"] == "False"

    eventually(spent_up, what="the budget is spent")
    ask(kube, "saver", "one more")
    wait_generation(kube, "saver", 7)
    [row] = [row for row in proxy.rows(uid) if row["expires"] is None]
    assert row["spend"] >= row["max_budget"], "the new key has no new budget"
    eventually(refused)
    eventually(lambda: proxy.chat(first, "claude-opus-4-6").status_code == 401, what="nor have the old ones")
    kube.delete("openclawagent", TEAM, "saver")
