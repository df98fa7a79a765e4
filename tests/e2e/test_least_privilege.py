"""The operator has exactly the permissions that it uses, by the API server's audit log of a whole story.

In the story the policies that restrict its user are in force. People see and edit what Kubernetes' own roles let them.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .audit import log_of, requests
from .kube import Kube
from .prometheus import pod_monitors
from .proxy import Proxy
from .resources import AI, TEAM, agent, managed_route, resource
from .waiting import LONG_SECONDS, eventually

Use = tuple[str, str, str]
"""API group, resource with subresource, verb."""

NAME = "story"
SYSTEM = "litclaw-system"
POLICIES = Path(__file__).resolve().parents[2] / "deploy" / "components" / "admission" / "operator.yaml"
LONG = "long " * 4000  # of a resource with that much, the operator keeps a part, and reads the whole
# No request of the operator: an admission plugin that only some clusters have (OwnerReferencesPermissionEnforcement)
# requires this permission for writing an ownerReference.
ONLY_WHERE_OWNERS_ARE_CHECKED = {
    ("litclaw.dev", f"{plural}/finalizers", "update") for plural in ("litellmroutes", "openclawagents")
}


def _granted(kube: Kube) -> set[Use]:
    """The permissions of the operator's roles in the cluster."""
    roles = [
        json.loads(kube.run(*args, "-o", "json").stdout)
        for args in (
            ("get", "clusterrole", "litclaw"),
            ("get", "clusterrole", "litclaw-cluster"),
            ("-n", SYSTEM, "get", "role", "litclaw-leader"),
        )
    ]
    rules = [rule for role in roles for rule in role["rules"]]
    return {
        (group, name, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for name in rule["resources"]
        for verb in rule["verbs"]
    }


def _used(entries: list[dict[str, Any]]) -> Counter[Use]:
    """The permissions used. A server-side apply that has made an object has used create too."""
    found: Counter[Use] = Counter()
    for entry in entries:
        if not (ref := entry.get("objectRef")) or "resource" not in ref:
            continue  # discovery, which everybody may use
        name = "/".join(part for part in (ref["resource"], ref.get("subresource")) if part)
        found[ref.get("apiGroup", ""), name, entry["verb"]] += 1
        if entry["verb"] == "patch" and entry["responseStatus"]["code"] == 201:
            found[ref.get("apiGroup", ""), name, "create"] += 1
    return found


@pytest.fixture
def log(kube: Kube, proxy: Proxy, kind_cluster: Any) -> Iterator[tuple[Path, int]]:
    """The log, and its position when the operator restarts."""
    found = log_of(kind_cluster.name)
    start = found.stat().st_size
    kube.apply(pod_monitors())
    kube.run("apply", "--server-side", "-f", str(POLICIES))
    scale = ("-n", SYSTEM, "scale", "deployment/litclaw")
    replicas = kube.must("deployment", SYSTEM, "litclaw")["spec"]["replicas"]
    kube.run(*scale, "--replicas=0")
    kube.run("-n", SYSTEM, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=litclaw", "--timeout=300s")
    kube.delete("lease", SYSTEM, "litclaw")  # so that the first leader has to make it
    kube.run(*scale, f"--replicas={replicas}")
    kube.run("-n", SYSTEM, "rollout", "status", "deployment/litclaw", "--timeout=300s")
    yield found, start
    for kind, namespace in (("openclawagent", TEAM), ("litellmroute", AI)):
        kube.run("-n", namespace, "delete", kind, "-l", f"of={NAME}", "--ignore-not-found")
    kube.run("delete", "-f", str(POLICIES))
    kube.delete("crd", AI, "podmonitors.monitoring.coreos.com")


def _labelled(manifest: dict[str, Any]) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], "labels": {"of": NAME}}}


def _gone(kube: Kube, *wanted: tuple[str, str, str]) -> None:
    for kind, namespace, name in wanted:
        eventually(lambda kind=kind, namespace=namespace, name=name: kube.get(kind, namespace, name) is None)


