"""``litclaw doctor`` with a cluster that has one problem of each kind."""

import json
from typing import Any

import pytest
from litclaw.cli.doctor import all_checks, report
from litclaw.cli.options import OutputFormat
from litclaw.kube.errors import KubeError, from_response
from litclaw.kube.resources import (
    AGENT,
    CONFIG_MAP,
    DEFINITION,
    DEPLOYMENT,
    LEASE,
    NAMESPACE,
    ROTATION,
    ROUTE,
    Resource,
)

from tests.unit.cli_resources import agent, conditions, operator

FORBIDDEN = from_response(403, b'{"kind": "Status", "reason": "Forbidden", "message": "no"}')
OURS = "app.kubernetes.io/managed-by=litclaw"


class Cluster:
    """A cluster with a few objects, by kind. An error is raised."""

    host = "https://here"

    def __init__(self) -> None:
        stalled = conditions(Ready=("False", "ModelNotFound", "No such model."), Stalled=("True", "ModelNotFound", ""))
        suspended = {"metadata": {"name": "all"}, "status": {"phase": "Suspended"}}
        refused = conditions(ReplicaFailure=("True", "FailedCreate", "violates PodSecurity"))
        workload = {"metadata": {"name": "main-litellm", "namespace": "ai"}, "status": {"conditions": refused}}
        self.kinds: dict[Resource, Any] = {
            AGENT: [agent(conditions=stalled, key={"retiringUntil": "2026-01-01T00:00:00Z"})],
            ROUTE: [],
            ROTATION: [suspended],
            DEPLOYMENT: [workload],
            CONFIG_MAP: [{"metadata": {"name": "left", "namespace": "ai", "uid": "x"}}],
            NAMESPACE: [],
        }
        self.operators: Any = [operator()]
        self.single: dict[Resource, Any] = {DEFINITION: None, LEASE: None, NAMESPACE: None}
        self.allowed = True

    async def version(self) -> str:
        return "v1.29.9"

    async def get(self, resource: Resource, _: str | None, __: str) -> Any:
        return self.single[resource]

    async def objects(self, resource: Resource, _: str | None = None, *, labels: str = "") -> list[Any]:
        is_operator = resource is DEPLOYMENT and labels != OURS
        found = self.operators if is_operator else self.kinds.get(resource, [])
        if isinstance(found, KubeError):
            raise found
        return list(found)

    async def metadata(self, resource: Resource, *, labels: str = "") -> list[Any]:
        found = await self.objects(resource, labels=labels)
        return [{"metadata": {"uid": "y", **body["metadata"]}} for body in found] if resource is not DEPLOYMENT else []

    async def create(self, _: Any) -> dict[str, Any]:
        return {"status": {"allowed": self.allowed}}


async def outcomes(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    """Outcome and detail of each check by its name; the last one counts. Every problem has a remedy."""
    checks = await all_checks.run(cluster, None, ask_proxies=True)  # type: ignore[arg-type]
    report.show(checks, OutputFormat.JSON)
    found = json.loads(capsys.readouterr().out)
    assert all(each["remedy"] for each in found["checks"] if each["outcome"] in ("warn", "fail"))
    assert sum(found[outcome] for outcome in ("ok", "warn", "fail", "skip")) == len(checks)
    return {each["name"]: (each["outcome"], each["detail"]) for each in found["checks"]}


async def test_each_problem_has_an_outcome_and_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    found = await outcomes(Cluster(), capsys)
    assert found["API server"] == ("fail", "v1.29.9 at https://here")
    assert found["CRD litellmroutes"] == ("fail", "doesn't exist")
    assert found["operator"] == ("fail", "no pod of Deployment ops/litclaw is ready")
    assert found["permissions"][0] == "ok"
    assert found["routes"] == ("warn", "there are none")
    assert found["agents"] == ("ok", "0 of 1 agent ready")
    assert found["agent team-a/scout"][0] == "warn" and "an old key should have ended" in found["agent team-a/scout"][1]
    assert found["rotation all"] == ("warn", "is suspended")
    assert found["leftovers"] == ("warn", "ConfigMap ai/left: it has no owner")
    assert found["pods"] == ("fail", "Deployment ai/main-litellm: violates PodSecurity")


async def test_what_the_user_may_not_read_is_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster()
    cluster.kinds = dict.fromkeys(cluster.kinds, FORBIDDEN)
    cluster.operators = FORBIDDEN
    found = await outcomes(cluster, capsys)
    names = ("operator", "routes", "agents", "rotations", "leftovers", "pods")
    assert {name: found[name][0] for name in names} == dict.fromkeys(names, "skip")


async def test_missing_permissions_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster()
    cluster.allowed = False
    outcome, detail = (await outcomes(cluster, capsys))["permissions"]
    assert outcome == "fail" and detail.startswith("system:serviceaccount:ops:default may not create leases")
    assert " more" in detail


async def test_the_report_for_people_has_remedies_behind_arrows(capsys: pytest.CaptureFixture[str]) -> None:
    report.show(await all_checks.run(Cluster(), None, ask_proxies=False), OutputFormat.TABLE)  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["CHECK", "WHAT", "WAS", "SEEN,", "AND", "WHAT", "TO", "DO"]
    assert "-> litclaw crds | kubectl apply --server-side --force-conflicts -f -" in lines[4]
    assert lines[-1].endswith(" fail")
