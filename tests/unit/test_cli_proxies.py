"""``litclaw doctor`` sends a master key to a proxy only in a safe way, and reports what it couldn't ask."""

import base64
import json
from typing import Any

import pytest
from litclaw.cli.doctor import proxies
from litclaw.cli.doctor.check import Check
from litclaw.cli.doctor.proxy_access import access
from litclaw.kube.errors import KubeError, from_response
from litclaw.kube.resources import AGENT, NAMESPACE, ROUTE, SECRET, Resource

MASTER = "sk-master-key-of-the-tests"
HASH = "0123456789abcdef"
URL = "http://main-litellm.ai.svc.cluster.local:4000"
READY = {"status": "connected", "db": "connected"}


def route(ready: bool = True, url: str = URL) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready), "reason": "Ready", "message": ""}]
    return {
        "metadata": {"name": "main", "namespace": "ai", "generation": 1},
        "spec": {"managed": {"masterKeySecretRef": {"name": "main-master-key", "key": "K"}}},
        "status": {"url": url, "conditions": conditions, "observedGeneration": 1},
    }


def agent(name: str, hash_: str = HASH) -> dict[str, Any]:
    meta = {"name": name, "namespace": "team-a", "uid": f"uid-{name}"}
    ref = {"name": "main", "namespace": "ai"}
    return {"metadata": meta, "spec": {"routeRef": ref}, "status": {"key": {"hash": hash_}}}


def key(token: str, uid: str, **more: Any) -> dict[str, Any]:
    mark = {"cluster": "this", "agent": uid, "generation": 1}
    return {"token": token, "key_alias": f"alias-of-{uid}", "metadata": {"litclaw": mark}, **more}


class Cluster:
    """An API server with a route, agents and a proxy behind a Service."""

    host = "https://cluster"

    def __init__(self, *keys: dict[str, Any], body: dict[str, Any] | None = None, agents: Any = None) -> None:
        self.kinds: dict[Resource, Any] = {
            ROUTE: [body or route()],
            AGENT: [agent("scout")] if agents is None else agents,
        }
        self.secret: Any = {"data": {"K": base64.b64encode(MASTER.encode()).decode()}}
        self.answers: dict[str, Any] = {
            "/health/readiness": READY,
            "/health/readiness/details": {**READY, "litellm_version": "1.106.2"},
            "/key/list": {"keys": list(keys), "total_pages": 1},
        }
        self.sent: list[tuple[str, dict[str, str]]] = []

    async def objects(self, resource: Resource, *_: Any, **__: Any) -> list[Any]:
        return self._or_raise(self.kinds[resource])

    async def get(self, resource: Resource, _: str | None, __: str) -> Any:
        return self._or_raise({SECRET: self.secret, NAMESPACE: {"metadata": {"uid": "this"}}}[resource])

    async def service_proxy_get(
        self, namespace: str, service: str, port: int, path: str, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        assert (namespace, service, port) == ("ai", "main-litellm", 4000)
        self.sent.append((path, headers))
        answer = self._or_raise(self.answers[path.partition("?")[0]])
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return status, json.dumps(body).encode()

    @staticmethod
    def _or_raise(found: Any) -> Any:
        if isinstance(found, KubeError):
            raise found
        return found


async def asked(cluster: Cluster) -> Check:
    [check] = await proxies.check_proxies(cluster, "")  # type: ignore[arg-type]
    assert MASTER not in f"{check.detail}{check.remedy}"
    return check


FORBIDDEN = from_response(403, b'{"kind": "Status", "reason": "Forbidden", "message": "no"}')


async def test_a_healthy_proxy() -> None:
    """It is asked for its release and keys with the master key, in a header that the API server passes on."""
    cluster = Cluster(key(f"{HASH}ff", "uid-scout"))
    check = await asked(cluster)
    assert (check.name, check.outcome) == ("proxy ai/main", "ok")
    assert "asked through the API server: answers in " in check.detail and "LiteLLM 1.106.2" in check.detail
    assert "1 key of this cluster's, none without an agent" in check.detail
    (_, first), *others = cluster.sent
    assert "x-litellm-api-key" not in first and all(
        headers["x-litellm-api-key"] == f"Bearer {MASTER}" and "Authorization" not in headers for _, headers in others
    )


async def test_keys_without_an_agent_and_agents_without_a_key() -> None:
    """Keys that expire, retained keys and another cluster's keys don't count."""
    mine, left = key(f"{HASH}ff", "uid-scout"), key("left", "uid-gone")
    kept, other = key("kept", "uid-gone"), key("other", "uid-gone")
    kept["metadata"]["litclaw"]["retained"] = "team-a/gone"
    other["metadata"]["litclaw"]["cluster"] = "another"
    ends = key("ends", "uid-gone", expires="2026-11-24T10:00:00Z")
    check = await asked(Cluster(mine, left, kept, other, ends))
    assert check.outcome == "warn" and check.detail.endswith("1 key without an agent: alias-of-uid-gone")
    assert (await asked(Cluster(mine, kept, other, ends))).outcome == "ok"
    check = await asked(Cluster(other))
    assert check.outcome == "warn" and check.detail.endswith("it doesn't know the key of team-a/scout")


async def test_missing_permissions_are_reported() -> None:
    cluster = Cluster()
    cluster.answers["/health/readiness"] = FORBIDDEN
    check = await asked(cluster)
    assert check.outcome == "skip" and "you aren't allowed to get services/proxy in ai" in check.detail
    cluster = Cluster()
    cluster.secret = FORBIDDEN
    check = await asked(cluster)
    assert (
        check.outcome == "ok" and "database connected; release and keys not asked: you aren't allowed" in check.detail
    )
    assert [path for path, _ in cluster.sent] == ["/health/readiness"]
    check = await asked(Cluster(agents=FORBIDDEN))
    assert check.outcome == "ok" and "keys not compared" in check.detail
    cluster = Cluster()
    cluster.kinds[ROUTE] = FORBIDDEN
    assert await proxies.check_proxies(cluster, "") == []  # type: ignore[arg-type]


async def test_an_unhealthy_proxy() -> None:
    cluster = Cluster()
    cluster.answers["/health/readiness"] = (503, {"status": "unhealthy", "db": "disconnected"})
    check = await asked(cluster)
    assert check.outcome == "fail" and "its database isn't connected" in check.detail
    cluster = Cluster()
    cluster.answers["/health/readiness/details"] = (401, {"error": {"message": f"wrong {MASTER}", "type": "auth"}})
    check = await asked(cluster)
    assert check.outcome == "fail" and "rejects the master key in Secret main-master-key" in check.detail
    cluster = Cluster()
    cluster.answers["/health/readiness"] = {"hello": "context"}
    check = await asked(cluster)
    assert check.outcome == "fail" and "not as LiteLLM does" in check.detail


@pytest.mark.parametrize(("ready", "outcome"), [(True, "warn"), (False, "fail")])
async def test_a_proxy_that_the_api_server_does_not_reach(ready: bool, outcome: str) -> None:
    """If its route is ready, the remedy is about the API server's network, else about the route."""
    cluster = Cluster(body=route(ready))
    cluster.answers["/health/readiness"] = from_response(503, b'{"kind":"Status","message":"no endpoints available"}')
    check = await asked(cluster)
    assert check.outcome == outcome and "doesn't reach it: no endpoints available" in check.detail


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://localhost:8443", "only for the cluster"),
        ("https://169.254.169.254", "only for the cluster"),
        ("https://litellm.ai.svc:8443", "only for the cluster"),
        ("", "it has no address yet"),
    ],
)
async def test_a_proxy_that_is_not_asked(url: str, message: str) -> None:
    check = await asked(Cluster(body=_external(url) if url else route(url="")))
    assert check.outcome == "skip" and message in check.detail


