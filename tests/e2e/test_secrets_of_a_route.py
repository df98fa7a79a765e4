"""A route's Secrets: those that the operator generates once and keeps, and those that its owner names."""

import base64
import secrets

from .database import let_in
from .kube import Kube
from .proxy import Proxy
from .resources import AI, MODELS, TEAM, agent, managed_route, secret
from .waiting import LONG_SECONDS, eventually


def _annotations(kube: Kube, name: str) -> dict[str, str]:
    found: dict[str, str] = kube.must("deployment", AI, name)["spec"]["template"]["metadata"]["annotations"]
    return found


def _ready_replicas(kube: Kube) -> int:
    return int(kube.must("deployment", AI, "main-litellm")["status"]["readyReplicas"])


def test_a_database_url_and_keys_of_ones_own_and_a_roll_out_when_one_changes(kube: Kube, proxy: Proxy) -> None:
    psql = ("exec", "main-postgres-0", "--", "psql", "--username=litellm", "--dbname=litellm", "--command")
    kube.run("-n", AI, *psql, "CREATE DATABASE second")
    url = kube.secret(AI, "main-postgres")["DATABASE_URL"].removesuffix("/litellm") + "/second"
    master, salt = f"sk-{secrets.token_hex(16)}", secrets.token_hex(16)
    kube.apply(
        let_in("second"),
        secret("second-db", URL=url),
        secret("second-keys", master=master, salt=salt),
        secret("second-provider", KEY="the-first-value"),
        secret("second-more", MORE="the-first-value"),
    )
    managed = {
        "port": 8080,
        "service": {"type": "NodePort"},
        "database": {"secretRef": {"name": "second-db", "key": "URL"}},
        "masterKeySecretRef": {"name": "second-keys", "key": "master"},
        "saltKeySecretRef": {"name": "second-keys", "key": "salt"},
        "envFrom": [{"secretRef": {"name": "second-more"}}],
    }
    models = [{**MODELS[1], "apiKeySecretRef": {"name": "second-provider", "key": "KEY"}}]
    kube.apply(managed_route("second", managed=managed, models=models), agent("double", route="second"))
    kube.wait_ready("litellmroute", AI, "second", timeout=LONG_SECONDS)
    kube.wait_ready("openclawagent", TEAM, "double")
    second = Proxy(kube, AI, "second-litellm", master, port=8080)
    assert kube.must("litellmroute", AI, "second")["status"]["url"].endswith(".svc.cluster.local:8080")
    assert kube.must("service", AI, "second-litellm")["spec"]["type"] == "NodePort"
    assert second.chat(kube.secret(TEAM, "double-litellm")["LITELLM_API_KEY"]).status_code == 200
    assert kube.get("statefulset", AI, "second-postgres") is None
    for made_up in ("second-master-key", "second-salt-key"):
        assert kube.get("secret", AI, made_up) is None
    config = kube.must("configmap", AI, "second-litellm")["data"]["config.yaml"]
    assert "os.environ/LITCLAW_SECOND_PROVIDER_KEY_" in config and "the-first-value" not in config

    before = _annotations(kube, "second-litellm")
    seen = {before["litclaw.dev/secrets"]}
    for changed in (secret("second-provider", KEY="the-second-value"), secret("second-more", MORE="the-second-value")):
        kube.apply(changed)
        eventually(lambda: _annotations(kube, "second-litellm")["litclaw.dev/secrets"] not in seen)
        seen.add(_annotations(kube, "second-litellm")["litclaw.dev/secrets"])
    assert _annotations(kube, "second-litellm")["litclaw.dev/config"] == before["litclaw.dev/config"]

    def rolled_out() -> bool:
        deployment = kube.must("deployment", AI, "second-litellm")
        status = deployment["status"]
        assert status.get("observedGeneration") == deployment["metadata"]["generation"]
        return bool(status.get("updatedReplicas") == status.get("replicas") == status.get("readyReplicas") == 1)

    eventually(rolled_out, timeout=LONG_SECONDS)
    second.close()
    kube.delete("litellmroute", AI, "second", "--cascade=foreground")
    kube.wait_condition("openclawagent", TEAM, "double", "RouteAccepted", "False", "RouteNotFound")
    kube.delete("openclawagent", TEAM, "double")
    for name in ("second-db", "second-keys", "second-provider", "second-more"):
        kube.delete("secret", AI, name)
    kube.delete("networkpolicy", AI, "second-reaches-main-postgres")


