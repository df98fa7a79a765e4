"""The whole story of a new user: install, every example, upgrade, rotate, uninstall, with the commands of the docs.

Afterwards the cluster is as it was before. Each deviation from a page or an example has its reason in a comment.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
import yaml

from dev.cluster import ROOT, Cluster, install, sayer
from dev.demo import answer_in

from .api import Object
from .kube import Kube
from .main_route import make_main
from .networks import operator_policy
from .proxy import Proxy
from .resources import AI, TEAM
from .story import (
    BEFORE,
    DOOR,
    LACKING,
    PASSWORD,
    Reader,
    commands,
    commands_in,
    database_url,
    everything,
    image_before,
    load_redis,
    reader_at,
    release_before,
    what_a_reader_has,
)
from .waiting import LONG_SECONDS, eventually

PRODUCTION = "ai-production"
"""The namespace of examples/route-production.yaml, whose route has the name of the other examples' route."""
AGENTS = {"scout": "scout-litellm", "keeper": "keeper-litellm", "archivist": "archivist-key"}
"""The examples' agents, and the Secrets with their keys."""
GATEWAY_SECONDS = 900
"""A gateway that dies at its start, as happens on a busy machine, can't use its own state for five minutes."""
say = sayer()


@pytest.fixture
def reader(kube: Kube, tmp_path: Path) -> Reader:
    return reader_at(kube, tmp_path)


@pytest.fixture
def bare(cluster: Cluster, kube: Kube, reader: Reader, request: pytest.FixtureRequest) -> Iterator[None]:
    """The cluster without Litclaw and the namespaces of the examples; restored for the other tests afterwards."""
    proxy: Proxy | None = request.getfixturevalue("proxy") if kube.get("litellmroute", AI, "main") else None
    _clear(kube, reader)
    yield
    if kube.get("crd", "", "openclawagents.litclaw.dev"):  # the test has failed before its end
        _clear(kube, reader)
    install(cluster, say)
    kube.apply(operator_policy(AI))
    if proxy:
        proxy.close()
        proxy.master_key = make_main(kube)


def _clear(kube: Kube, reader: Reader) -> None:
    uninstall(reader)
    kube.run("delete", "namespace", AI, TEAM, PRODUCTION, "--ignore-not-found")


def test_install_every_example_upgrade_rotate_uninstall(
    cluster: Cluster, kube: Kube, reader: Reader, bare: None, tmp_path: Path
) -> None:
    clone = tmp_path / f"litclaw-{BEFORE}"
    building = release_before(clone)
    before = eventually(lambda: _still(kube), what="a cluster in which nothing changes")
    assert building.wait(timeout=1800) == 0
    cluster.load(image_before()) if cluster.load else None
    load_redis(cluster)
    say("the previous release is installed, with the quick start")
    for command in commands("install.md", until="Without one, by URL, at a release; kubectl fetches it with git:"):
        reader.types(command, where=clone)
    reader.types("kubectl apply -k examples/quickstart", where=ROOT)
    kube.wait_ready("litellmroute", AI, "main", timeout=LONG_SECONDS)
    for name in ("scout", "keeper"):
        kube.wait_ready("openclawagent", TEAM, name, timeout=GATEWAY_SECONDS)
    refused = reader.types("kubectl apply -f examples/agent-every-field.yaml 2>&1", status=1)
    assert f'unknown field "spec.gateway.{LACKING}"' in refused
    say("it is upgraded, during an agent's turn")
    reader.types("kubectl apply -f examples/turn/job.yaml")
    upgrade(kube, reader)
    reader.types("kubectl -n team-a wait --for=condition=complete --timeout=900s job/scout-turn")
    assert "Hello from the quick start." in answer_in(reader.types("kubectl -n team-a logs job/scout-turn"))
    say("every other example")
    apply_examples(kube, reader)
    say("all keys are rotated")
    rotate(kube, reader)
    all_is_well(kube, reader)
    say("it is uninstalled")
    # As the page says, for a key that must not outlive its agent.
    kube.patch("openclawagent", TEAM, "archivist", {"spec": {"key": {"deletionPolicy": "Delete"}}})
    uninstall(reader)
    left = everything(kube) - before
    assert not [each for each in left if "litclaw" in each.lower() or "openclaw" in each.lower()], left
    # "What is left are the namespaces that you have made yourself, and the Secrets in them that you have."
    assert {each for each in left if each.startswith("Namespace ")} == {
        f"Namespace /{name}" for name in (AI, TEAM, PRODUCTION)
    }
    kube.run("delete", "namespace", AI, TEAM, PRODUCTION)
    eventually(lambda: _no_difference(before, everything(kube)), timeout=LONG_SECONDS, what="the state from before")


