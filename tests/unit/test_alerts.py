"""Each alert rule, evaluated by Prometheus' own promtool: when it fires, what it says, and when it doesn't.

Skipped where promtool is neither in the path nor to be had from Debian.
"""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.prometheus import program
from dev.promql import RULES, alerts

DAY = 24 * 60
_RULES = {rule["alert"]: rule for rule in alerts()}


@dataclass(frozen=True)
class Firing:
    """An alert that fires.

    Args:
        summary: the alert's summary.
        description: what else it says; left out: as the rule does, where that holds no figure.
        labels: that distinguish it from others.
    """

    summary: str
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What Prometheus has scraped, a sample a minute, and what comes of it.

    Args:
        series: values in promtool's notation (``1+0x9``: ten times 1; ``_``: no sample).
        fires: what fires at which minute; nothing at those with an empty list.
    """

    alert: str
    what: str
    series: dict[str, str]
    fires: dict[int, list[Firing]]


def _leader(pod: str) -> str:
    return f'litclaw_leader{{pod="{pod}"}}'


def _errors(error: str) -> str:
    return f'litclaw_reconcile_errors_total{{pod="a",kind="OpenClawAgent",error="{error}"}}'


def _kube(status: str) -> str:
    return f'litclaw_kubernetes_requests_total{{pod="a",verb="patch",kind="Secret",status="{status}"}}'


def _litellm(status: str, path: str = "/key/generate") -> str:
    return f'litclaw_litellm_requests_total{{pod="a",method="POST",path="{path}",status="{status}"}}'


def _ready(kind: str, pod: str = "a") -> str:
    return f'litclaw_resource_ready{{pod="{pod}",kind="{kind}",resource_namespace="ai",resource="x"}}'


def _agent(metric: str, pod: str = "a") -> str:
    labels = f'pod="{pod}",agent_namespace="team-a",agent="scout",route_namespace="ai",route="main"'
    return f"litclaw_agent_{metric}{{{labels}}}"


def _keys(state: str) -> str:
    return f'litclaw_route_keys{{pod="a",route_namespace="ai",route="main",state="{state}"}}'


def _rotation(state: str) -> str:
    return f'litclaw_rotation_keys{{pod="a",rotation="leak",state="{state}"}}'


SCOUT = {"agent_namespace": "team-a", "agent": "scout"}
X = {"resource_namespace": "ai", "resource": "x"}
DOWN = Firing("No Litclaw operator is running.")
NO_LEADER = Firing("No Litclaw operator leads.")
FAILS = Firing(
    "Passes over OpenClawAgent fail with UnavailableError.",
    "15 in a quarter of an hour; they are retried.",
    {"kind": "OpenClawAgent", "error": "UnavailableError"},
)
KUBERNETES = {"verb": "patch", "kind": "Secret"}
ROUTE = Firing("LiteLLMRoute ai/x isn't ready.", labels=X)
AGENT = Firing("OpenClawAgent ai/x isn't ready.", labels=X)
SPENT = Firing("OpenClawAgent team-a/scout has spent its budget.", labels=SCOUT)
ROTATION = Firing("LiteLLMKeyRotation leak couldn't rotate 2 keys.", labels={"rotation": "leak"})
CASES = [
    Case(
        "LitclawDown",
        "goes and comes back",
        {_leader("a"): "1+0x4 stale _x9 1+0x5"},
        {4: [], 9: [], 10: [DOWN], 14: [DOWN], 15: []},
    ),
    Case("LitclawDown", "one of two goes", {_leader("a"): "1+0x4", _leader("b"): "0+0x4 1+0x20"}, {20: []}),
    Case(
        "LitclawNoLeader",
        "nobody, then b",
        {_leader("a"): "1+0x4 0+0x20", _leader("b"): "0+0x14 1+0x10"},
        {7: [], 8: [NO_LEADER], 14: [NO_LEADER], 15: []},
    ),
    Case(
        "LitclawNoLeader",
        "a handover",
        {_leader("a"): "1+0x4 0+0x20", _leader("b"): "0+0x6 1+0x20"},
        {minute: [] for minute in range(20)},
    ),
    Case(
        "LitclawTwoLeaders",
        "two for a while",
        {_leader("a"): "1+0x20", _leader("b"): "0+0x4 1+0x4 0+0x10"},
        {6: [], 7: [Firing("2 Litclaw operators report that they lead.")], 10: []},
    ),
    Case(
        "LitclawTwoLeaders", "two at one scrape", {_leader("a"): "1+0x20", _leader("b"): "0 0 1 0+0x9"}, {2: [], 5: []}
    ),
    Case(
        "LitclawNoStandby",
        "one of two goes for good, and another comes",
        {_leader("a"): "1+0x60", _leader("b"): "0+0x4 _x40 0+0x10"},
        {30: [], 40: [Firing("Only one Litclaw operator runs.")], 50: []},
    ),
    Case(
        "LitclawNoStandby", "a roll-out", {_leader("a"): "1+0x60", _leader("b"): "0+0x4 _x9 0+0x50"}, {35: [], 60: []}
    ),
    Case(
        "LitclawReconcileFails",
        "once a minute",
        {_errors("UnavailableError"): "0+1x60 60+0x60"},
        {14: [], 30: [FAILS], 80: []},
    ),
    Case("LitclawReconcileFails", "now and then", {_errors("UnavailableError"): "0+0.5x100"}, {60: [], 100: []}),
    Case("LitclawReconcileFails", "what is another alert's", {_errors("InternalError"): "0+2x60"}, {60: []}),
    Case(
        "LitclawReconcileBroken",
        "an error of the operator's own, then none any more",
        {_errors("InternalError"): "0+0x4 1+1x10 11+0x60"},
        {
            9: [],
            10: [
                Firing(
                    "Passes over OpenClawAgent end with InternalError.",
                    labels={"kind": "OpenClawAgent", "error": "InternalError"},
                )
            ],
            40: [],
        },
    ),
    Case("LitclawReconcileBroken", "what passes by itself", {_errors("ConflictError"): "0+2x60"}, {60: []}),
    Case(
        "LitclawQueueLate",
        "late, then not",
        {"litclaw_queue_longest_waiting_seconds": "0+0x4 150+0x10 3+0x9"},
        {8: [], 10: [Firing("Resources wait 2m 30s for a worker.")], 16: []},
    ),
    Case(
        "LitclawQueueLate",
        "a crowd that is worked off",
        {"litclaw_queue_longest_waiting_seconds": "0 150+0x3 2+0x9"},
        {9: []},
    ),
    Case(
        "LitclawPassHangs",
        "a long pass",
        {"litclaw_queue_longest_working_seconds": "0+60x14 0+0x9"},
        {10: [], 12: [Firing("One pass over a resource has run for 12m 0s.")], 16: []},
    ),
    Case(
        "LitclawKubernetesFails",
        "a right is missing, then given",
        {_kube("403"): "0+3x40 120+0x40", _kube("200"): "0+7x80"},
        {
            14: [],
            25: [Firing("The Kubernetes API refuses or fails 30% of patch Secret.", labels=KUBERNETES)],
            60: [],
        },
    ),
    Case(
        "LitclawKubernetesFails", "conflicts are no failure", {_kube("409"): "0+5x60", _kube("200"): "0+5x60"}, {60: []}
    ),
    Case("LitclawKubernetesFails", "one in twenty", {_kube("503"): "0+1x60", _kube("200"): "0+19x60"}, {60: []}),
    Case("LitclawKubernetesFails", "no calls at all", {_kube("503"): "5+0x60", _kube("200"): "9+0x60"}, {60: []}),
    Case(
        "LitclawRouteNotReady",
        "not ready, over a change of the leader, then ready",
        {_ready("LiteLLMRoute"): "1 0+0x6 _x30", _ready("LiteLLMRoute", "b"): "_x8 0+0x8 1+0x9"},
        {10: [], 12: [ROUTE], 16: [ROUTE], 18: []},
    ),
    Case("LitclawRouteNotReady", "a start", {_ready("LiteLLMRoute"): "0+0x5 1+0x20"}, {11: [], 20: []}),
    Case(
        "LitclawRouteNotReady",
        "deleted while not ready",
        {_ready("LiteLLMRoute"): "0+0x12 stale"},
        {12: [ROUTE], 13: []},
    ),
    Case(
        "LitclawLiteLLMFails",
        "no answer, then answers",
        {_litellm("none"): "0+1x40 40+0x40", _litellm("200"): "0+1x80", _litellm("200", "/key/list"): "0+1x80"},
        {
            14: [],
            25: [
                Firing(
                    "LiteLLM refuses or fails 50% of the operator's calls to /key/generate.",
                    labels={"path": "/key/generate"},
                )
            ],
            70: [],
        },
    ),
    Case("LitclawLiteLLMFails", "a bad budget is an agent's own", {_litellm("400"): "0+1x60"}, {60: []}),
    Case(
        "LitclawKeysOrphaned",
        "a key stays behind, then goes",
        {_keys("orphaned"): "0 2+0x20 0+0x9", _keys("live"): "5+0x40"},
        {
            14: [],
            16: [
                Firing(
                    "2 keys of LiteLLMRoute ai/main have no agent.", labels={"route_namespace": "ai", "route": "main"}
                )
            ],
            24: [],
        },
    ),
    Case("LitclawKeysOrphaned", "an agent that is being deleted", {_keys("orphaned"): "0 1 1 0+0x20"}, {2: [], 20: []}),
    Case(
        "LitclawAgentNotReady",
        "for half an hour, over a change of the leader",
        {_ready("OpenClawAgent"): "0+0x20 _x40", _ready("OpenClawAgent", "b"): "_x21 0+0x19 1+0x9"},
        {29: [], 30: [AGENT], 40: [AGENT], 42: []},
    ),
    Case(
        "LitclawBudgetNearlySpent",
        "nearly, then wholly, then reset",
        {_agent("spend_usd"): "1 4.75+0x9 5+0x9 0+0x9", _agent("budget_usd"): "5+0x40"},
        {5: [], 6: [Firing("OpenClawAgent team-a/scout has spent 95% of its budget.", labels=SCOUT)], 11: [], 25: []},
    ),
    Case("LitclawBudgetNearlySpent", "no budget", {_agent("spend_usd"): "100+0x20"}, {20: []}),
    Case(
        "LitclawBudgetNearlySpent",
        "a budget of nothing",
        {_agent("spend_usd"): "0+0x9", _agent("budget_usd"): "0+0x9"},
        {9: []},
    ),
    Case(
        "LitclawBudgetSpent",
        "spent, over a change of the leader, then raised",
        {
            _agent("spend_usd"): "4 5.2+0x5 _x30",
            _agent("budget_usd"): "5+0x6 _x30",
            _agent("spend_usd", "b"): "_x7 5.2+0x20",
            _agent("budget_usd", "b"): "_x7 5+0x4 9+0x9",
        },
        {5: [], 6: [SPENT], 11: [SPENT], 12: []},
    ),
    Case(
        "LitclawBudgetSpent", "half of it", {_agent("spend_usd"): "2.5+0x20", _agent("budget_usd"): "5+0x20"}, {20: []}
    ),
    Case(
        "LitclawKeyOld",
        "ninety days, then rotated",
        # A key that was made before the clock's beginning, an hour less than ninety days ago.
        {_agent("key_created_timestamp_seconds"): f"{3600 - 90 * DAY * 60}+0x124 7500+0x60"},
        {
            60: [],
            120: [],
            121: [Firing("The key of OpenClawAgent team-a/scout is 90d 1h 1m 0s old.", labels=SCOUT)],
            125: [],
        },
    ),
    Case(
        "LitclawRotationFails",
        "it ends with failures, and isn't deleted",
        # It ended before the clock's beginning, an hour less than a day ago.
        {
            _rotation("failed"): "2+0x90",
            _rotation("rotated"): "3+0x90",
            'litclaw_rotation_completed_timestamp_seconds{pod="a",rotation="leak"}': f"{3600 - DAY * 60}+0x90",
        },
        {9: [], 10: [ROTATION], 60: [ROTATION], 61: [], 90: []},
    ),
    Case(
        "LitclawRotationFails",
        "it goes on, and is fixed",
        {_rotation("failed"): "0 2+0x80 0+0x60"},
        {10: [], 11: [ROTATION], 81: [ROTATION], 82: []},
    ),
    Case(
        "LitclawRotationFails", "no failure", {_rotation("failed"): "0+0x60", _rotation("rotated"): "9+0x60"}, {60: []}
    ),
    Case("LitclawRotationFails", "deleted", {_rotation("failed"): "2+0x20 stale"}, {20: [ROTATION], 21: []}),
]


@pytest.fixture(scope="module")
def promtool() -> Path:
    try:
        return program("promtool")
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules as Prometheus reads them, without the resource around them."""
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(RULES.read_text())["spec"]))
    return path


