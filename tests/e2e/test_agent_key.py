"""The life of a virtual key: its limits, suspension, retention after its agent's deletion, and its spend."""

from typing import Any

from .api import Object
from .kube import Kube
from .proxy import Proxy
from .resources import AI, TEAM, agent
from .test_delete import external
from .waiting import LONG_SECONDS, eventually


def _key(kube: Kube, name: str) -> str:
    return kube.secret(TEAM, f"{name}-litellm")["LITELLM_API_KEY"]


def _row(kube: Kube, proxy: Proxy, name: str) -> Object:
    [row] = proxy.rows(kube.must("openclawagent", TEAM, name)["metadata"]["uid"])
    return row


def _events(kube: Kube, name: str, reason: str) -> list[Object]:
    return [e for e in kube.list("events") if (e["involvedObject"]["name"], e["reason"]) == (name, reason)]


def _call(proxy: Proxy, key: str) -> None:
    """Make a call that is answered. LiteLLM reserves the possible cost of a call until the call is over, so the next
    may be refused at first if the budget is small."""
    eventually(lambda: proxy.chat(key, "claude-opus-4-6").status_code == 200, what="a call")


def _spend(kube: Kube, proxy: Proxy, name: str, *, calls: int = 3) -> float:
    """Make calls with an agent's key; returns the spend in its status once LiteLLM has booked them."""
    for _ in range(calls):
        _call(proxy, _key(kube, name))

    def booked() -> float:
        return float(kube.must("openclawagent", TEAM, name)["status"].get("spend") or 0)

    return eventually(booked, what="spend in the status")


def test_a_secret_under_another_name_has_the_same_key(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("renamer"))
    kube.wait_ready("openclawagent", TEAM, "renamer")
    key = _key(kube, "renamer")
    kube.apply(agent("renamer", key={"secretName": "renamed"}))
    eventually(lambda: kube.secret(TEAM, "renamed")["LITELLM_API_KEY"] == key)
    eventually(lambda: kube.get("secret", TEAM, "renamer-litellm") is None)
    assert proxy.chat(key).status_code == 200 and _row(kube, proxy, "renamer")["blocked"] in (None, False)
    kube.delete("openclawagent", TEAM, "renamer")
    eventually(lambda: kube.get("secret", TEAM, "renamed") is None)


def test_every_limit_reaches_litellm(kube: Kube, proxy: Proxy) -> None:
    team = proxy.call("POST", "/team/new", json={"team_alias": "research", "max_budget": 100}).json()["team_id"]
    key: dict[str, Any] = {
        "alias": "limited/by-name",
        "maxBudget": "12.5",
        "budgetDuration": "30d",
        "tpmLimit": 100000,
        "rpmLimit": 60,
        "maxParallelRequests": 4,
        "team": team,
        "metadata": {"costCenter": "r-17", "nested": {"a": 1}},
        "secretName": "limited-secret",
    }
    kube.apply(agent("limited", models=["gpt-4o"], key=key))
    uid = kube.wait_ready("openclawagent", TEAM, "limited")["metadata"]["uid"]
    [row] = proxy.rows(uid)
    assert (row["key_alias"], row["models"], row["team_id"]) == ("limited/by-name", ["gpt-4o"], team)
    assert (row["max_budget"], row["budget_duration"]) == (12.5, "30d")
    assert (row["tpm_limit"], row["rpm_limit"], row["max_parallel_requests"]) == (100000, 60, 4)
    assert row["metadata"]["litclaw_metadata"] == key["metadata"]
    assert row["metadata"].keys() <= {"litclaw", "litclaw_metadata"}, "LiteLLM obeys none of it"
    value = kube.secret(TEAM, "limited-secret")["LITELLM_API_KEY"]
    assert proxy.chat(value, "gpt-4o").status_code == 200
    assert proxy.chat(value, "claude-opus-4-6").status_code == 403
    assert proxy.call("GET", "/v1/models", key=value).status_code == 200
    for path in ("/health", "/key/info", "/key/list"):
        assert proxy.call("GET", path, key=value).status_code == 403, "models only"
    kube.apply(agent("limited", models=["gpt-4o"], key={**key, "maxParallelRequests": 0, "metadata": {}}))

    def lifted() -> bool:
        [now] = proxy.rows(uid)
        assert (now["max_parallel_requests"], now["token"]) == (None, row["token"]), now
        return "litclaw_metadata" not in now["metadata"]

    eventually(lifted)
    assert kube.secret(TEAM, "limited-secret")["LITELLM_API_KEY"] == value, "a changed limit needs no new key"
    kube.delete("openclawagent", TEAM, "limited")


