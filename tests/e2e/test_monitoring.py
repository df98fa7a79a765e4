"""The running operator's health, metrics and logs; the alerts and the dashboard use metrics that exist."""

import contextlib
import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from dev.prometheus import program
from dev.promql import expressions, family, panels, selectors

from .api import Object
from .kube import Kube
from .prometheus import SYSTEM, Prometheus, prometheus
from .proxy import Proxy
from .resources import TEAM, agent, namespace
from .waiting import eventually

CROWDED = "crowded"
"""A namespace whose quota allows no more ConfigMaps."""
BROKEN = "LitclawReconcileBroken"
GRAPH_SECONDS = 600
"""The time range of graphs, longer than the test."""


def _pods(kube: Kube) -> list[str]:
    """The two operators' pods, once those of an earlier roll-out are gone."""

    def two() -> list[str]:
        found = [pod["metadata"]["name"] for pod in kube.list("pods", "-l", "app.kubernetes.io/name=litclaw")]
        assert len(found) == 2, found
        return found

    return eventually(two)


def _get(kube: Kube, pod: str, path: str) -> httpx.Response:
    with kube.forward(SYSTEM, f"pod/{pod}", 8080) as url:
        return httpx.get(f"{url}{path}", trust_env=False, timeout=60)


def _scrape(kube: Kube) -> str:
    """The leader's metrics."""
    leader = str(kube.must("lease", SYSTEM, "litclaw")["spec"]["holderIdentity"]).partition("_")[0]
    text = _get(kube, leader, "/metrics").text
    assert "\nlitclaw_leader 1.0\n" in text
    return text


def test_each_operator_is_alive_and_ready(kube: Kube) -> None:
    for pod in _pods(kube):
        for path in ("/healthz", "/readyz"):
            answer = _get(kube, pod, path)
            assert (answer.status_code, answer.text) == (200, "ok\n"), path


def test_metrics_of_alerts_and_dashboard_exist_and_nothing_is_secret(kube: Kube, proxy: Proxy, scout: str) -> None:
    wanted = ("litclaw_agent_spend_usd", "litclaw_route_keys", "litclaw_litellm_request_duration_seconds_bucket")

    def complete() -> str:
        text = _scrape(kube)
        missing = [metric for metric in wanted if metric not in dict(_series(text))]
        assert not missing, missing
        return text

    text = eventually(complete)
    exported = dict(_series(text))
    families = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    for where, expression in expressions().items():
        for each in selectors(expression):
            assert family(each.metric) in families, f"{where}: {each.metric}"
            assert each.metric not in exported or each.labels <= exported[each.metric], f"{where}: {each}"
    key = kube.secret(TEAM, f"{scout}-litellm")["LITELLM_API_KEY"]
    short = kube.must("openclawagent", TEAM, scout)["status"]["key"]["hash"]
    for secret in (key, short, proxy.master_key, "sk-"):
        assert secret not in text


@pytest.fixture
def eventful(kube: Kube, proxy: Proxy, scout: str) -> Iterator[None]:
    """An agent that works, one that is rotated, one that needs a correction, and one that the API server refuses."""
    rotated, astray, refused = agent("rotated"), agent("astray", models=["gpt-17"]), agent("refused")
    rotated["metadata"]["labels"] = {"monitoring": "rotated"}
    refused["metadata"]["namespace"] = CROWDED
    meta = {"name": "no-more", "namespace": CROWDED}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": {"count/configmaps": "1"}}}
    kube.apply(namespace(CROWDED))
    kube.apply(quota, rotated, astray)
    eventually(lambda: kube.must("resourcequota", CROWDED, "no-more").get("status", {}).get("used"))
    yield
    kube.run("delete", "llkr", "monitored", "--ignore-not-found")
    for name in ("rotated", "astray"):
        kube.delete("openclawagent", TEAM, name)
    kube.delete("openclawagent", CROWDED, "refused")
    kube.run("delete", "namespace", CROWDED, "--wait=false")


def test_every_panel_of_the_dashboard_shows_something(
    kube: Kube, proxy: Proxy, eventful: None, scout: str, tmp_path: Path
) -> None:
    """By a real Prometheus that scrapes the pods; and every alert rule is valid."""
    with _prometheus(kube, tmp_path) as found:
        kube.wait_ready("openclawagent", TEAM, "rotated")
        spec = {"selector": {"matchLabels": {"monitoring": "rotated"}}, "gracePeriod": "5m"}
        rotation = {"apiVersion": "litclaw.dev/v1alpha1", "kind": "LiteLLMKeyRotation"}
        kube.apply({**rotation, "metadata": {"name": "monitored"}, "spec": spec})
        refused = {**agent("refused"), "metadata": {"name": "refused", "namespace": CROWDED}}
        turns = itertools.count(1)

        def broken() -> bool:
            """Each change causes another failed pass; a single one between two scrapes would be no increase."""
            kube.apply({**refused, "spec": {**refused["spec"], "key": {"maxBudget": str(next(turns))}}})
            time.sleep(2)
            return found.rules()[BROKEN]["state"] in ("pending", "firing")

        eventually(broken, what="the alert on failed passes is pending")
        eventually(lambda: kube.must("llkr", "", "monitored")["status"]["phase"] == "Retiring")
        eventually(lambda: _none(_silent(found)), what="each panel has series")
        assert {name for name, rule in found.rules().items() if rule["health"] != "ok"} == set(), found.rules()
        firing = {name for name, rule in found.rules().items() if rule["state"] == "firing"}
        assert firing <= {BROKEN}, firing


