"""External proxies: with a private certificate authority, without a database, too old, or not a LiteLLM at all."""

import json
from collections.abc import Iterator

import pytest
import trustme

from dev.cluster import images

from .api import Object
from .kube import Kube
from .pods import python_server, served_by
from .proxy import Proxy
from .resources import AI, TEAM, agent, resource
from .waiting import LONG_SECONDS, eventually


def _route(name: str, url: str, **external: object) -> Object:
    reference = {"name": "main-master-key", "key": "LITELLM_MASTER_KEY"}
    spec = {"external": {"url": url, "masterKeySecretRef": reference, **external}, "allowedNamespaces": {"from": "All"}}
    return resource("LiteLLMRoute", name, AI, spec)


@pytest.fixture
def authority(kube: Kube, proxy: Proxy) -> Iterator[trustme.CA]:
    """A private certificate authority, and a TLS proxy in front of the real proxy with a certificate that it signed."""
    found = trustme.CA()
    certificate = found.issue_cert("tls-door.ai.svc.cluster.local")
    pem = b"".join(part.bytes() for part in (certificate.private_key_pem, *certificate.cert_chain_pems)).decode()
    kube.apply(*python_server("tls-door", "tls_door", 8443, {"tls.pem": pem}))
    kube.run("-n", AI, "rollout", "status", "deployment/tls-door", "--timeout=300s")
    yield found
    kube.run("-n", AI, "delete", "deployment,service,secret", "tls-door")


def test_a_proxy_with_a_private_authority(kube: Kube, proxy: Proxy, authority: trustme.CA) -> None:
    url = "https://tls-door.ai.svc.cluster.local:8443/v1/"
    kube.apply(_route("sealed", url))
    found = kube.wait_condition("litellmroute", AI, "sealed", "ProxyReady", "False", "CertificateNotTrusted")
    assert "spec.external.caBundleSecretRef" in found["message"]
    reference = {"name": "authority", "key": "ca.crt"}
    kube.apply(_route("sealed", url, caBundleSecretRef=reference))
    kube.wait_condition("litellmroute", AI, "sealed", "SecretsReady", "False", "SecretNotFound")
    kube.run("-n", AI, "create", "secret", "generic", "authority", "--from-literal=ca.crt=not a certificate")
    kube.wait_condition("litellmroute", AI, "sealed", "SecretsReady", "False", "InvalidCertificates")
    pem = authority.cert_pem.bytes().decode()
    kube.patch("secret", AI, "authority", {"stringData": {"ca.crt": pem}})
    kube.wait_ready("litellmroute", AI, "sealed")
    kube.apply(agent("confidant", route="sealed"))
    kube.wait_ready("openclawagent", TEAM, "confidant")
    data = kube.must("configmap", TEAM, "confidant-openclaw")["data"]
    assert data["ca.crt"] == pem
    provider = json.loads(data["openclaw.json"])["models"]["providers"]["litellm"]
    assert provider["baseUrl"] == "https://tls-door.ai.svc.cluster.local:8443"
    assert provider["request"]["tls"] == {"ca": pem}, "for the proxy alone"
    assert proxy.chat(kube.secret(TEAM, "confidant-litellm")["LITELLM_API_KEY"]).status_code == 200
    kube.delete("openclawagent", TEAM, "confidant")
    kube.delete("litellmroute", AI, "sealed")
    kube.delete("secret", AI, "authority")


def test_a_proxy_without_a_database(kube: Kube, proxy: Proxy) -> None:
    """A real LiteLLM without a database."""
    config = {"model_list": [], "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"}}
    env = [
        {
            "name": "LITELLM_MASTER_KEY",
            "valueFrom": {"secretKeyRef": {"name": "main-master-key", "key": "LITELLM_MASTER_KEY"}},
        }
    ]
    args = ["--config", "/files/config.yaml", "--port", "4000"]
    kube.apply(*served_by("forgetful", images()["litellm"], 4000, {"config.yaml": json.dumps(config)}, args, env))
    kube.apply(_route("forgetful", "http://forgetful.ai.svc.cluster.local:4000"))
    found = kube.wait_condition(
        "litellmroute", AI, "forgetful", "ProxyReady", "False", "NoDatabase", timeout=LONG_SECONDS
    )
    assert "database_url" in found["message"]
    kube.wait_condition("litellmroute", AI, "forgetful", "Stalled", "True")
    kube.delete("litellmroute", AI, "forgetful")
    kube.run("-n", AI, "delete", "deployment,service,secret", "forgetful")


