"""The master key is sent to its route's own URL only, whatever the proxy or the URL tries."""

import json
from collections.abc import Iterator

import pytest

from .api import Object
from .kube import Kube
from .pods import python_server
from .proxy import Proxy
from .resources import AI, TEAM, namespace, resource, secret

KEY = "sk-the-master-key-that-a-thief-wants"
HOSTILE = "hostile.ai.svc.cluster.local:8080"
OTHER = "team-h"
WAYS = (*(f"{status}-plain" for status in (301, 302, 303, 307, 308)), "307-relative", "308-user", "302-back", "307-all")


def _route(name: str, url: str, *, where: str = AI, secret_name: str = "wanted") -> Object:
    reference = {"name": secret_name, "key": "LITELLM_MASTER_KEY"}
    return resource("LiteLLMRoute", name, where, {"external": {"url": url, "masterKeySecretRef": reference}})


@pytest.fixture(scope="module")
def servers(kube: Kube, proxy: Proxy) -> Iterator[None]:
    """A hostile proxy, and the server that it redirects the key to."""
    names = ("hostile", "thief")
    kube.apply(namespace(OTHER), secret("wanted", LITELLM_MASTER_KEY=KEY))
    for name in names:
        kube.apply(*python_server(name, "hostile", 8080))
    for name in names:
        kube.run("-n", AI, "rollout", "status", f"deployment/{name}", "--timeout=300s")
    yield
    for name in names:
        kube.run("-n", AI, "delete", "deployment,service,secret", name)
    kube.run("delete", "namespace", OTHER, "--wait=false")


def _log(kube: Kube, name: str) -> list[Object]:
    code = "import pathlib; p = pathlib.Path('/tmp/log'); print(p.read_text() if p.exists() else '')"
    done = kube.run("-n", AI, "exec", f"deployment/{name}", "--", "/opt/litclaw/bin/python", "-c", code)
    return [json.loads(line) for line in done.stdout.splitlines() if line]


def test_no_redirect_is_followed(kube: Kube, servers: None) -> None:
    for way in (*WAYS, "307-metadata"):
        kube.apply(_route(f"to-{way}", f"http://{HOSTILE}/{way}"))
    for way in (*WAYS, "307-metadata"):
        found = kube.wait_condition("litellmroute", AI, f"to-{way}", "ProxyReady", "False")
        if not way.endswith("-back"):  # which is no URL at all
            assert found["reason"] == "NotLiteLLM", found
            assert "redirect" in found["message"] or "not as LiteLLM does" in found["message"]
        kube.delete("litellmroute", AI, f"to-{way}")
    assert {entry["host"] for entry in _log(kube, "hostile") if entry["key"]} == {HOSTILE}
    assert _log(kube, "thief") == []


def test_what_a_proxy_echoes_reaches_no_status(kube: Kube, servers: None) -> None:
    kube.apply(_route("echo", f"http://{HOSTILE}/echo"))
    found = kube.wait_condition("litellmroute", AI, "echo", "ProxyReady", "False", "NotLiteLLM")
    assert "You sent" in found["message"]
    events = kube.run("-n", AI, "get", "events", "-o", "json").stdout
    log = kube.run("-n", "litclaw-system", "logs", "-l", "app.kubernetes.io/name=litclaw", "--tail=-1").stdout
    for text in (json.dumps(kube.must("litellmroute", AI, "echo")), events, log):
        assert KEY not in text
    kube.delete("litellmroute", AI, "echo")


REFUSED_URLS = (
    "http://user:pass@hostile.ai.svc.cluster.local:8080",
    "http://hostile.ai.svc.cluster.local:8080@thief.ai.svc.cluster.local:8080",
    f"http://{HOSTILE}/#@thief.ai.svc.cluster.local:8080",
    f"http://{HOSTILE}/?x=y",
    f"http://{HOSTILE}/../../../",
    f"http://{HOSTILE}/a/%2e%2e/b",
    f"http://{HOSTILE}/a/.%2E/b",
    f"http://{HOSTILE}\\@thief.ai.svc.cluster.local:8080",
    "http:///thief.ai.svc.cluster.local",
    "file:///etc/passwd",
    "ftp://thief.ai.svc.cluster.local",
    "http://169.254.169.254",
    "http://169.254.169.254:4000/v1",
    "http://169.254.0.1",
    "http://[fe80::1]:4000",
    "http://[::ffff:169.254.169.254]",
    "http://metadata.google.internal",
    "http://0.0.0.0:4000",
    "http://169.254.43518:4000",
    "http://[::]:4000",
)
"""URLs that the API server itself refuses."""

