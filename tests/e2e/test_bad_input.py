"""Each mistake sets a condition with a reason and a remedy, and the condition clears once the cause is fixed."""

from .api import Object
from .kube import Kube
from .proxy import Proxy
from .resources import AI, MODELS, TEAM, agent, managed_route
from .test_delete import door, external


def _says(condition: Object, *words: str) -> None:
    for word in words:
        assert word in condition["message"], condition


def _stalled(kube: Kube, kind: str, namespace: str, name: str) -> None:
    kube.wait_condition(kind, namespace, name, "Stalled", "True")
    kube.wait_condition(kind, namespace, name, "Ready", "False")


def test_missing_route(kube: Kube, proxy: Proxy) -> None:
    kube.apply(door("early-door"), agent("early", route="late"))
    found = kube.wait_condition("openclawagent", TEAM, "early", "RouteAccepted", "False", "RouteNotFound")
    _says(found, "ai/late", "create it")
    _stalled(kube, "openclawagent", TEAM, "early")
    kube.apply(external("late", "early-door"))
    kube.wait_ready("openclawagent", TEAM, "early")
    kube.delete("openclawagent", TEAM, "early")
    kube.delete("litellmroute", AI, "late")
    kube.delete("service", AI, "early-door")


def test_missing_secret(kube: Kube, proxy: Proxy) -> None:
    models = [{**MODELS[0], "apiKeySecretRef": {"name": "anthropic", "key": "ANTHROPIC_API_KEY"}}]
    kube.apply(managed_route("keyless", models=models))
    found = kube.wait_condition("litellmroute", AI, "keyless", "SecretsReady", "False", "SecretNotFound")
    _says(found, "Secret ai/anthropic", "apiKeySecretRef", "create it")
    _stalled(kube, "litellmroute", AI, "keyless")
    kube.run("-n", AI, "create", "secret", "generic", "anthropic", "--from-literal=WRONG=x")
    found = kube.wait_condition("litellmroute", AI, "keyless", "SecretsReady", "False", "SecretKeyNotFound")
    _says(found, "ANTHROPIC_API_KEY", "it has WRONG")
    kube.patch("secret", AI, "anthropic", {"stringData": {"ANTHROPIC_API_KEY": "sk-ant-for-the-test"}})
    kube.wait_condition("litellmroute", AI, "keyless", "SecretsReady", "True")
    kube.delete("litellmroute", AI, "keyless")
    kube.delete("secret", AI, "anthropic")


def test_wrong_master_key(kube: Kube, proxy: Proxy) -> None:
    kube.run("-n", AI, "create", "secret", "generic", "guess", "--from-literal=KEY=sk-not-the-master-key")
    route = external("guessed", "main-litellm")
    route["spec"]["external"]["masterKeySecretRef"] = {"name": "guess", "key": "KEY"}
    kube.apply(route)
    found = kube.wait_condition("litellmroute", AI, "guessed", "ProxyReady", "False", "MasterKeyRefused")
    _says(found, "master key", "Secret")
    assert "sk-not-the-master-key" not in found["message"]
    _stalled(kube, "litellmroute", AI, "guessed")
    kube.patch("secret", AI, "guess", {"stringData": {"KEY": proxy.master_key}})
    kube.wait_ready("litellmroute", AI, "guessed")
    kube.delete("litellmroute", AI, "guessed")
    kube.delete("secret", AI, "guess")


def test_unreachable_proxy(kube: Kube, proxy: Proxy) -> None:
    kube.apply(external("dark", "dark-door"))
    found = kube.wait_condition("litellmroute", AI, "dark", "ProxyReady", "False", "Unreachable")
    _says(found, "dark-door.ai.svc.cluster.local:4000", "check spec.external.url")
    kube.apply(agent("waiter", route="dark"))
    kube.wait_condition("openclawagent", TEAM, "waiter", "RouteAccepted", "False", "RouteNotReady")
    kube.apply(door("dark-door"))
    kube.wait_ready("litellmroute", AI, "dark")
    kube.wait_ready("openclawagent", TEAM, "waiter")
    kube.delete("openclawagent", TEAM, "waiter")
    kube.delete("litellmroute", AI, "dark")
    kube.delete("service", AI, "dark-door")


def test_something_else_at_the_url(kube: Kube, proxy: Proxy) -> None:
    route = external("odd", "odd")
    route["spec"]["external"]["url"] = "http://kube-dns.kube-system.svc.cluster.local:53"
    kube.apply(route)
    kube.wait_condition("litellmroute", AI, "odd", "Ready", "False")
    route["spec"]["external"]["url"] = "http://main-litellm.ai.svc.cluster.local:4000"
    kube.apply(route)
    kube.wait_ready("litellmroute", AI, "odd")
    kube.delete("litellmroute", AI, "odd")


