"""``litclaw render`` makes, without a cluster, what the operator makes in one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from litclaw.cli.offline import MADE_UP, UNKNOWN
from litclaw.kube.cache import owner_of
from litclaw.kube.diff import covers

from .cli import litclaw
from .support import AI, POD_SETTINGS, TEAM, Kube, Object, Proxy, agent, eventually, what_pods_need

KINDS = (
    "secrets,configmaps,services,persistentvolumeclaims,deployments,statefulsets,networkpolicies,poddisruptionbudgets"
)
GATEWAY = "drawn"


@pytest.fixture(scope="module")
def drawn(kube: Kube, proxy: Proxy) -> Iterator[Object]:
    """An agent with a gateway; whether its pod runs doesn't matter here."""
    kube.apply(*what_pods_need(TEAM))
    config = {"files": {"AGENTS.md": "Be brief.\n"}, "extra": {"ui": {"seamColor": "#123456"}}}
    kube.apply(agent(GATEWAY, models=["gpt-4o", "claude-opus-4-6"], config=config, gateway=POD_SETTINGS))
    kube.wait_condition("openclawagent", TEAM, GATEWAY, "ConfigReady", "True")
    eventually(lambda: kube.get("networkpolicy", TEAM, f"{GATEWAY}-openclaw"), what="the gateway's NetworkPolicy")
    yield kube.must("openclawagent", TEAM, GATEWAY)
    kube.delete("openclawagent", TEAM, GATEWAY)


@pytest.fixture(scope="module")
def info(proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the proxy says of its models, as a user would save it."""
    path = tmp_path_factory.mktemp("info") / "model-info.json"
    path.write_text(proxy.call("GET", "/model/info").text)
    return path


def given(kube: Kube, drawn: Object, folder: Path) -> Path:
    """The agent and its route as files, the agent first, with the uids that they have in the cluster."""
    folder.mkdir(exist_ok=True)
    (folder / "a-agent.yaml").write_text(json.dumps(drawn))
    (folder / "b-route.yaml").write_text(json.dumps(kube.must("litellmroute", AI, "main")))
    return folder


def test_config_yaml_and_openclaw_json_are_the_same_to_the_byte(
    kube: Kube, drawn: Object, info: Path, tmp_path: Path
) -> None:
    """With what the proxy says of its models, both files are the ConfigMaps' own."""
    files = given(kube, drawn, tmp_path / "in")
    litclaw(kube, "render", "-f", str(files), "--model-info", str(info), "--output-dir", str(tmp_path / "out"))
    for namespace, name, key in ((AI, "main-litellm", "config.yaml"), (TEAM, f"{GATEWAY}-openclaw", "openclaw.json")):
        live = kube.must("configmap", namespace, name)["data"][key]
        assert (tmp_path / "out" / namespace / f"{name}.{key}").read_bytes() == live.encode()


def test_without_the_proxy_only_its_facts_are_missing(kube: Kube, drawn: Object, tmp_path: Path) -> None:
    """And the command says so."""
    files = given(kube, drawn, tmp_path)
    done = litclaw(kube, "render", "-f", str(files), "-o", "json")
    assert "what the proxy alone knows of its models" in done.stderr
    [text] = [
        each["data"]["openclaw.json"]
        for each in json.loads(done.stdout)["items"]
        if each["metadata"]["name"] == f"{GATEWAY}-openclaw" and each["kind"] == "ConfigMap"
    ]
    live = json.loads(kube.must("configmap", TEAM, f"{GATEWAY}-openclaw")["data"]["openclaw.json"])
    offline = json.loads(text)
    assert live != offline
    for config in (live, offline):
        for model in config["models"]["providers"]["litellm"]["models"]:
            for fact in ("cost", "contextWindow", "maxTokens", "input", "reasoning"):
                model.pop(fact, None)
    assert live == offline


def test_every_object_is_rendered_as_the_operator_applies_it(
    kube: Kube, drawn: Object, info: Path, tmp_path: Path
) -> None:
    """Neither one more nor one less, and no secret value."""
    files = given(kube, drawn, tmp_path)
    done = litclaw(kube, "render", "-f", str(files), "--model-info", str(info), "-o", "json")
    rendered = {
        (e["kind"], e["metadata"]["namespace"], e["metadata"]["name"]): e for e in json.loads(done.stdout)["items"]
    }
    assert [key for key in rendered if key[0] == "Job"] == [("Job", AI, "main-migrate-xxxxxxxx")]
    owners = {drawn["metadata"]["uid"], kube.must("litellmroute", AI, "main")["metadata"]["uid"]}
    live = {
        (body["kind"], body["metadata"]["namespace"], body["metadata"]["name"]): body
        for body in kube.list(KINDS)
        if (owner := owner_of(body["metadata"])) and owner.uid in owners
    }
    assert sorted(live) == sorted(key for key in rendered if key[0] != "Job")
    for key, body in live.items():
        wanted = rendered[key]
        if key[0] == "Secret":
            assert sorted(body["data"]) == sorted(wanted.pop("stringData"))
            # What the operator notes on a Secret when it makes a key isn't known before.
        assert covers(body, known(wanted)), key
    for name, secret in (("main-master-key", AI), (f"{GATEWAY}-litellm", TEAM)):
        for value in kube.secret(secret, name).values():
            assert value.startswith("http://") or value not in done.stdout


def known(wanted: Object) -> Object:
    """What of a rendered object isn't a placeholder."""
    if isinstance(wanted, dict):
        return {key: known(value) for key, value in wanted.items() if value not in (MADE_UP, UNKNOWN)}
    return [known(each) for each in wanted] if isinstance(wanted, list) else wanted


def test_a_digest_that_can_be_known_is_the_operators_own(kube: Kube, drawn: Object, info: Path, tmp_path: Path) -> None:
    """The annotation by which the operator sees that there is nothing to do."""
    files = given(kube, drawn, tmp_path)
    done = litclaw(kube, "render", "-f", str(files), "--model-info", str(info), "-o", "json")
    compared = 0
    for wanted in json.loads(done.stdout)["items"]:
        meta = wanted["metadata"]
        if meta["annotations"]["litclaw.dev/digest"] == UNKNOWN:
            continue
        live = kube.must(wanted["kind"], meta["namespace"], meta["name"])
        assert live["metadata"]["annotations"]["litclaw.dev/digest"] == meta["annotations"]["litclaw.dev/digest"], meta
        compared += 1
    assert compared >= 8
