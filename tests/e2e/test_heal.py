"""The operator repairs what somebody else deletes or changes."""

import base64

from .api import Object
from .kube import Kube
from .proxy import Proxy
from .resources import AI, TEAM, agent
from .waiting import LONG_SECONDS, eventually


def _key(kube: Kube, name: str) -> str:
    return kube.secret(TEAM, f"{name}-litellm")["LITELLM_API_KEY"]


def _one_live_key(kube: Kube, proxy: Proxy, name: str) -> bool:
    """Whether the agent has one key at the proxy, and the key in the Secret works."""
    uid = kube.must("openclawagent", TEAM, name)["metadata"]["uid"]
    secret = kube.get("secret", TEAM, f"{name}-litellm")
    if not secret:
        return False
    rows = proxy.rows(uid)
    return len(rows) == 1 and proxy.chat(_key(kube, name)).status_code == 200


def test_a_deleted_secret_comes_back_with_a_live_key(kube: Kube, proxy: Proxy, scout: str) -> None:
    before = _key(kube, scout)
    kube.delete("secret", TEAM, f"{scout}-litellm")
    eventually(lambda: _one_live_key(kube, proxy, scout))
    assert _key(kube, scout) != before


def test_a_changed_secret_is_put_right(kube: Kube, proxy: Proxy, scout: str) -> None:
    wrong = base64.b64encode(b"sk-something-else-entirely").decode()
    kube.patch("secret", TEAM, f"{scout}-litellm", {"data": {"LITELLM_API_KEY": wrong}})
    eventually(lambda: _one_live_key(kube, proxy, scout))
    before = _key(kube, scout)
    kube.patch("secret", TEAM, f"{scout}-litellm", {"data": {"LITELLM_BASE_URL": wrong}})
    url = "http://main-litellm.ai.svc.cluster.local:4000"
    eventually(lambda: kube.secret(TEAM, f"{scout}-litellm")["LITELLM_BASE_URL"] == url)
    assert _key(kube, scout) == before, "a key that is right stays"


def test_a_deleted_or_changed_configmap_is_put_right(kube: Kube, scout: str) -> None:
    name = f"{scout}-openclaw"
    rendered = kube.must("configmap", TEAM, name)["data"]["openclaw.json"]
    kube.patch("configmap", TEAM, name, {"data": {"openclaw.json": "{}"}})
    eventually(lambda: kube.must("configmap", TEAM, name)["data"]["openclaw.json"] == rendered)
    kube.delete("configmap", TEAM, name)
    eventually(lambda: (kube.get("configmap", TEAM, name) or {}).get("data", {}).get("openclaw.json") == rendered)


def test_a_key_deleted_at_the_proxy_is_replaced(kube: Kube, proxy: Proxy, scout: str) -> None:
    before = _key(kube, scout)
    assert proxy.call("POST", "/key/delete", json={"keys": [before]}).status_code == 200
    eventually(lambda: _key(kube, scout) != before and _one_live_key(kube, proxy, scout))


def test_a_limit_changed_at_the_proxy_is_put_right(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("limits", key={"maxBudget": "50", "budgetDuration": "monthly", "tpmLimit": 1000, "rpmLimit": 10}))
    uid = kube.wait_ready("openclawagent", TEAM, "limits")["metadata"]["uid"]
    [row] = proxy.rows(uid)
    assert (row["max_budget"], row["budget_duration"], row["tpm_limit"], row["rpm_limit"]) == (50, "monthly", 1000, 10)
    changes = {"key": row["token"], "max_budget": 5000, "rpm_limit": 99, "key_alias": "mine-now"}
    assert proxy.call("POST", "/key/update", json=changes).status_code == 200

    def put_right() -> bool:
        [now] = proxy.rows(uid)
        return (now["max_budget"], now["rpm_limit"], now["key_alias"]) == (50, 10, "team-a/limits")

    eventually(put_right)
    kube.apply(agent("limits", key={"maxBudget": "7.5", "tpmLimit": 0}))

    def follows_the_resource() -> bool:
        [now] = proxy.rows(uid)
        assert (now["max_budget"], now["budget_duration"]) == (7.5, None), now
        # 0 removes the route's limit; a field that is left out has the route's value.
        assert (now["tpm_limit"], now["rpm_limit"], now["token"]) == (None, 100_000, row["token"]), now
        return True

    eventually(follows_the_resource)
    kube.delete("openclawagent", TEAM, "limits")


def test_a_deleted_deployment_comes_back(kube: Kube, proxy: Proxy) -> None:
    before = kube.must("deployment", AI, "main-litellm")
    kube.patch("deployment", AI, "main-litellm", {"spec": {"replicas": 0}})
    eventually(lambda: kube.must("deployment", AI, "main-litellm")["spec"]["replicas"] == 1)
    kube.delete("service", AI, "main-litellm")
    eventually(lambda: kube.get("service", AI, "main-litellm"))
    kube.wait_ready("litellmroute", AI, "main", timeout=LONG_SECONDS)
    assert kube.must("deployment", AI, "main-litellm")["metadata"]["uid"] == before["metadata"]["uid"]


def test_a_changed_route_rolls_the_proxy(kube: Kube, proxy: Proxy) -> None:
    def annotations() -> Object:
        spec = kube.must("deployment", AI, "main-litellm")["spec"]
        found: Object = spec["template"]["metadata"]["annotations"]
        return found

    before = annotations()
    route = kube.must("litellmroute", AI, "main")
    models = [*route["spec"]["models"], {**route["spec"]["models"][1], "name": "gpt-4o-again"}]
    kube.apply(agent("modeler", models=["gpt-4o-again"]))
    kube.wait_condition("openclawagent", TEAM, "modeler", "RouteAccepted", "False", "ModelNotFound")
    kube.patch("litellmroute", AI, "main", {"spec": {"models": models}})
    eventually(lambda: annotations()["litclaw.dev/config"] != before["litclaw.dev/config"])
    assert annotations()["litclaw.dev/secrets"] == before["litclaw.dev/secrets"]
    kube.wait_ready("openclawagent", TEAM, "modeler", timeout=LONG_SECONDS)
    assert proxy.chat(_key(kube, "modeler"), "gpt-4o-again").status_code == 200
    assert proxy.chat(_key(kube, "modeler"), "gpt-4o").status_code == 403
    kube.delete("openclawagent", TEAM, "modeler")
    kube.patch("litellmroute", AI, "main", {"spec": {"models": route["spec"]["models"]}})
    kube.wait_ready("litellmroute", AI, "main", timeout=LONG_SECONDS)