BLOCKED_URLS = (
    "http://2852039166",  # 169.254.169.254 as a number
    "http://0xa9fea9fe:4000",
    "http://0xA9.0xFE.0xA9.0xFE",
    "http://0251.0376.0251.0376",
    "http://169.16689662",
    "http://[::ffff:a9fe:a9fe]:4000",
    "http://[0:0:0:0:0:ffff:a9fe:a9fe]",
    "http://[64:ff9b::a9fe:a9fe]",
    "http://[fd00:ec2::254]",
    "http://[::a9fe:a9fe]",
    "http://[2002:a9fe:a9fe::1]",
    "http://100.100.100.200",
    "http://168.63.129.16",
    "http://METADATA.google.internal.",
    "http://[64:ff9b:1::a9fe:a9fe]",
    "http://[::ffff:0:a9fe:a9fe]",
    "http://127.0.0.1:8080",  # the operator's own pod
    "http://kubernetes.default.svc:443",
)
"""URLs that only the operator recognizes."""


def test_urls_that_hide_where_they_lead_are_refused(kube: Kube, servers: None) -> None:
    for url in REFUSED_URLS:
        manifest = json.dumps(_route("x", url))
        done = kube.run("create", "--dry-run=server", "-f", "-", stdin=manifest, check=False)
        assert done.returncode and "spec.external.url" in done.stderr, f"{url} was taken: {done.stdout}{done.stderr}"


def test_addresses_of_the_metadata_service_in_disguise(kube: Kube, servers: None) -> None:
    kube.apply(*(_route(f"meta-{number}", url) for number, url in enumerate(BLOCKED_URLS)))
    for number, url in enumerate(BLOCKED_URLS):
        found = kube.wait_condition("litellmroute", AI, f"meta-{number}", "ProxyReady", "False")
        assert found["reason"] in ("LinkLocalAddress", "InvalidURL"), f"{url}: {found}"
        kube.wait_condition("litellmroute", AI, f"meta-{number}", "Stalled", "True")
    kube.run("-n", AI, "delete", "llr", *(f"meta-{number}" for number in range(len(BLOCKED_URLS))))


def test_a_route_takes_no_key_of_another_namespace(kube: Kube, servers: None) -> None:
    """Neither with a namespace, which the field doesn't have, nor with a path as the name, nor with the name alone."""
    before = len(_log(kube, "hostile"))
    manifest = _route("borrower", f"http://{HOSTILE}/echo", where=OTHER)
    for name in (f"../{AI}/secrets/wanted", f"../../{AI}/secrets/wanted", f"{AI}/wanted", "wanted?x=y", "wanted%2f.."):
        twisted = _route("borrower", f"http://{HOSTILE}/echo", where=OTHER, secret_name=name)
        done = kube.run("create", "-f", "-", stdin=json.dumps(twisted), check=False)
        assert done.returncode and "masterKeySecretRef.name" in done.stderr, done.stderr
    manifest["spec"]["external"]["masterKeySecretRef"]["namespace"] = AI
    done = kube.run("create", "-f", "-", stdin=json.dumps(manifest), check=False)
    assert done.returncode and "unknown field" in done.stderr, done.stderr
    kube.run("create", "--validate=false", "-f", "-", stdin=json.dumps(manifest))
    found = kube.wait_condition("litellmroute", OTHER, "borrower", "SecretsReady", "False", "SecretNotFound")
    assert f"{OTHER}/wanted" in found["message"]
    assert len(_log(kube, "hostile")) == before
    kube.delete("litellmroute", OTHER, "borrower")


def test_a_key_stays_with_its_own_route(kube: Kube, servers: None) -> None:
    """A second route to the same host sends its own key."""
    other = "sk-the-key-of-another-route"
    kube.apply(secret("others", LITELLM_MASTER_KEY=other))
    kube.apply(
        _route("first", f"http://{HOSTILE}/echo-1"), _route("second", f"http://{HOSTILE}/echo-2", secret_name="others")
    )
    for name in ("first", "second"):
        kube.wait_condition("litellmroute", AI, name, "ProxyReady", "False", "NotLiteLLM")
    seen = {(entry["path"].split("/")[1], entry["key"]) for entry in _log(kube, "hostile") if entry["key"]}
    assert {pair for pair in seen if pair[0].startswith("echo-")} == {
        ("echo-1", f"Bearer {KEY}"),
        ("echo-2", f"Bearer {other}"),
    }
    for name in ("first", "second"):
        kube.delete("litellmroute", AI, name)
    kube.delete("secret", AI, "others")
    assert kube.get("litellmroute", TEAM, "first") is None
