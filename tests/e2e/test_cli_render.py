"""``litclaw render`` renders without a cluster what the operator makes in one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from litclaw.cli.offline import MADE_UP, UNKNOWN
from litclaw.kube.cache import owner_of
from litclaw.kube.diff import covers

from .api import Object
from .cli import litclaw
from .kube import Kube
from .pods import POD_SETTINGS, what_pods_need
from .proxy import Proxy
from .resources import AI, TEAM, agent
from .waiting import eventually

KINDS = (
    "secrets,configmaps,services,persistentvolumeclaims,deployments,statefulsets,networkpolicies,poddisruptionbudgets"
)
GATEWAY = "drawn"


@pytest.fixture(scope="module")
def drawn(kube: Kube, proxy: Proxy) -> Iterator[Object]:
    """An agent with a gateway; its pod needn't run."""
    kube.apply(*what_pods_need(TEAM))
    config = {"files": {"AGENTS.md": "Be brief.\n"}, "extra": {"ui": {"seamColor": "#123456"}}}
    kube.apply(agent(GATEWAY, models=["gpt-4o", "claude-opus-4-6"], config=config, gateway=POD_SETTINGS))
    kube.wait_condition("openclawagent", TEAM, GATEWAY, "ConfigReady", "True")
    eventually(lambda: kube.get("networkpolicy", TEAM, f"{GATEWAY}-openclaw"), what="the gateway's NetworkPolicy")
    yield kube.must("openclawagent", TEAM, GATEWAY)
    kube.delete("openclawagent", TEAM, GATEWAY)


@pytest.fixture(scope="module")
def info(proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The proxy's /model/info in a file, as a user would save it."""
    path = tmp_path_factory.mktemp("info") / "model-info.json"
    path.write_text(proxy.call("GET", "/model/info").text)
    return path


def given(kube: Kube, drawn: Object, folder: Path) -> Path:
    """The agent and its route as files, the agent first, with their uids in the cluster."""
    folder.mkdir(exist_ok=True)
    (folder / "a-agent.yaml").write_text(json.dumps(drawn))
    (folder / "b-route.yaml").write_text(json.dumps(kube.must("litellmroute", AI, "main")))
    return folder


def test_config_yaml_and_openclaw_json_are_the_same_to_the_byte(
    kube: Kube, drawn: Object, info: Path, tmp_path: Path
) -> None:
    """With the proxy's /model/info, both files are those of the ConfigMaps."""
    files = given(kube, drawn, tmp_path / "in")
    litclaw(kube, "render", "-f", str(files), "--model-info", str(info), "--output-dir", str(tmp_path / "out"))
    for namespace, name, key in ((AI, "main-litellm", "config.yaml"), (TEAM, f"{GATEWAY}-openclaw", "openclaw.json")):
        live = kube.must("configmap", namespace, name)["data"][key]
        assert (tmp_path / "out" / namespace / f"{name}.{key}").read_bytes() == live.encode()


def test_without_the_proxy_only_its_facts_are_missing(kube: Kube, drawn: Object, tmp_path: Path) -> None:
    """And the command reports that."""
    files = given(kube, drawn, tmp_path)
    done = litclaw(kube, "render", "-f", str(files), "-o", "json")
    assert "the proxy alone knows of its models" in done.stderr
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
    """The same objects, and no secret value."""
    files = given(kube, drawn, tmp_path)
    done = litclaw(kube, "render", "-f", str(files), "--model-info", str(info), "-o", "json")
    rendered = {
        (e["kind"], e["metadata"]["namespace"], e["metadata"]["name"]): e for e in json.loads(done.stdout)["items"]
    }
    assert [key for key in rendered if key[0] == "Job"] == [("Job", AI, "main-migrate-xxxxxxxx")]
    owners = {drawn["metadata"]["uid"], kube.must("litellmroute", AI, "main")["metadata"]["uid"]}

    def applied() -> dict[tuple[str, str, str], Object]:
        found = {
            (body["kind"], body["metadata"]["namespace"], body["metadata"]["name"]): body
            for body in kube.list(KINDS)
            if (owner := owner_of(body["metadata"])) and owner.uid in owners
        }
        assert sorted(found) == sorted(key for key in rendered if key[0] != "Job")
        return found

    for key, body in eventually(applied, what="the operator has applied every object").items():
        wanted = rendered[key]
        if key[0] == "Secret":
            assert sorted(body["data"]) == sorted(wanted.pop("stringData"))
            # The operator's annotations on a Secret aren't known before a key is made.
        assert covers(body, known(wanted)), key
    for name, secret in (("main-master-key", AI), (f"{GATEWAY}-litellm", TEAM)):
        for value in kube.secret(secret, name).values():
            assert value.startswith("http://") or value not in done.stdout


def known(wanted: Object) -> Object:
    """A rendered object without its placeholders."""
    if isinstance(wanted, dict):
        return {key: known(value) for key, value in wanted.items() if value not in (MADE_UP, UNKNOWN)}
    return [known(each) for each in wanted] if isinstance(wanted, list) else wanted


def test_a_digest_that_can_be_known_is_the_operators_own(kube: Kube, drawn: Object, info: Path, tmp_path: Path) -> None:
    """The annotation that tells the operator whether an object is up to date."""
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
