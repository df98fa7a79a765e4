"""``litclaw doctor`` finds what is wrong with an installation, and its remedies work."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .api import Object
from .cli import BIN, at_terminal, environment, litclaw, plain
from .kube import Kube
from .proxy import Proxy
from .resources import AI, TEAM, agent
from .waiting import eventually

OPERATOR = "litclaw-system"
OURS = {"app.kubernetes.io/managed-by": "litclaw"}


def examine(kube: Kube) -> dict[str, list[Object]]:
    """The checks by name. Checks also that the exit status is 1 if a check fails, and 0 otherwise."""
    done = subprocess.run(
        [str(BIN / "litclaw"), "doctor", "-o", "json"],
        capture_output=True,
        text=True,
        env=environment(kube),
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if found["fail"] else 0), done.stdout
    out: dict[str, list[Object]] = {}
    for each in found["checks"]:
        out.setdefault(each["name"], []).append(each)
    return out


def outcome(found: dict[str, list[Object]], name: str) -> str:
    """The outcome of the only check of a name."""
    [check] = found[name]
    return str(check["outcome"])


def test_an_installation_that_is_well(kube: Kube, scout: str) -> None:
    """Every check of the installation passes."""
    names = ["API server", "operator", "release", "permissions", f"route {AI}/main", f"proxy {AI}/main", "pods"]
    names += [f"CRD {plural}" for plural in ("litellmroutes", "openclawagents", "litellmkeyrotations")]

    def well() -> dict[str, list[Object]]:
        found = examine(kube)
        outcomes = {name: outcome(found, name) for name in names}
        assert outcomes == dict.fromkeys(names, "ok"), found
        return found

    found = eventually(well, what="the tests before have left nothing to complain about")
    assert "LiteLLM 1." in found[f"route {AI}/main"][0]["detail"]
    asked = found[f"proxy {AI}/main"][0]["detail"]
    assert asked.startswith("asked through the API server: answers in ") and "; database connected; LiteLLM 1." in asked
    assert asked.endswith(", none without an agent")
    lines = plain(
        at_terminal(kube, "doctor", status=1 if any(c["outcome"] == "fail" for n in found.values() for c in n) else 0)
    )
    assert all(len(line) <= 80 for line in lines)


def test_an_agent_that_is_not_ready_fails_with_what_to_do(kube: Kube, proxy: Proxy) -> None:
    """With the reason and the message of its condition."""
    kube.apply(agent("astray", route="nowhere"))
    kube.wait_condition("openclawagent", TEAM, "astray", "Ready", "False", "RouteNotFound")
    try:
        [check] = examine(kube)[f"agent {TEAM}/astray"]
        assert (check["outcome"], check["detail"]) == ("fail", "RouteNotFound")
        assert "create it, or " in check["remedy"] and "spec.routeRef" in check["remedy"]
    finally:
        kube.delete("openclawagent", TEAM, "astray")


@contextmanager
def changed(kube: Kube, kind: str, name: str, change: Any) -> Iterator[None]:
    """Change a cluster-wide object of the installation, and restore it afterwards.

    By server-side apply, as it was installed: another field manager would conflict with the next installation.
    """
    before = json.loads(kube.run("get", kind, name, "-o", "json").stdout)
    before.pop("status", None)
    for field in ("resourceVersion", "uid", "creationTimestamp", "generation", "managedFields"):
        before["metadata"].pop(field, None)
    other = json.loads(json.dumps(before))
    change(other)
    kube.apply(other)
    try:
        yield
    finally:
        kube.apply(before)


def test_a_stale_crd_and_the_remedy_that_is_named(kube: Kube, proxy: Proxy) -> None:
    """The missing field is named, and the remedy's command restores it. A field of a newer release is a warning.

    With the kind that owns nothing: an agent that is made and deleted while the garbage collector restarts its watch of
    the kind leaves its Secret behind for minutes.
    """

    def part(crd: Object, name: str) -> Any:
        return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][name]["properties"]

    def older(crd: Object) -> None:
        del part(crd, "status")["retiringUntil"]

    def newer(crd: Object) -> None:
        part(crd, "spec")["colour"] = {"type": "string"}

    name = "CRD litellmkeyrotations"
    with changed(kube, "crd", "litellmkeyrotations.litclaw.dev", older):
        [check] = examine(kube)[name]
        assert check["outcome"] == "fail" and "lacks status.retiringUntil" in check["detail"]
        assert check["remedy"] == "litclaw crds | kubectl apply --server-side --force-conflicts -f -"
        crds = litclaw(kube, "crds").stdout
        kube.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=crds)
        assert outcome(examine(kube), name) == "ok"
    with changed(kube, "crd", "litellmkeyrotations.litclaw.dev", newer):
        [check] = examine(kube)[name]
        assert check["outcome"] == "warn" and "has more than this release: spec.colour" in check["detail"]


def test_a_permission_that_is_lacking_is_named(kube: Kube, proxy: Proxy) -> None:
    """By a review of the permissions of the operator's account."""

    def without(role: Object) -> None:
        role["rules"] = [rule for rule in role["rules"] if rule["resources"] != ["podmonitors"]]

    with changed(kube, "clusterrole", "litclaw", without):
        found = eventually(
            lambda: found if outcome(found := examine(kube), "permissions") == "fail" else None, what="the check fails"
        )
        [check] = found["permissions"]
        assert "may not get podmonitors.monitoring.coreos.com" in check["detail"]
        assert check["remedy"].startswith("kubectl apply --server-side -k deploy/")


