"""What can be seen of deploy/ without a cluster: what the operator may do, and that nothing lies about unused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from litclaw.api import images, names

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUSTOMIZATIONS = sorted(DEPLOY.rglob("kustomization.yaml"))
READ, WRITE = {"get", "list", "watch"}, {"create", "patch", "update", "delete"}
# What would let its holder become somebody else, or run something as somebody else.
ESCALATING = {
    "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "nodes", "nodes/proxy",
    "serviceaccounts", "serviceaccounts/token", "roles", "rolebindings", "clusterroles", "clusterrolebindings",
    "certificatesigningrequests", "validatingwebhookconfigurations", "mutatingwebhookconfigurations",
    "persistentvolumes", "daemonsets", "replicasets",
}  # fmt: skip


def documents(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield path, document


def rules() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path, document in documents(DEPLOY):
        if document["kind"] in ("Role", "ClusterRole"):
            yield from ((path, rule) for rule in document["rules"])


def deployment() -> dict[str, Any]:
    [found] = [document for _, document in documents(DEPLOY / "base") if document["kind"] == "Deployment"]
    return found


def test_no_rule_is_wider_than_it_reads() -> None:
    found = list(rules())
    assert len(found) > 10
    for path, rule in found:
        assert rule.keys() <= {"apiGroups", "resources", "resourceNames", "verbs"}, path
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], path
        assert set(rule["verbs"]) <= READ | WRITE, f"{path}: escalate, bind, impersonate or something newer"
        assert not ESCALATING & set(rule["resources"]), path
        assert "deletecollection" not in rule["verbs"], path


def test_pods_are_listed_and_nothing_else() -> None:
    """They name no secret value, and whoever could change one would run something as somebody else."""
    assert {verb for _, rule in rules() if "pods" in rule["resources"] for verb in rule["verbs"]} == {"list"}


def test_secrets_are_reached_by_the_permissions_of_a_namespace_alone() -> None:
    """Not by what default adds for the cluster; and nothing that holds data can be deleted."""
    paths = {path.relative_to(DEPLOY).as_posix() for path, rule in rules() if "secrets" in rule["resources"]}
    assert paths == {"permissions/role.yaml"}
    for _, rule in rules():
        if {"persistentvolumeclaims", "statefulsets", "namespaces"} & set(rule["resources"]):
            assert "delete" not in rule["verbs"]


def test_what_is_read_beyond_namespaces_is_no_data() -> None:
    [path] = (DEPLOY / "default").glob("cluster-role.yaml")
    found = {
        name
        for document in yaml.safe_load_all(path.read_text())
        for rule in document.get("rules", [])
        for name in rule["resources"]
    }
    rotations = {"litellmkeyrotations", "litellmkeyrotations/status"}
    assert found == {"namespaces", "customresourcedefinitions"} | rotations


def test_the_roles_for_people_add_to_kubernetes_own() -> None:
    """Everything to view, agents to edit, routes to admin; nothing else, and no Secret."""
    found = {}
    for _, body in documents(DEPLOY / "base"):
        for label in body["metadata"]["labels"] if body["kind"] == "ClusterRole" else ():
            if label.startswith("rbac.authorization.k8s.io/aggregate-to-"):
                [rule] = body["rules"]
                assert rule["apiGroups"] == [names.GROUP]
                found[label.rpartition("-")[2]] = (set(rule["resources"]), set(rule["verbs"]))
    write = {"create", "update", "patch", "delete"}
    assert found == {
        "view": ({names.ROUTE_PLURAL, names.AGENT_PLURAL, names.ROTATION_PLURAL}, READ),
        "edit": ({names.AGENT_PLURAL}, write),
        "admin": ({names.ROUTE_PLURAL}, write),
    }


def test_the_operators_pod_passes_restricted_and_more() -> None:
    spec = deployment()["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] >= 10_000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    assert {"readinessProbe", "livenessProbe", "startupProbe"} <= container.keys()
    assert all("emptyDir" in volume for volume in spec["volumes"])
    [namespace] = [document for _, document in documents(DEPLOY / "base") if document["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_two_pods_and_room_for_one_to_go() -> None:
    spec = deployment()["spec"]
    assert spec["replicas"] == 2 and spec["strategy"]["type"] == "RollingUpdate"
    [budget] = [body for _, body in documents(DEPLOY / "base") if body["kind"] == "PodDisruptionBudget"]
    assert budget["spec"]["maxUnavailable"] == 1
    selector = spec["selector"]["matchLabels"]
    assert budget["spec"]["selector"]["matchLabels"] == selector == spec["template"]["metadata"]["labels"]
    assert spec["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"] == selector


def test_the_operator_may_go_where_api_servers_listen() -> None:
    [policy] = [body for _, body in documents(DEPLOY / "base") if body["kind"] == "NetworkPolicy"]
    [anywhere] = [rule for rule in policy["spec"]["egress"] if "to" not in rule]
    assert [each["port"] for each in anywhere["ports"]] == [443, 6443, 8443, 16443, 4000]


def test_metrics_are_read_from_namespaces_that_an_administrator_has_labelled() -> None:
    [policy] = [body for _, body in documents(DEPLOY / "base") if body["kind"] == "NetworkPolicy"]
    [rule] = policy["spec"]["ingress"]
    [peer] = rule["from"]
    assert peer["namespaceSelector"] == {"matchLabels": {names.LABEL_METRICS: names.METRICS_ALLOWED}}
    assert peer["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}


def test_the_priority_is_a_class_of_its_own() -> None:
    """Clusters refuse the system's classes outside of kube-system, and theirs begin at 1000000000."""
    [given] = [body for _, body in documents(DEPLOY / "high-availability") if body["kind"] == "PriorityClass"]
    assert 0 < given["value"] < 1_000_000_000 and given["globalDefault"] is False
    text = (DEPLOY / "high-availability" / "kustomization.yaml").read_text()
    assert f"priorityClassName, value: {given['metadata']['name']}}}" in text
    assert not any("system-cluster-critical" in path.read_text() for path in KUSTOMIZATIONS)


def test_the_image_is_the_one_that_is_built() -> None:
    [container] = deployment()["spec"]["template"]["spec"]["containers"]
    assert container["image"] == images.OPERATOR_IMAGE


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.relative_to(DEPLOY).as_posix())
def test_every_file_is_used(path: Path) -> None:
    kustomization = yaml.safe_load(path.read_text())
    text = path.read_text()
    for file in path.parent.iterdir():
        if file.is_file() and file != path:
            assert file.name in text, f"{file.relative_to(ROOT)} is in no kustomization"
    for resource in [*kustomization.get("resources", []), *kustomization.get("components", [])]:
        assert (path.parent / resource).exists(), resource
    assert kustomization["apiVersion"].startswith("kustomize.config.k8s.io/")


def test_the_namespaces_of_the_example_are_those_of_its_folders() -> None:
    folder = DEPLOY / "namespaced"
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    named = {path.parent.name for path in folder.glob("*/kustomization.yaml")}
    assert named == {name for name in kustomization["resources"] if not name.endswith(".yaml") and ".." not in name}
    assert f"--namespaces={','.join(sorted(named))}" in kustomization["patches"][0]["patch"]
    for name in named:
        assert yaml.safe_load((folder / name / "kustomization.yaml").read_text())["namespace"] == name


def test_the_crds_are_those_of_the_models() -> None:
    listed = yaml.safe_load((ROOT / "crds" / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(path.name for path in (ROOT / "crds").glob(f"{names.GROUP}_*.yaml"))