def _silent(found: Prometheus) -> list[str]:
    """The panels with a query that has no series."""
    silent = []
    for panel in panels():
        seconds = GRAPH_SECONDS if panel["type"] == "timeseries" else 0
        for target in panel["targets"]:
            if not found.series(target["expr"].replace("$__rate_interval", "30s"), seconds=seconds):
                silent.append(f"{panel['title']} {target['refId']}")
    return silent


def _none(found: list[str]) -> bool:
    assert found == []
    return True


@contextlib.contextmanager
def _prometheus(kube: Kube, folder: Path) -> Iterator[Prometheus]:
    try:
        program("prometheus")
    except RuntimeError as error:
        pytest.skip(str(error))
    with prometheus(kube, _pods(kube), folder) as found:
        yield found


def _series(text: str) -> list[tuple[str, set[str]]]:
    found = re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.MULTILINE)
    return [(name, set(re.findall(r'(\w+)="', labels))) for name, labels in found]


def test_an_agent_s_series_vanish_with_it(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("seen", key={"maxBudget": "5"}))
    kube.wait_ready("openclawagent", TEAM, "seen")
    budget = f'litclaw_agent_budget_usd{{agent="seen",agent_namespace="{TEAM}",route="main",route_namespace="ai"}} 5.0'
    eventually(lambda: budget in _scrape(kube), what="its series")
    kube.delete("openclawagent", TEAM, "seen")
    eventually(lambda: '"seen"' not in _scrape(kube), what="the end of its series")


@pytest.fixture
def talkative(kube: Kube) -> Iterator[None]:
    """The operator with the most detailed log level."""
    _patch_arguments(kube, {"op": "add", "path": f"{ARGUMENTS}/-", "value": "--log-level=debug"})
    yield
    _patch_arguments(kube, {"op": "remove", "path": f"{ARGUMENTS}/3"})


ARGUMENTS = "/spec/template/spec/containers/0/args"


def _patch_arguments(kube: Kube, patch: Object) -> None:
    kube.run("-n", SYSTEM, "patch", "deployment/litclaw", "--type=json", "-p", json.dumps([patch]))
    kube.run("-n", SYSTEM, "rollout", "status", "deployment/litclaw", "--timeout=300s")
    old = f"app.kubernetes.io/name=litclaw,{_old(kube)}"
    kube.run("-n", SYSTEM, "wait", "--for=delete", "pod", "-l", old, "--timeout=300s")


def _old(kube: Kube) -> str:
    """A selector of the pods of earlier roll-outs."""
    pods = kube.list("pods", "-l", "app.kubernetes.io/name=litclaw")
    newest = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    return f"pod-template-hash!={newest['metadata']['labels']['pod-template-hash']}"


def test_log_lines_are_json_name_what_they_are_about_and_tell_no_secret(
    kube: Kube, proxy: Proxy, talkative: None, scout: str
) -> None:
    kube.patch("openclawagent", TEAM, scout, {"spec": {"key": {"maxBudget": "3"}}})
    kube.wait_ready("openclawagent", TEAM, scout)

    def logged() -> str:
        text = "".join(kube.run("-n", SYSTEM, "logs", pod, "--tail=-1").stdout for pod in _pods(kube))
        lines = [json.loads(line) for line in text.splitlines()]
        assert lines and all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
        passes = [line for line in lines if line["message"].startswith("reconciled in")]
        about = {(line["kind"], line["namespace"], line["name"], line["result"]) for line in passes}
        assert {("LiteLLMRoute", "ai", "main", "ready"), ("OpenClawAgent", TEAM, scout, "ready")} <= about, about
        return text

    text = eventually(logged, what="both passes are logged")
    for secret in (proxy.master_key, kube.secret(TEAM, f"{scout}-litellm")["LITELLM_API_KEY"]):
        assert secret not in text


@pytest.fixture
def overlay(tmp_path: Path, root: Path) -> Path:
    """A kustomization, as a user writes it."""
    deploy = root / "deploy"
    relative = Path("/".join([".."] * (len(tmp_path.resolve().parts) - 1))) / deploy.relative_to("/")
    components = [str(relative / "components" / name) for name in ("monitoring", "dashboards")]
    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": [str(relative / "default")], "components": components})
    )
    return tmp_path


def test_the_components_are_taken_by_kustomize(kube: Kube, overlay: Path) -> None:
    built = list(yaml.safe_load_all(kube.run("kustomize", str(overlay)).stdout))
    kinds = {body["kind"]: body for body in built}
    monitor = kinds["PodMonitor"]["spec"]
    deployment = kinds["Deployment"]["spec"]["template"]
    assert monitor["selector"]["matchLabels"].items() <= deployment["metadata"]["labels"].items()
    ports = {port["name"] for container in deployment["spec"]["containers"] for port in container["ports"]}
    assert {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]} <= ports
    assert kinds["PrometheusRule"]["spec"]["groups"]
    [dashboard] = [body for body in built if body["metadata"]["name"] == "litclaw-dashboard"]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["litclaw.json"])["title"] == "Litclaw"
    kube.run("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=json.dumps(dashboard))