def test_tags_need_litellms_enterprise_licence_and_that_is_said(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("tagged", key={"tags": ["research"]}))
    found = kube.wait_condition("openclawagent", TEAM, "tagged", "KeyReady", "False", "Rejected")
    assert "LiteLLM" in found["message"] and "tags" in found["message"], found
    kube.wait_condition("openclawagent", TEAM, "tagged", "Stalled", "True")
    kube.apply(agent("tagged"))
    kube.wait_ready("openclawagent", TEAM, "tagged")
    kube.delete("openclawagent", TEAM, "tagged")


def test_a_suspended_agent_keeps_its_key_and_what_it_has_spent(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("sleeper", key={"maxBudget": "5"}))
    kube.wait_ready("openclawagent", TEAM, "sleeper")
    key, spent = _key(kube, "sleeper"), _spend(kube, proxy, "sleeper")
    kube.apply(agent("sleeper", key={"maxBudget": "5"}, suspend=True))
    kube.wait_condition("openclawagent", TEAM, "sleeper", "Ready", "True", "Suspended")
    eventually(lambda: proxy.chat(key).status_code == 401)
    assert (_row(kube, proxy, "sleeper")["blocked"], _key(kube, "sleeper")) == (True, key)
    kube.apply(agent("sleeper", key={"maxBudget": "5"}, suspend=False))
    kube.wait_condition("openclawagent", TEAM, "sleeper", "Ready", "True", "Ready")
    eventually(lambda: proxy.chat(key).status_code == 200)
    row = _row(kube, proxy, "sleeper")
    assert not row["blocked"] and row["spend"] >= spent
    kube.delete("openclawagent", TEAM, "sleeper")


def test_a_key_that_somebody_else_has_blocked_is_not_unblocked(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("caught"))
    kube.wait_ready("openclawagent", TEAM, "caught")
    assert proxy.call("POST", "/key/block", json={"key": _key(kube, "caught")}).status_code == 200
    found = kube.wait_condition("openclawagent", TEAM, "caught", "KeyReady", "False", "KeyBlocked")
    assert "unblock it there" in found["message"]
    assert proxy.call("POST", "/key/unblock", json={"key": _key(kube, "caught")}).status_code == 200
    kube.wait_ready("openclawagent", TEAM, "caught")
    kube.delete("openclawagent", TEAM, "caught")


def test_a_namespace_taken_off_the_list_loses_its_keys_and_gets_them_back(kube: Kube, proxy: Proxy) -> None:
    kube.apply(external("club", "main-litellm"), agent("member", route="club"))
    kube.wait_ready("openclawagent", TEAM, "member")
    key = _key(kube, "member")
    assert proxy.chat(key).status_code == 200
    kube.patch("litellmroute", AI, "club", {"spec": {"allowedNamespaces": {"from": "Same"}}})
    kube.wait_condition("openclawagent", TEAM, "member", "RouteAccepted", "False", "NamespaceNotAllowed")
    kube.wait_condition("openclawagent", TEAM, "member", "KeyReady", "False", "NotAllowed")
    eventually(lambda: proxy.chat(key).status_code == 401)
    kube.patch("litellmroute", AI, "club", {"spec": {"allowedNamespaces": {"from": "All"}}})
    kube.wait_ready("openclawagent", TEAM, "member")
    eventually(lambda: proxy.chat(key).status_code == 200)
    kube.delete("openclawagent", TEAM, "member")
    kube.delete("litellmroute", AI, "club")


def test_a_retained_key_outlives_its_agent_and_is_taken_back(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("phoenix", key={"deletionPolicy": "Retain"}))
    first = kube.wait_ready("openclawagent", TEAM, "phoenix")["metadata"]["uid"]
    key = _key(kube, "phoenix")
    kube.delete("openclawagent", TEAM, "phoenix")
    eventually(lambda: not kube.get("configmap", TEAM, "phoenix-openclaw"), what="the ConfigMap goes with its agent")
    assert _key(kube, "phoenix") == key and proxy.chat(key).status_code == 200
    kube.apply(agent("lookalike", key={"secretName": "phoenix-litellm"}))
    kube.wait_condition("openclawagent", TEAM, "lookalike", "KeyReady", "False", "NameTaken")
    kube.delete("openclawagent", TEAM, "lookalike")
    assert len(proxy.rows(first)) == 1, "the sweep leaves a retained key alone"

    kube.apply(agent("phoenix", key={"maxBudget": "3"}))
    second = kube.wait_ready("openclawagent", TEAM, "phoenix")["metadata"]["uid"]
    assert second != first and _key(kube, "phoenix") == key
    [row] = proxy.rows(second)
    assert (row["max_budget"], row["key_alias"], proxy.rows(first)) == (3, "team-a/phoenix", [])
    [owner] = kube.must("secret", TEAM, "phoenix-litellm")["metadata"]["ownerReferences"]
    assert owner["uid"] == second
    kube.delete("openclawagent", TEAM, "phoenix")
    assert proxy.chat(key).status_code == 401, "the agent that took the key back has the policy Delete"