def test_model_that_the_route_lacks(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("dreamer", models=["gpt-9"]))
    found = kube.wait_condition("openclawagent", TEAM, "dreamer", "RouteAccepted", "False", "ModelNotFound")
    _says(found, "gpt-9", "spec.models", "claude-opus-4-6")
    _stalled(kube, "openclawagent", TEAM, "dreamer")
    kube.apply(agent("dreamer", models=["gpt-4o"]))
    kube.wait_ready("openclawagent", TEAM, "dreamer")
    kube.delete("openclawagent", TEAM, "dreamer")


def test_a_secret_of_that_name_that_is_not_ours(kube: Kube, proxy: Proxy) -> None:
    kube.run("-n", TEAM, "create", "secret", "generic", "squatter-litellm", "--from-literal=mine=precious")
    kube.apply(agent("squatter"))
    found = kube.wait_condition("openclawagent", TEAM, "squatter", "KeyReady", "False", "NameTaken")
    _says(found, "team-a/squatter-litellm", "spec.key.secretName")
    _stalled(kube, "openclawagent", TEAM, "squatter")
    assert kube.secret(TEAM, "squatter-litellm") == {"mine": "precious"}
    kube.delete("secret", TEAM, "squatter-litellm")
    kube.wait_ready("openclawagent", TEAM, "squatter")
    kube.delete("openclawagent", TEAM, "squatter")


def test_a_configmap_of_that_name_that_is_not_ours(kube: Kube, proxy: Proxy) -> None:
    kube.run("-n", TEAM, "create", "configmap", "settler-openclaw", "--from-literal=mine=precious")
    kube.apply(agent("settler"))
    found = kube.wait_condition("openclawagent", TEAM, "settler", "ConfigReady", "False", "NameTaken")
    _says(found, "team-a/settler-openclaw", "spec.config.configMapName")
    assert kube.must("configmap", TEAM, "settler-openclaw")["data"] == {"mine": "precious"}
    kube.apply(agent("settler", config={"configMapName": "settler-config"}))
    kube.wait_ready("openclawagent", TEAM, "settler")
    kube.delete("openclawagent", TEAM, "settler")
    assert kube.must("configmap", TEAM, "settler-openclaw")["data"] == {"mine": "precious"}
    kube.delete("configmap", TEAM, "settler-openclaw")


def test_a_namespace_that_the_route_does_not_allow(kube: Kube, proxy: Proxy) -> None:
    kube.apply(external("closed", "main-litellm"))
    kube.patch("litellmroute", AI, "closed", {"spec": {"allowedNamespaces": {"from": "Same"}}})
    kube.apply(agent("outsider", route="closed"))
    found = kube.wait_condition("openclawagent", TEAM, "outsider", "RouteAccepted", "False", "NamespaceNotAllowed")
    _says(found, "team-a", "spec.allowedNamespaces")
    selector = {"from": "Selector", "selector": {"matchLabels": {"models": "yes"}}}
    kube.patch("litellmroute", AI, "closed", {"spec": {"allowedNamespaces": selector}})
    kube.run("label", "namespace", TEAM, "models=yes")
    kube.wait_ready("openclawagent", TEAM, "outsider")
    kube.run("label", "namespace", TEAM, "models-")
    kube.wait_condition("openclawagent", TEAM, "outsider", "RouteAccepted", "False", "NamespaceNotAllowed")
    kube.delete("openclawagent", TEAM, "outsider")
    kube.delete("litellmroute", AI, "closed")


def test_an_alias_that_another_key_has(kube: Kube, proxy: Proxy) -> None:
    made = proxy.call("POST", "/key/generate", json={"key_alias": "by-hand"})
    assert made.status_code == 200
    kube.apply(agent("namesake", key={"alias": "by-hand"}))
    found = kube.wait_condition("openclawagent", TEAM, "namesake", "KeyReady", "False", "AliasTaken")
    _says(found, "by-hand", "spec.key.alias")
    kube.apply(agent("namesake", key={"alias": "by-operator"}))
    kube.wait_ready("openclawagent", TEAM, "namesake")
    assert proxy.chat(made.json()["key"]).status_code == 200, "a key that isn't ours is never touched"
    proxy.call("POST", "/key/delete", json={"keys": [made.json()["key"]]})
    kube.delete("openclawagent", TEAM, "namesake")
