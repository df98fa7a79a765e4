"""A route's models: rendered without secrets, with settings passed through, and answered by the real LiteLLM."""

import yaml

from .api import Object
from .kube import Kube
from .pods import has_pod_settings
from .proxy import Proxy
from .resources import AI, TEAM, agent, managed_route, resource
from .waiting import eventually


def _config(kube: Kube) -> Object:
    found: Object = yaml.safe_load(kube.must("configmap", AI, "main-litellm")["data"]["config.yaml"])
    return found


def test_every_secret_parameter_is_an_environment_variable(kube: Kube, proxy: Proxy) -> None:
    models = {entry["model_name"]: entry for entry in _config(kube)["model_list"]}
    params = models["unsteady"]["litellm_params"]
    assert params["api_key"] == models["gpt-image-2"]["litellm_params"]["api_key"], "one Secret key is one variable"
    names = [params[field].removeprefix("os.environ/") for field in ("api_key", "organization")]
    [container] = kube.must("deployment", AI, "main-litellm")["spec"]["template"]["spec"]["containers"]
    env = {entry["name"]: entry.get("valueFrom", {}).get("secretKeyRef", {}) for entry in container["env"]}
    assert [env[name].get("key") for name in names] == ["KEY", "ORGANIZATION"]
    assert models["gpt-image-2"]["model_info"] == {"mode": "image_generation"}
    text = kube.must("configmap", AI, "main-litellm")["data"]["config.yaml"]
    assert "the-key-of-the-painter" not in text and "o-1" not in text


def test_what_an_owner_sets_of_the_proxys_pods_is_there(kube: Kube, proxy: Proxy) -> None:
    selector = "app.kubernetes.io/instance=main,app.kubernetes.io/component=proxy"
    pods = [pod for pod in kube.list("pods", "-l", selector) if "deletionTimestamp" not in pod["metadata"]]
    service = kube.must("service", AI, "main-litellm")
    assert pods
    for pod in pods:
        has_pod_settings(pod, service)
    command = ("exec", "deployment/main-litellm", "--", "sh", "-c", "echo $GREETING $FROM_KEY $FROM_SECRET $MY_CHANNEL")
    assert "hello c-1 t c-1" in kube.run("-n", AI, *command).stdout


def test_settings_are_passed_through_and_a_fallback_answers(kube: Kube, proxy: Proxy, scout: str) -> None:
    config = _config(kube)
    assert config["router_settings"] == {"num_retries": 0, "fallbacks": [{"unsteady": ["gpt-4o"]}]}
    assert config["litellm_settings"]["drop_params"] is True
    assert config["general_settings"]["proxy_budget_rescheduler_max_time"] == 10
    answer = proxy.chat(kube.secret(TEAM, f"{scout}-litellm")["LITELLM_API_KEY"], "unsteady")
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "This is gpt-4o."


def test_a_routes_limits_are_for_agents_that_set_none(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("modest"), agent("own", key={"rpmLimit": 7}))
    rows = {}
    for name in ("modest", "own"):
        uid = kube.wait_ready("openclawagent", TEAM, name)["metadata"]["uid"]
        [rows[name]] = proxy.rows(uid)
    assert (rows["modest"]["tpm_limit"], rows["modest"]["rpm_limit"]) == (10_000_000, 100_000)
    assert (rows["own"]["tpm_limit"], rows["own"]["rpm_limit"]) == (10_000_000, 7)
    kube.delete("openclawagent", TEAM, "modest")
    kube.delete("openclawagent", TEAM, "own")


def test_a_setting_that_the_operator_owns_is_refused_by_name(kube: Kube, proxy: Proxy) -> None:
    route = resource("LiteLLMRoute", "clash", AI, managed_route("clash")["spec"])
    route["spec"]["generalSettings"] = {"master_key": "os.environ/OTHER"}
    kube.apply(route)
    found = kube.wait_condition("litellmroute", AI, "clash", "ModelsReady", "False", "InvalidSettings")
    assert "spec.generalSettings.master_key" in found["message"] and "remove it" in found["message"]
    assert kube.get("deployment", AI, "clash-litellm") is None
    kube.delete("litellmroute", AI, "clash")


def test_models_whose_names_differ_in_case_only_are_refused(kube: Kube, proxy: Proxy) -> None:
    twins = [{"name": name, "litellmParams": {"model": "openai/gpt-4o"}} for name in ("gpt-4o", "GPT-4o")]
    kube.apply(managed_route("twins", models=twins))
    found = kube.wait_condition("litellmroute", AI, "twins", "ModelsReady", "False", "ModelsCollide")
    assert "'gpt-4o' and 'GPT-4o'" in found["message"] and "rename one" in found["message"]
    kube.wait_condition("litellmroute", AI, "twins", "Stalled", "True")
    kube.delete("litellmroute", AI, "twins")


def test_the_status_counts_what_there_is(kube: Kube, proxy: Proxy, scout: str) -> None:
    def counted() -> bool:
        status = kube.must("litellmroute", AI, "main")["status"]
        rows = proxy.rows()
        agents = [a for a in kube.list("openclawagents") if a["spec"]["routeRef"]["name"] == "main"]
        assert (status["models"], status["agents"]) == (4, len(agents)), status
        assert status["keys"] == {"live": len(rows), "retiring": 0}, (status, len(rows))
        assert abs(float(status["spend"]) - sum(row["spend"] for row in rows)) < 0.001, status
        return status["version"].count(".") == 2 and len(rows) >= 1

    eventually(counted)


def test_the_dashboard_asks_for_the_master_key_and_the_api_docs_are_off(proxy: Proxy) -> None:
    assert proxy.call("GET", "/ui/").status_code == 200
    assert [proxy.sign_in(password) for password in ("sk-1234", "", proxy.master_key)] == [401, 401, 200]
    assert "swagger" not in proxy.call("GET", "/").text.lower()
    assert [proxy.call("GET", path).status_code for path in ("/redoc", "/openapi.json")] == [404, 404]