def test_a_retained_key_whose_secret_is_lost_hands_on_what_it_has_spent(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("relic", key={"deletionPolicy": "Retain"}))
    first = kube.wait_ready("openclawagent", TEAM, "relic")["metadata"]["uid"]
    old, spent = _key(kube, "relic"), _spend(kube, proxy, "relic")
    kube.delete("openclawagent", TEAM, "relic")
    kube.delete("secret", TEAM, "relic-litellm")
    kube.apply(agent("relic"))
    second = kube.wait_ready("openclawagent", TEAM, "relic")["metadata"]["uid"]
    [row] = proxy.rows(second)
    assert row["spend"] >= spent and proxy.rows(first) == []
    assert proxy.chat(old).status_code == 401 and proxy.chat(_key(kube, "relic")).status_code == 200
    kube.delete("openclawagent", TEAM, "relic")


def test_a_key_deleted_at_the_proxy_hands_its_budget_out_once(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("spender", key={"maxBudget": "5", "budgetDuration": "monthly"}))
    kube.wait_ready("openclawagent", TEAM, "spender")
    before, spent = _key(kube, "spender"), _spend(kube, proxy, "spender")
    assert proxy.call("POST", "/key/delete", json={"keys": [before]}).status_code == 200
    eventually(lambda: _key(kube, "spender") != before)
    assert _row(kube, proxy, "spender")["spend"] >= spent
    kube.delete("openclawagent", TEAM, "spender")


def test_a_spent_budget_is_said_once_and_clears_when_there_is_more(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("broke", key={"maxBudget": "0.0001", "budgetDuration": "monthly"}))
    kube.wait_ready("openclawagent", TEAM, "broke")
    _spend(kube, proxy, "broke", calls=1)
    found = kube.wait_condition("openclawagent", TEAM, "broke", "WithinBudget", "False", "Spent")
    assert "of 0.0001 USD are spent" in found["message"] and "spec.key.maxBudget" in found["message"]
    assert proxy.chat(_key(kube, "broke"), "claude-opus-4-6").status_code in (400, 422, 429)
    status = kube.must("openclawagent", TEAM, "broke")["status"]
    assert (status["budget"], bool(status["budgetResetsAt"])) == ("0.0001", True)
    kube.wait_condition("openclawagent", TEAM, "broke", "Ready", "True")
    eventually(lambda: len(_events(kube, "broke", "BudgetSpent")) == 1)
    kube.apply(agent("broke", key={"maxBudget": "9", "budgetDuration": "monthly"}))
    kube.wait_condition("openclawagent", TEAM, "broke", "WithinBudget", "True", "Within")
    eventually(lambda: proxy.chat(_key(kube, "broke"), "claude-opus-4-6").status_code == 200)
    assert len(_events(kube, "broke", "BudgetSpent")) == 1
    kube.delete("openclawagent", TEAM, "broke")


def test_a_spent_budget_clears_when_its_period_is_over(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("patient", key={"maxBudget": "0.0001", "budgetDuration": "120s"}))
    kube.wait_ready("openclawagent", TEAM, "patient")
    key = _key(kube, "patient")
    assert proxy.chat(key, "claude-opus-4-6").status_code == 200

    def spent() -> bool:
        proxy.chat(key, "claude-opus-4-6")  # on a busy machine a period may be over before its spend is seen
        return kube.condition("openclawagent", TEAM, "patient", "WithinBudget").get("reason") == "Spent"

    eventually(spent, timeout=LONG_SECONDS)
    kube.wait_condition("openclawagent", TEAM, "patient", "WithinBudget", "True", "Within", timeout=LONG_SECONDS)
    eventually(lambda: len(_events(kube, "patient", "BudgetAnew")) >= 1)
    eventually(lambda: proxy.chat(key, "claude-opus-4-6").status_code == 200, timeout=LONG_SECONDS)
    kube.delete("openclawagent", TEAM, "patient")