def _external(url: str, **more: Any) -> dict[str, Any]:
    body = route()
    body["spec"] = {"external": {"url": url, "masterKeySecretRef": {"name": "main-master-key", "key": "K"}, **more}}
    return body


async def test_a_master_key_goes_over_https_or_through_the_api_server_only() -> None:
    ways = {
        url: await access(Cluster(), _external(url))  # type: ignore[arg-type]
        for url in ("http://litellm.example.com/v1", "https://litellm.example.com/v1/", "http://x.ai.svc:4000")
    }
    plain, sealed, inside = ways.values()
    assert not any(isinstance(way, str) for way in ways.values())
    assert plain.key is None and plain.no_key == "a master key isn't sent over http" and plain.transport is None
    assert sealed.key.get_secret_value() == MASTER and sealed.url == "https://litellm.example.com"
    assert inside.key.get_secret_value() == MASTER and inside.transport is not None


@pytest.mark.parametrize(
    "body",
    [
        route(url="https://elsewhere.example.com"),
        _external("http://main-litellm.ai.svc.elsewhere.example.com:4000"),
        _external("http://main-litellm.ai.svc.cluster.local.elsewhere.example.com:4000"),
    ],
)
async def test_a_master_key_goes_to_its_own_proxy_only(body: dict[str, Any]) -> None:
    """Not where a status says, and not to the Service with which a foreign name begins."""
    way = await access(Cluster(), body)  # type: ignore[arg-type]
    assert not isinstance(way, str)
    if "managed" in body["spec"]:
        assert way.transport is not None and way.url == URL
    else:
        assert way.transport is None and way.key is None


async def test_a_private_authority_that_cannot_be_used() -> None:
    cluster = Cluster(body=_external("https://llm.example.com", caBundleSecretRef={"name": "ca", "key": "K"}))
    check = await asked(cluster)
    assert check.outcome == "skip" and "Secret ca has no certificates under K" in check.detail
    cluster.secret = FORBIDDEN
    check = await asked(cluster)
    assert check.outcome == "skip" and "aren't allowed to read its certificate authority in Secret ca" in check.detail
