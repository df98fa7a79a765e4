"""From `kubectl apply` to an agent's answer: a real OpenClaw calls a real LiteLLM with its own key."""

import json

from dev.cluster import Cluster
from dev.demo import turn

from .kube import Kube
from .proxy import Proxy
from .resources import AI, TEAM
from .waiting import eventually

URL = "http://main-litellm.ai.svc.cluster.local:4000"


def test_the_secret_and_the_config_are_all_that_an_agent_needs(kube: Kube, proxy: Proxy, scout: str) -> None:
    secret = kube.must("secret", TEAM, f"{scout}-litellm")
    assert secret["type"] == "Opaque"
    assert kube.secret(TEAM, f"{scout}-litellm").keys() == {"LITELLM_API_KEY", "LITELLM_BASE_URL"}
    assert kube.secret(TEAM, f"{scout}-litellm")["LITELLM_BASE_URL"] == URL
    config = json.loads(kube.must("configmap", TEAM, f"{scout}-openclaw")["data"]["openclaw.json"])
    provider = config["models"]["providers"]["litellm"]
    assert (provider["baseUrl"], provider["apiKey"]) == (URL, "${LITELLM_API_KEY}")
    assert provider["request"] == {"allowPrivateNetwork": True}
    assert [model["id"] for model in provider["models"]] == ["claude-opus-4-6", "gpt-4o", "gpt-image-2", "unsteady"]
    assert config["agents"]["defaults"]["model"]["primary"] == "litellm/claude-opus-4-6"
    opus = provider["models"][0]
    assert opus["cost"]["input"] > 0 and opus["cost"]["output"] > opus["cost"]["input"], "the proxy's own prices"
    assert opus["contextWindow"] >= 200_000 and opus["input"] == ["text", "image"], "as in LiteLLM's /model/info"


def test_an_openclaw_in_the_cluster_answers_and_its_spend_is_shown(
    cluster: Cluster, kube: Kube, proxy: Proxy, scout: str
) -> None:
    assert turn(cluster) == "This is claude-opus-4-6."

    def spent() -> bool:
        status = kube.must("openclawagent", TEAM, scout)["status"]
        return float(status["spend"]) > 0

    eventually(spent, what="the turn's spend in the agent's status")
    [row] = proxy.rows(kube.must("openclawagent", TEAM, scout)["metadata"]["uid"])
    assert row["key_alias"] == f"{TEAM}/{scout}"


def test_columns_and_explain_tell_a_user_what_there_is(kube: Kube, proxy: Proxy, scout: str) -> None:
    table = kube.run("get", "llr,oca", "-A").stdout
    for word in ("READY", "URL", "MODELS", "ROUTE", "SPEND", "BUDGET", "KEY-AGE", URL, scout):
        assert word in table
    assert "main" in kube.run("get", "litclaw", "-n", AI).stdout
    text = kube.run("explain", "oca.spec.key").stdout
    for word in ("maxBudget", "US dollars", "budgetDuration", "secretName"):
        assert word in text