def test_a_lost_salt_is_a_loud_stop_and_never_a_new_salt(kube: Kube, proxy: Proxy) -> None:
    before = kube.must("secret", AI, "main-salt-key")
    kube.delete("secret", AI, "main-salt-key")
    found = kube.wait_condition("litellmroute", AI, "main", "SecretsReady", "False", "SecretLost")
    assert "restore the Secret from a backup" in found["message"]
    kube.wait_condition("litellmroute", AI, "main", "Stalled", "True")
    assert kube.get("secret", AI, "main-salt-key") is None
    eventually(lambda: _ready_replicas(kube) == 1, what="the pods go on")
    kept = {key: before["metadata"][key] for key in ("name", "namespace", "labels", "annotations", "ownerReferences")}
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": kept, "data": before["data"]})
    kube.wait_ready("litellmroute", AI, "main")


def test_a_lost_master_key_is_made_anew_and_virtual_keys_outlive_it(kube: Kube, proxy: Proxy, scout: str) -> None:
    key = kube.secret(TEAM, f"{scout}-litellm")["LITELLM_API_KEY"]
    kube.delete("secret", AI, "main-master-key")
    eventually(lambda: kube.get("secret", AI, "main-master-key"))
    fresh = kube.secret(AI, "main-master-key")["LITELLM_MASTER_KEY"]
    assert fresh != proxy.master_key
    proxy.master_key = fresh

    def taken() -> bool:
        return proxy.call("GET", "/key/list", params={"size": 1}).status_code == 200

    eventually(taken, timeout=LONG_SECONDS, what="the proxy's roll-out with the new master key")
    kube.wait_ready("litellmroute", AI, "main")
    assert proxy.chat(key).status_code == 200
    assert kube.secret(TEAM, f"{scout}-litellm")["LITELLM_API_KEY"] == key


def test_a_url_that_is_no_database(kube: Kube, proxy: Proxy) -> None:
    kube.apply(secret("mysql", URL="mysql://u:p@db/litellm"))
    managed = {"database": {"secretRef": {"name": "mysql", "key": "URL"}}}
    kube.apply(managed_route("foreign", managed=managed))
    found = kube.wait_condition("litellmroute", AI, "foreign", "DatabaseReady", "False", "InvalidDatabaseURL")
    assert "postgresql://" in found["message"] and "u:p" not in found["message"]
    assert base64.b64decode(kube.must("secret", AI, "mysql")["data"]["URL"]) == b"mysql://u:p@db/litellm"
    kube.delete("litellmroute", AI, "foreign")
    kube.delete("secret", AI, "mysql")


def test_a_weak_master_key_is_refused_before_anything_runs(kube: Kube, proxy: Proxy) -> None:
    kube.apply(secret("weak", KEY="sk-1234"))
    managed = {"database": {"embedded": {"storage": "1Gi"}}, "masterKeySecretRef": {"name": "weak", "key": "KEY"}}
    kube.apply(managed_route("careless", managed=managed))
    found = kube.wait_condition("litellmroute", AI, "careless", "SecretsReady", "False", "WeakMasterKey")
    assert "fewer than 16 characters" in found["message"] and "openssl rand" in found["message"]
    assert "sk-1234" not in found["message"]
    kube.wait_condition("litellmroute", AI, "careless", "Stalled", "True")
    for kind in ("deployment", "job"):
        assert not [body for body in kube.list(kind) if body["metadata"]["name"].startswith("careless")]
    kube.delete("litellmroute", AI, "careless")
    kube.delete("secret", AI, "weak")


def test_a_changed_salt_is_a_loud_stop_and_what_runs_goes_on(kube: Kube, proxy: Proxy) -> None:
    before = kube.must("deployment", AI, "main-litellm")
    kept = kube.secret(AI, "main-salt-key")["LITELLM_SALT_KEY"]
    other = secrets.token_urlsafe(32)
    assert kept not in str(before) and before["metadata"]["annotations"]["litclaw.dev/salt"]
    kube.patch("secret", AI, "main-salt-key", {"stringData": {"LITELLM_SALT_KEY": other}})
    found = kube.wait_condition("litellmroute", AI, "main", "SecretsReady", "False", "SaltChanged")
    assert "put it back" in found["message"] and other not in found["message"] and kept not in found["message"]
    kube.wait_condition("litellmroute", AI, "main", "Stalled", "True")
    assert kube.must("deployment", AI, "main-litellm")["spec"] == before["spec"]
    eventually(lambda: _ready_replicas(kube) == 1, what="the pods go on")
    kube.patch("secret", AI, "main-salt-key", {"stringData": {"LITELLM_SALT_KEY": kept}})
    kube.wait_ready("litellmroute", AI, "main")