def _still(kube: Kube) -> set[str] | None:
    """Every object, once none is being removed any more."""
    first = everything(kube)
    return first if first == everything(kube) else None


def _no_difference(before: set[str], now: set[str]) -> bool:
    assert now == before, f"there: {sorted(now - before)}; gone: {sorted(before - now)}"
    return True


def upgrade(kube: Kube, reader: Reader) -> None:
    """docs/upgrade.md, from the previous release to this one: pods, keys and Secrets of agents and routes stay."""
    doctor = json.loads(reader.types("litclaw doctor -o json", status=1))
    said = {check["name"]: (check["outcome"], check["detail"]) for check in doctor["checks"]}
    assert said["release"][0] == "warn" and BEFORE in said["release"][1]
    assert said["CRD openclawagents"][0] == "fail" and LACKING in said["CRD openclawagents"][1]
    untouched = _of_agents_and_routes(kube)
    look, *rest = commands("upgrade.md")
    assert f"/litclaw:{BEFORE}" in reader.types(look, status=1), "kubectl diff shows a difference"
    for command in rest:
        reader.types(command)
    assert reader.types(look) == "", "now it shows none"
    for name in ("scout", "keeper"):
        kube.wait_ready("openclawagent", TEAM, name)
    kube.wait_ready("litellmroute", AI, "main")
    assert _of_agents_and_routes(kube) == untouched, "this release renders the same as the previous one"


def _of_agents_and_routes(kube: Kube) -> dict[str, str]:
    """The operator's objects and their pods, with the generation or version of each."""
    found = kube.list("deployments,statefulsets,pods,secrets,configmaps", "-l", "app.kubernetes.io/managed-by=litclaw")
    metas = [(body["kind"], body["metadata"]) for body in found]
    assert {kind for kind, _ in metas} == {"Deployment", "StatefulSet", "Pod", "Secret", "ConfigMap"}
    return {
        f"{kind} {meta['name']}": f"{meta['uid']} {meta.get('generation') or meta['resourceVersion']}"
        for kind, meta in metas
        if not meta.get("ownerReferences") or meta["ownerReferences"][0]["kind"] != "Job"
    }


def apply_examples(kube: Kube, reader: Reader) -> None:
    """Apply all but the quick start's, as far as possible without the internet and without a LiteLLM licence.

    One route isn't waited for: its pods start while the keys of the other routes' agents are rotated.
    """
    authority = trustme.CA()
    (reader.desk / "ca.crt").write_bytes(authority.cert_pem.bytes())
    kube.apply(*what_a_reader_has(authority))
    reader.types(f"kubectl create namespace {PRODUCTION}")
    reader.types("kubectl -n ai wait --for=condition=Ready pod/own-postgres pod/own-redis --timeout=300s")
    for name in ("main", "production"):
        create = f"psql --username=postgres --command='CREATE DATABASE {name}'"
        eventually(lambda create=create: reader.types(f"kubectl -n ai exec own-postgres -- {create}"))
    master = kube.secret(AI, "main-master-key")["LITELLM_MASTER_KEY"]
    values = {
        "DATABASE_URL": database_url("main"),
        "REDIS_URL": f"redis://:{PASSWORD}@own-redis.{AI}.svc.cluster.local:6379/0",
        "LITELLM_MASTER_KEY": master,
    }
    # The tests' node has two CPUs; each of the two routes has two pods that request half a CPU.
    less = {"cpu: 500m": "cpu: 100m", "replicas: 2": "replicas: 1", "minReplicas: 2": "minReplicas: 1"}
    _apply(reader, "examples/route-managed-database-secret.yaml", values, less)
    there = {**less, "namespace: ai\n": f"namespace: {PRODUCTION}\n", "-n ai ": f"-n {PRODUCTION} "}
    _apply(reader, "examples/route-production.yaml", {**values, "DATABASE_URL": database_url("production")}, there)
    _apply(reader, "examples/route-external.yaml", values, {"https://litellm.example.com": DOOR})
    # The quick start's keeper has a smaller volume, and the cluster's storage class doesn't allow expansion.
    reader.types("kubectl delete -f examples/quickstart/keeper.yaml")
    kube.wait_ready("litellmroute", AI, "main", timeout=LONG_SECONDS)
    assert kube.get("service", AI, "main-postgres"), "the former database, with the spend, is still reachable"
    # Only now: a gateway whose models change while it starts is started twice.
    _apply(reader, "examples/agent.yaml", values, {})
    _apply(reader, "examples/agent-gateway.yaml", values, {})
    _apply(reader, "examples/agent-every-field.yaml", values, {})
    kube.wait_ready("litellmroute", AI, "company")
    _archivist(kube, reader, Proxy(kube, AI, "main-litellm", master))
    for name in AGENTS:
        kube.wait_ready("openclawagent", TEAM, name, timeout=GATEWAY_SECONDS)
    # The rotation selects agents with this label.
    reader.types("kubectl -n team-a label openclawagent archivist team=research")
    reader.types("kubectl apply -f examples/rotation.yaml")
    eventually(lambda: _phase(kube, "leak-2026-11") == "Retiring")
    assert kube.must("llkr", "", "leak-2026-11")["status"]["rotated"] == 1


