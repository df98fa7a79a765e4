"""Deleting an agent ends its key, and a deletion can't hang."""

import time

from .api import Object
from .kube import Kube
from .proxy import Proxy
from .resources import AI, TEAM, agent, namespace, resource
from .waiting import LONG_SECONDS, eventually


def door(name: str) -> Object:
    """A second Service in front of the proxy; deleting it makes an external route's proxy unreachable."""
    selector = {"app.kubernetes.io/instance": "main", "app.kubernetes.io/component": "proxy"}
    spec = {"selector": selector, "ports": [{"port": 4000, "targetPort": "http"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": AI}, "spec": spec}


def external(name: str, service: str) -> Object:
    """An external route to the proxy behind a Service."""
    reference = {"name": "main-master-key", "key": "LITELLM_MASTER_KEY"}
    url = f"http://{service}.{AI}.svc.cluster.local:4000/v1"
    spec = {"external": {"url": url, "masterKeySecretRef": reference}, "allowedNamespaces": {"from": "All"}}
    return resource("LiteLLMRoute", name, AI, spec)


def _is_left_behind(kube: Kube, uid: str) -> bool:
    """Whether an event reports that an agent's key was left at a proxy that can't be reached."""
    return any(e["reason"] == "KeyLeftBehind" and e["involvedObject"]["uid"] == uid for e in kube.list("events"))


def test_deleting_an_agent_deletes_its_key(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("leaver"))
    uid = kube.wait_ready("openclawagent", TEAM, "leaver")["metadata"]["uid"]
    key = kube.secret(TEAM, "leaver-litellm")["LITELLM_API_KEY"]
    assert proxy.chat(key).status_code == 200
    kube.delete("openclawagent", TEAM, "leaver")
    assert proxy.rows(uid) == []
    assert proxy.chat(key).status_code == 401
    eventually(
        lambda: not kube.get("secret", TEAM, "leaver-litellm") and not kube.get("configmap", TEAM, "leaver-openclaw")
    )


def test_a_deletion_does_not_hang_on_an_unreachable_proxy_and_its_key_ends_later(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("stranded"))
    uid = kube.wait_ready("openclawagent", TEAM, "stranded")["metadata"]["uid"]
    kube.patch("litellmroute", AI, "main", {"spec": {"managed": {"replicas": 0}}})
    kube.wait_condition("litellmroute", AI, "main", "ProxyReady", "False")
    started = time.monotonic()
    kube.delete("openclawagent", TEAM, "stranded")
    assert time.monotonic() - started > 60, "it waits for the proxy, but not for ever"
    eventually(lambda: _is_left_behind(kube, uid), what="an event reports that the key was left behind")
    kube.patch("litellmroute", AI, "main", {"spec": {"managed": {"replicas": 1}}})
    eventually(lambda: proxy.rows(uid) == [], timeout=LONG_SECONDS, what="the sweep of the key left behind")
    kube.wait_ready("litellmroute", AI, "main")


def test_an_external_routes_end_is_the_end_of_its_agents_keys(kube: Kube, proxy: Proxy) -> None:
    kube.apply(external("guest", "main-litellm"), agent("visitor", route="guest"), agent("resident"))
    uid = kube.wait_ready("openclawagent", TEAM, "visitor")["metadata"]["uid"]
    resident = kube.wait_ready("openclawagent", TEAM, "resident")["metadata"]["uid"]
    key = kube.secret(TEAM, "visitor-litellm")["LITELLM_API_KEY"]
    kube.delete("litellmroute", AI, "guest")
    assert proxy.rows(uid) == [] and len(proxy.rows(resident)) == 1
    assert proxy.chat(key).status_code == 401
    kube.wait_condition("openclawagent", TEAM, "visitor", "RouteAccepted", "False", "RouteNotFound")
    kube.delete("openclawagent", TEAM, "visitor")
    kube.delete("openclawagent", TEAM, "resident")


def test_a_namespace_is_deleted_with_all_that_is_in_it(kube: Kube, proxy: Proxy) -> None:
    kube.apply(namespace("team-z"))
    manifest = agent("inmate")
    manifest["metadata"]["namespace"] = "team-z"
    kube.apply(manifest)
    uid = kube.wait_ready("openclawagent", "team-z", "inmate")["metadata"]["uid"]
    kube.run("delete", "namespace", "team-z")
    assert proxy.rows(uid) == []


def test_an_agent_whose_route_is_gone_is_deleted_at_once(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("lost", route="nowhere"))
    kube.wait_condition("openclawagent", TEAM, "lost", "RouteAccepted", "False", "RouteNotFound")
    uid = kube.must("openclawagent", TEAM, "lost")["metadata"]["uid"]
    kube.delete("openclawagent", TEAM, "lost")
    assert not _is_left_behind(kube, uid), "there is no proxy to wait for"


def _wait_for_sweeps(kube: Kube, proxy: Proxy, count: int) -> None:
    """Wait for some sweeps of the proxy's keys: each ends a key of an agent that doesn't exist."""
    cluster = kube.must("namespace", "", "kube-system")["metadata"]["uid"]
    mark = {"cluster": cluster, "agent": "of-nobody", "generation": 1, "namespace": TEAM}
    for number in range(count):
        body = {"key_alias": f"of-nobody-{number}", "metadata": {"litclaw": mark}}
        assert proxy.call("POST", "/key/generate", json=body).status_code == 200
        eventually(lambda: proxy.rows("of-nobody") == [], what="a sweep")


def test_moving_to_another_route_leaves_no_key_behind(kube: Kube, proxy: Proxy) -> None:
    """Both routes lead to one proxy here, by two URLs: neither may take the other's keys for orphans."""
    kube.apply(door("back-door"), external("back", "back-door"))
    kube.wait_ready("litellmroute", AI, "back")
    kube.apply(agent("mover"))
    uid = kube.wait_ready("openclawagent", TEAM, "mover")["metadata"]["uid"]
    kube.apply(agent("mover", route="back"))
    back = "http://back-door.ai.svc.cluster.local:4000"
    eventually(lambda: kube.secret(TEAM, "mover-litellm")["LITELLM_BASE_URL"] == back)
    kube.wait_ready("openclawagent", TEAM, "mover")
    assert proxy.chat(kube.secret(TEAM, "mover-litellm")["LITELLM_API_KEY"]).status_code == 200
    eventually(lambda: len(proxy.rows(uid)) == 1)
    key = kube.secret(TEAM, "mover-litellm")["LITELLM_API_KEY"]
    _wait_for_sweeps(kube, proxy, 3)  # both routes sweep every half minute, so each has swept
    assert proxy.chat(key).status_code == 200
    assert kube.secret(TEAM, "mover-litellm")["LITELLM_API_KEY"] == key
    kube.delete("openclawagent", TEAM, "mover")
    kube.delete("litellmroute", AI, "back")
    kube.delete("service", AI, "back-door")


def test_keys_of_other_clusters_and_of_people_are_never_touched(kube: Kube, proxy: Proxy) -> None:
    mark = {"cluster": "11111111-0000-0000-0000-000000000000", "agent": "of-another-cluster", "generation": 1}
    made = [
        proxy.call("POST", "/key/generate", json={"key_alias": alias, "metadata": metadata}).json()["key"]
        for alias, metadata in (("theirs", {"litclaw": mark}), ("a-person's", {}), ("odd", {"litclaw": "mine"}))
    ]
    _wait_for_sweeps(kube, proxy, 2)
    assert [proxy.chat(key).status_code for key in made] == [200, 200, 200]
    proxy.call("POST", "/key/delete", json={"keys": made})
