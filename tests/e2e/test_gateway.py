"""An agent's gateway, and a real OpenClaw in it: it chats, makes an image, takes a new key, and is suspended."""

import json
from collections.abc import Iterator

import pytest

from .api import Object
from .kube import Kube
from .networks import operator_reaches, python_reaches
from .pods import POD_SETTINGS, has_pod_settings, what_pods_need
from .proxy import Proxy
from .resources import AI, TEAM, agent
from .waiting import LONG_SECONDS, eventually

NAME = "keeper"
SELECTOR = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=gateway"
GATEWAY: Object = {
    **POD_SETTINGS,
    "storage": "1Gi",
    "networkPolicy": {"egress": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 443}]}]},
}
_SOCKET = {"connect": "open", "timeout": "shut", "error": "shut"}


def _agent(**spec: object) -> Object:
    return agent(NAME, **{"defaultModel": "gpt-4o", "imageModel": {"name": "gpt-image-2"}, "gateway": GATEWAY, **spec})


@pytest.fixture(scope="module")
def keeper(kube: Kube, proxy: Proxy) -> Iterator[None]:
    """A ready agent with a gateway, shared by all tests here."""
    kube.apply(*what_pods_need(TEAM), _agent())
    kube.wait_ready("openclawagent", TEAM, NAME, timeout=LONG_SECONDS)
    yield
    kube.delete("openclawagent", TEAM, NAME)


def _pods(kube: Kube) -> list[str]:
    found = kube.list("pods", "-l", SELECTOR)
    return [pod["metadata"]["uid"] for pod in found if "deletionTimestamp" not in pod["metadata"]]


def _run(kube: Kube, *command: str) -> str:
    where = ("-n", TEAM, "exec", f"deployment/{NAME}-openclaw", "-c", "openclaw", "--")
    done = kube.run(*where, *command, check=False)
    return done.stdout + done.stderr


def _reaches(kube: Kube, host: str, port: int) -> bool:
    """Whether the gateway's pod can connect. False may also mean that a busy machine was too slow."""
    say = "(what) => () => { console.log(what); process.exit() }"
    script = f"const say = {say}; const s = require('net').connect({port}, '{host}'); s.setTimeout(5000)"
    events = ";".join(f"s.on('{event}', say('{what}'))" for event, what in _SOCKET.items())
    found = _run(kube, "node", "-e", f"{script};{events}").split()
    assert found in (["open"], ["shut"]), found
    return found == ["open"]


def _wait_for_answer(kube: Kube, text: str) -> None:
    command = ("node", "openclaw.mjs", "agent", "--agent", "main", "--json", "--message", "Hello")

    def answered() -> bool:
        printed = _run(kube, *command)
        assert text in printed, printed
        return True

    eventually(answered, timeout=LONG_SECONDS, what=f"the answer {text!r}")


def test_the_gateway_answers(kube: Kube, proxy: Proxy, keeper: None) -> None:
    _wait_for_answer(kube, "This is gpt-4o.")
    deployment = kube.must("deployment", TEAM, f"{NAME}-openclaw")
    text = json.dumps(deployment)
    assert "secretKeyRef" in text and kube.secret(TEAM, f"{NAME}-gateway")["OPENCLAW_GATEWAY_TOKEN"] not in text
    containers = deployment["spec"]["template"]["spec"]["containers"]
    assert not [e for c in containers for e in c["env"] if e["name"] == "LITELLM_API_KEY"], "the key is a file"
    config = kube.must("configmap", TEAM, f"{NAME}-openclaw")["data"]["openclaw.json"]
    assert kube.secret(TEAM, f"{NAME}-litellm")["LITELLM_API_KEY"] not in config and "singleValue" in config
    written = _run(kube, "sh", "-c", "echo x >/etc/openclaw/openclaw.json; echo x >/opt/x; id -u")
    assert written.count("Read-only file system") == 2 and "1000" in written


def test_what_a_user_sets_of_the_pod_is_there(kube: Kube, proxy: Proxy, keeper: None) -> None:
    printed = _run(kube, "sh", "-c", "echo $GREETING $FROM_KEY $FROM_SECRET $MY_CHANNEL $TOKEN")
    assert "hello c-1 t c-1 t" in printed
    [pod] = [pod for pod in kube.list("pods", "-l", SELECTOR) if "deletionTimestamp" not in pod["metadata"]]
    service = kube.must("service", TEAM, f"{NAME}-openclaw")
    has_pod_settings(pod, service)
    assert service["spec"]["ports"][0]["port"] == 18789
    claim = kube.must("persistentvolumeclaim", TEAM, f"{NAME}-openclaw")
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"