def _apply(reader: Reader, example: str, values: dict[str, str], changes: dict[str, str]) -> None:
    """Type the commands in an example's comments, and apply it.

    Args:
        values: the values that commands read, by name; others are made up.
        changes: replacements in the commands and in the file.
    """

    def changed(text: str) -> str:
        for old, new in changes.items():
            text = text.replace(old, new)
        return text

    for command in commands_in(example):
        name = command.partition("--from-file=")[2].partition("=/dev/stdin")[0]
        reader.types(changed(command), where=reader.desk, value=values.get(name, "made-up-for-a-test"))
    (reader.desk / "example.yaml").write_text(changed((ROOT / example).read_text()))
    reader.types("kubectl apply -f example.yaml", where=reader.desk)


def _archivist(kube: Kube, reader: Reader, proxy: Proxy) -> None:
    """The agent with every field gets ready without its tags, which LiteLLM accepts only with a licence."""
    team = {"team_id": "5b0e9c1e-research", "team_alias": "research"}
    assert proxy.call("POST", "/team/new", json=team).status_code == 200
    proxy.close()
    refused = kube.wait_condition("openclawagent", TEAM, "archivist", "KeyReady", "False", "Rejected")
    assert "enterprise licence" in refused["message"]
    body: Object = yaml.safe_load((ROOT / "examples" / "agent-every-field.yaml").read_text())
    del body["spec"]["key"]["tags"]
    (reader.desk / "example.json").write_text(json.dumps(body))
    reader.types("kubectl apply -f example.json", where=reader.desk)


def _phase(kube: Kube, rotation: str) -> str:
    return str((kube.must("llkr", "", rotation).get("status") or {}).get("phase"))


def _keys(kube: Kube) -> list[str]:
    return [kube.secret(TEAM, name)["LITELLM_API_KEY"] for name in AGENTS.values()]


def rotate(kube: Kube, reader: Reader) -> None:
    """Rotate every key, until the old ones are refused. That also completes the example's rotation."""
    old = _keys(kube)
    reader.types("litclaw rotate --all --grace 0s --name all --wait")
    assert _phase(kube, "all") == "Completed"
    new = _keys(kube)
    assert not set(new) & set(old)
    proxy = Proxy(kube, AI, "main-litellm", kube.secret(AI, "main-master-key")["LITELLM_MASTER_KEY"])
    statuses = [proxy.call("GET", "/v1/models", key=key).status_code for key in (*new, *old)]
    proxy.close()
    assert statuses == [200] * len(AGENTS) + [401] * len(AGENTS)
    eventually(lambda: _phase(kube, "leak-2026-11") == "Completed")


def all_is_well(kube: Kube, reader: Reader) -> None:
    """Check that every route and agent of the examples is ready, and that the doctor finds no failure."""
    kube.wait_ready("litellmroute", PRODUCTION, "main", timeout=LONG_SECONDS)
    for name in AGENTS:
        kube.wait_ready("openclawagent", TEAM, name, timeout=GATEWAY_SECONDS)
    status = json.loads(reader.types("litclaw status -A -o json"))
    assert len(status["agents"]) == len([agent for agent in status["agents"] if agent["ready"]]) == len(AGENTS)
    assert len(status["routes"]) == len([route for route in status["routes"] if route["ready"]]) == 3
    doctor = json.loads(reader.types("litclaw doctor -o json"))
    seen = {check["name"]: check for check in doctor["checks"]}
    assert not doctor["fail"], doctor
    assert seen[f"proxy {AI}/main"]["outcome"] == seen[f"proxy {PRODUCTION}/main"]["outcome"] == "ok", doctor


def uninstall(reader: Reader) -> None:
    """docs/uninstall.md; wait where it shows how to list what is left."""
    typed = commands("uninstall.md", until="## When it hangs")
    assert [command.split()[2] for command in typed[:2]] == ["openclawagents", "litellmroutes"]
    for command in typed:
        if command.split()[1] == "get":
            eventually(lambda command=command: reader.types(command) == "", timeout=LONG_SECONDS, what=command)
        else:
            reader.types(command)