def _expected(case: Case) -> list[dict[str, Any]]:
    rule = _RULES[case.alert]
    out: list[dict[str, Any]] = []
    for minute, firing in case.fires.items():
        found = [
            {
                "exp_labels": {**each.labels, **rule["labels"]},
                "exp_annotations": {
                    "summary": each.summary,
                    "description": each.description or rule["annotations"]["description"],
                    "runbook_url": rule["annotations"]["runbook_url"],
                },
            }
            for each in firing
        ]
        out.append({"eval_time": f"{minute}m", "alertname": case.alert, "exp_alerts": found})
    return out


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.what}")
def test_an_alert_fires_when_it_should(promtool: Path, rules: Path, tmp_path: Path, case: Case) -> None:
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": _expected(case)}
    body = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}
    path = tmp_path / "test.yaml"
    path.write_text(json.dumps(body))
    done = subprocess.run([str(promtool), "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tried_both_ways() -> None:
    """It fires in one case, and doesn't in some minute."""
    for name in _RULES:
        fires = [bool(firing) for case in CASES if case.alert == name for firing in case.fires.values()]
        assert set(fires) == {True, False}, name


def test_prometheus_takes_the_rules(promtool: Path, rules: Path) -> None:
    done = subprocess.run([str(promtool), "check", "rules", str(rules)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and f"{len(_RULES)} rules found" in done.stdout, done.stdout + done.stderr