def test_an_image_is_made_through_the_proxy(kube: Kube, proxy: Proxy, keeper: None) -> None:
    command = ("node", "openclaw.mjs", "infer", "image", "generate", "--model", "litellm/gpt-image-2")
    printed = _run(kube, *command, "--prompt", "a red square", "--json", "--output", "/tmp/square.png")
    assert '"ok": true' in printed, printed
    shown = _run(kube, "sh", "-c", "head -c 8 /tmp/square*.png | od -An -c")
    assert "P   N   G" in shown, (shown, printed)


def test_a_new_key_needs_no_new_pod_and_a_new_config_does(kube: Kube, proxy: Proxy, keeper: None) -> None:
    before, key = _pods(kube), kube.secret(TEAM, f"{NAME}-litellm")["LITELLM_API_KEY"]
    assert len(before) == 1
    kube.delete("secret", TEAM, f"{NAME}-litellm")
    eventually(
        lambda: (
            kube.get("secret", TEAM, f"{NAME}-litellm")
            and kube.secret(TEAM, f"{NAME}-litellm")["LITELLM_API_KEY"] != key
        )
    )
    _wait_for_answer(kube, "This is gpt-4o.")
    assert _pods(kube) == before
    kube.apply(_agent(defaultModel="claude-opus-4-6"))

    def renewed() -> bool:
        [pod] = _pods(kube)
        return pod not in before

    eventually(renewed, timeout=LONG_SECONDS, what="a new pod for a new config")
    kube.wait_ready("openclawagent", TEAM, NAME, timeout=LONG_SECONDS)
    _wait_for_answer(kube, "This is claude-opus-4-6.")


def test_the_network_is_open_to_dns_and_the_proxy_alone(kube: Kube, proxy: Proxy, keeper: None) -> None:
    policy = kube.must("networkpolicy", TEAM, f"{NAME}-openclaw")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    dns, peer, added = policy["egress"]
    assert added["to"] == GATEWAY["networkPolicy"]["egress"][0]["to"]
    assert {port["port"] for port in dns["ports"]} == {53, 5353}
    assert peer["to"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": AI}
    assert peer["ports"] == [{"port": 4000, "protocol": "TCP"}]
    if operator_reaches(kube, f"main-postgres.{AI}.svc.cluster.local", 5432):
        pytest.skip("this cluster doesn't enforce NetworkPolicies")
    eventually(lambda: _reaches(kube, f"main-litellm.{AI}.svc.cluster.local", 4000), what="the proxy")
    assert not _reaches(kube, "kubernetes.default.svc.cluster.local", 443)
    assert not _reaches(kube, f"painter.{AI}.svc.cluster.local", 8080)
    painter = (AI, "deployment/painter")
    gateway = (f"{NAME}-openclaw.{TEAM}.svc.cluster.local", 18789)
    assert not python_reaches(kube, painter, *gateway, "/opt/litclaw/bin/python"), "of another namespace"


def test_a_suspended_gateway_is_scaled_to_zero_and_keeps_its_volume(kube: Kube, proxy: Proxy, keeper: None) -> None:
    _run(kube, "sh", "-c", "echo remembered >/home/node/.openclaw/note")
    kube.apply(_agent(suspend=True))
    kube.wait_condition("openclawagent", TEAM, NAME, "Ready", "True", "Suspended")
    eventually(lambda: _pods(kube) == [])
    kube.apply(_agent(suspend=False))
    kube.wait_condition("openclawagent", TEAM, NAME, "Ready", "True", "Ready", timeout=LONG_SECONDS)
    assert "remembered" in _run(kube, "cat", "/home/node/.openclaw/note")


def test_a_gateway_that_is_no_longer_wanted_goes_and_its_volume_stays(kube: Kube, proxy: Proxy, keeper: None) -> None:
    manifest = _agent()
    del manifest["spec"]["gateway"]
    kube.apply(manifest)
    for kind, name in (("deployment", "openclaw"), ("service", "openclaw"), ("networkpolicy", "openclaw")):
        eventually(lambda kind=kind, name=name: kube.get(kind, TEAM, f"{NAME}-{name}") is None, what=f"no {kind}")
    assert kube.get("persistentvolumeclaim", TEAM, f"{NAME}-openclaw"), "it has sessions and memory"
    config = json.loads(kube.must("configmap", TEAM, f"{NAME}-openclaw")["data"]["openclaw.json"])
    assert config["models"]["providers"]["litellm"]["apiKey"] == "${LITELLM_API_KEY}"
    kube.wait_ready("openclawagent", TEAM, NAME)