def test_a_proxy_that_is_too_old_and_something_that_is_no_proxy(kube: Kube, proxy: Proxy) -> None:
    ready = {"status": "healthy", "db": "connected", "litellm_version": "1.55.8"}
    answers = {"/health/readiness": [200, ready], "/model/info": [200, {"data": []}]}
    kube.apply(*python_server("ancient", "answers", 8080, {"answers.json": json.dumps(answers)}))
    kube.apply(_route("ancient", "http://ancient.ai.svc.cluster.local:8080"))
    found = kube.wait_condition("litellmroute", AI, "ancient", "ProxyReady", "False", "TooOld")
    assert "1.55.8" in found["message"] and "upgrade it to 1.60.0" in found["message"]
    answers = {
        "/health/readiness": [200, {**ready, "litellm_version": "1.106.2"}],
        "/health/readiness/details": [200, {"litellm_version": "1.106.2"}],
        "/model/info": [200, {"data": []}],
        "/key/list": [200, {"keys": [], "total_pages": 1}],
    }
    kube.apply(*python_server("ancient", "answers", 8080, {"answers.json": json.dumps(answers)}))
    found = kube.wait_condition("litellmroute", AI, "ancient", "ModelsReady", "False", "NoModels")
    assert "add some there" in found["message"]
    answers = {"/health/readiness": [200, {"hello": "world"}]}
    kube.apply(*python_server("ancient", "answers", 8080, {"answers.json": json.dumps(answers)}))
    found = kube.wait_condition("litellmroute", AI, "ancient", "ProxyReady", "False", "NotLiteLLM")
    assert "check the URL" in found["message"]
    kube.delete("litellmroute", AI, "ancient")
    kube.run("-n", AI, "delete", "deployment,service,secret", "ancient")


def test_the_models_of_the_proxy_and_their_facts_are_taken_over(kube: Kube, proxy: Proxy) -> None:
    route = _route("all-of-it", "http://main-litellm.ai.svc.cluster.local:4000/v1")
    kube.apply(route, agent("taker", route="all-of-it"))
    kube.wait_ready("openclawagent", TEAM, "taker")
    config = json.loads(kube.must("configmap", TEAM, "taker-openclaw")["data"]["openclaw.json"])
    models = {model["id"]: model for model in config["models"]["providers"]["litellm"]["models"]}
    assert {"claude-opus-4-6", "gpt-4o"} <= models.keys()
    assert models["gpt-4o"]["contextWindow"] == 128_000 and models["gpt-4o"]["maxTokens"] == 16_384
    route["spec"]["models"] = [{"name": "gpt-4o", "openclaw": {"displayName": "Four", "contextWindow": 64_000}}]
    kube.apply(route)

    def narrowed() -> bool:
        config = json.loads(kube.must("configmap", TEAM, "taker-openclaw")["data"]["openclaw.json"])
        [model] = config["models"]["providers"]["litellm"]["models"]
        return (model["name"], model["contextWindow"], model["maxTokens"]) == ("Four", 64_000, 16_384)

    eventually(narrowed)
    assert proxy.chat(kube.secret(TEAM, "taker-litellm")["LITELLM_API_KEY"], "claude-opus-4-6").status_code == 403
    route["spec"]["models"] = [{"name": "gpt-17"}]
    kube.apply(route)
    found = kube.wait_condition("litellmroute", AI, "all-of-it", "ModelsReady", "False", "ModelNotFound")
    assert "gpt-17" in found["message"] and "claude-opus-4-6" in found["message"]
    kube.delete("openclawagent", TEAM, "taker")
    kube.delete("litellmroute", AI, "all-of-it")