def test_an_operator_that_is_scaled_to_zero(kube: Kube, proxy: Proxy, scout: str) -> None:
    """With the command that scales it up again, which works; and the proxy is checked nevertheless."""
    before = kube.must("deployment", OPERATOR, "litclaw")["spec"]["replicas"]
    kube.run("-n", OPERATOR, "scale", "deployment/litclaw", "--replicas=0")
    try:
        # One that still runs would end a key without an agent.
        kube.run(
            "-n", OPERATOR, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=litclaw", "--timeout=300s"
        )
        [check] = examine(kube)["operator"]
        assert check["outcome"] == "fail" and "is scaled to zero" in check["detail"]
        assert check["remedy"] == f"kubectl -n {OPERATOR} scale deployment/litclaw --replicas=1"
        # Without an operator, doctor finds a key without an agent, and a key that is gone.
        mark = {"cluster": kube.must("namespace", "", "kube-system")["metadata"]["uid"], "agent": "x", "generation": 1}
        made = proxy.call("POST", "/key/generate", json={"key_alias": "of-nobody", "metadata": {"litclaw": mark}})
        [check_] = examine(kube)[f"proxy {AI}/main"]
        assert check_["outcome"] == "warn" and check_["detail"].endswith("; 1 key without an agent: of-nobody")
        proxy.call(
            "POST",
            "/key/delete",
            json={"keys": [made.json()["key"], kube.secret(TEAM, f"{scout}-litellm")["LITELLM_API_KEY"]]},
        )
        [check_] = examine(kube)[f"proxy {AI}/main"]
        assert check_["outcome"] == "warn" and check_["detail"].endswith(f"it doesn't know the key of {TEAM}/{scout}")
        kube.run(*check["remedy"].split()[1:])
    finally:
        kube.run("-n", OPERATOR, "scale", "deployment/litclaw", f"--replicas={before}")
        kube.run("-n", OPERATOR, "rollout", "status", "deployment/litclaw", "--timeout=300s")
    eventually(lambda: outcome(examine(kube), "operator") == "ok")
    kube.wait_ready("openclawagent", TEAM, scout)
    eventually(lambda: outcome(examine(kube), f"proxy {AI}/main") == "ok", what="a key that the proxy knows")


def test_leftovers_and_pods_that_are_refused(kube: Kube, proxy: Proxy) -> None:
    """An object with our label and no owner, and a workload that Pod Security refuses."""
    container = {"name": "main", "image": "x", "securityContext": {"privileged": True}}
    labels = {"app": "refused"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "left-over", "namespace": TEAM, "labels": OURS},
            "data": {"a": "b"},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "refused", "namespace": TEAM, "labels": OURS},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
    )
    try:
        found = eventually(
            lambda: found if outcome(found := examine(kube), "pods") == "fail" else None, what="it is refused"
        )
        [check] = found["pods"]
        assert f"Deployment {TEAM}/refused" in check["detail"] and "violates PodSecurity" in check["detail"]
        [left] = [check for check in found["leftovers"] if "left-over" in check["detail"]]
        assert left["outcome"] == "warn" and f"kubectl -n {TEAM} delete configmap left-over" in left["remedy"]
    finally:
        kube.delete("deployment", TEAM, "refused")
        kube.delete("configmap", TEAM, "left-over")
    assert "left-over" not in json.dumps(examine(kube))


def test_no_value_of_a_secret_is_sent(kube: Kube, scout: str, tmp_path: Path) -> None:
    """Neither status nor doctor, which reads the master key, prints it or an agent's key."""
    keys = [
        kube.secret(TEAM, f"{scout}-litellm")["LITELLM_API_KEY"],
        kube.secret(AI, "main-master-key")["LITELLM_MASTER_KEY"],
    ]
    printed = json.dumps([litclaw(kube, "status", "-n", TEAM, status=None).stdout, examine(kube)])
    assert not any(key in printed for key in keys)