def _tell(kube: Kube) -> None:
    """A route with every optional object and an agent with a gateway, both with large specs: made, changed, rotated, deleted."""
    managed = {
        "env": [{"name": "LONG", "value": LONG}],
        "database": {"embedded": {"storage": "1Gi"}},
        "autoscaling": {"minReplicas": 2, "maxReplicas": 2},
        "monitoring": {"enabled": True},
    }
    kube.apply(_labelled(managed_route(NAME, managed=managed)))
    external = {
        "url": f"http://main-litellm.{AI}.svc.cluster.local:4000",
        "masterKeySecretRef": {"name": "main-master-key", "key": "LITELLM_MASTER_KEY"},
    }
    spec = {"external": external, "allowedNamespaces": {"from": "All"}}
    kube.apply(_labelled(resource("LiteLLMRoute", f"{NAME}-external", AI, spec)))
    teller = agent(NAME, route=f"{NAME}-external", gateway={"storage": "1Gi"}, config={"files": {"LONG.md": LONG}})
    kube.apply(_labelled(teller))
    kube.wait_condition("openclawagent", TEAM, NAME, "KeyReady", "True")
    eventually(lambda: kube.get("deployment", TEAM, f"{NAME}-openclaw"))

    # New keys for it.
    rotation = {"selector": {"matchLabels": {"of": NAME}}, "gracePeriod": "0s"}
    llkr = {"apiVersion": "litclaw.dev/v1alpha1", "kind": "LiteLLMKeyRotation", "metadata": {"name": NAME}}
    kube.apply({**llkr, "spec": rotation})
    eventually(lambda: kube.must("litellmkeyrotation", "", NAME)["status"]["rotated"] == 1)

    # Objects that aren't wanted any more are removed: the gateway, and those with earlier names.
    names = {"key": {"secretName": f"{NAME}-other"}, "config": {"configMapName": f"{NAME}-other"}}
    kube.patch("openclawagent", TEAM, NAME, {"spec": {"gateway": None, **names}})
    _gone(kube, *((kind, TEAM, f"{NAME}-openclaw") for kind in ("deployment", "service", "networkpolicy", "configmap")))
    _gone(kube, ("secret", TEAM, f"{NAME}-litellm"))
    kube.wait_ready("openclawagent", TEAM, NAME)

    # A migration whose pods a quota refuses, one that can't start, and back.
    kube.wait_ready("litellmroute", AI, NAME, timeout=LONG_SECONDS)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": NAME, "namespace": AI}}
    kube.apply({**quota, "spec": {"hard": {"pods": "0"}}})
    kube.patch("litellmroute", AI, NAME, {"spec": {"managed": {"image": "registry.invalid/refused:1"}}})
    refused = kube.wait_condition("litellmroute", AI, NAME, "DatabaseReady", "False", "FailedCreate", timeout=60)
    assert f"exceeded quota: {NAME}" in refused["message"]
    kube.delete("resourcequota", AI, NAME)
    kube.patch("litellmroute", AI, NAME, {"spec": {"managed": {"image": "registry.invalid/litellm:1"}}})
    jobs = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=migration"
    eventually(lambda: any(job["status"].get("active") for job in kube.list("jobs", "-l", jobs)))
    kube.patch("litellmroute", AI, NAME, {"spec": {"managed": {"image": None}}})
    eventually(lambda: not any(job["status"].get("active") for job in kube.list("jobs", "-l", jobs)))

    # Without the optional objects, and then as an external route.
    less = {"autoscaling": None, "monitoring": None, "networkPolicy": {"enabled": False}}
    kube.patch("litellmroute", AI, NAME, {"spec": {"managed": less}})
    kinds = ("horizontalpodautoscaler", "poddisruptionbudget", "podmonitor", "networkpolicy")
    _gone(kube, *((kind, AI, f"{NAME}-litellm") for kind in kinds))
    moved = {"managed": None, "external": external, "models": None}
    kube.patch("litellmroute", AI, NAME, {"spec": moved})
    _gone(kube, *((kind, AI, f"{NAME}-litellm") for kind in ("deployment", "service", "configmap")))

    kube.run("delete", "litellmkeyrotation", NAME)
    kube.delete("openclawagent", TEAM, NAME)
    for name in (NAME, f"{NAME}-external"):
        kube.delete("litellmroute", AI, name)


def test_every_permission_is_used_and_none_is_missing(kube: Kube, log: tuple[Path, int]) -> None:
    path, start = log
    _tell(kube)
    granted = _granted(kube)

    def every_use() -> list[dict[str, Any]]:
        entries = requests(path, start)
        unused = granted - _used(entries).keys() - ONLY_WHERE_OWNERS_ARE_CHECKED
        assert not unused, f"granted and not used: {sorted(unused)}"
        return entries

    entries = eventually(every_use)
    forbidden = {f"{entry['verb']} {entry['requestURI']}" for entry in entries if _is_forbidden(entry)}
    assert not forbidden, "the operator may not do what it tries to do"
    assert _used(entries).keys() <= granted


def _is_forbidden(entry: dict[str, Any]) -> bool:
    return bool(entry.get("responseStatus", {}).get("code") == 403)


@pytest.fixture
def people(kube: Kube) -> Iterator[None]:
    """The users ``view``, ``edit`` and ``admin``, who have Kubernetes' role of that name in the agents' namespace."""
    rbac = "rbac.authorization.k8s.io"
    bindings = [
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": f"people-{name}", "namespace": TEAM},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": name}],
        }
        for name in ("view", "edit", "admin")
    ]
    kube.apply(*bindings)
    yield
    for each in bindings:
        kube.delete("rolebinding", TEAM, each["metadata"]["name"])


def test_people_see_all_edit_agents_and_administer_routes(kube: Kube, proxy: Proxy, people: None) -> None:
    def may(user: str, verb: str, kind: str) -> bool:
        where = ("--all-namespaces",) if kind == "litellmkeyrotations" else ("-n", TEAM)
        done = kube.run("auth", "can-i", verb, f"{kind}.litclaw.dev", "--as", user, *where, check=False)
        return done.stdout.strip() == "yes"

    eventually(lambda: may("view", "list", "litellmroutes"), what="Kubernetes has added the rules")
    found = {
        (user, kind): {verb for verb in ("get", "create", "delete") if may(user, verb, kind)}
        for user in ("view", "edit", "admin")
        for kind in ("openclawagents", "litellmroutes", "litellmkeyrotations")
    }
    everything = {"get", "create", "delete"}
    assert found == {
        ("view", "openclawagents"): {"get"},
        ("view", "litellmroutes"): {"get"},
        ("view", "litellmkeyrotations"): set(),
        ("edit", "openclawagents"): everything,
        ("edit", "litellmroutes"): {"get"},
        ("edit", "litellmkeyrotations"): set(),
        ("admin", "openclawagents"): everything,
        ("admin", "litellmroutes"): everything,
        ("admin", "litellmkeyrotations"): set(),
    }
