"""NetworkPolicies are enforced between real pods, and don't affect anything else: probes, DNS, Services, exec."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from .conftest import NAME
from .support import Kube, Object, eventually, pod

OTHER = "test-network-policy-other"
WEB, ADMIN = 8080, 9090
PROBE_SECONDS = 5


@pytest.fixture(scope="module")
def pods(kube: Kube, namespace: str) -> Iterator[dict[str, str]]:
    """The addresses of a server with two ports and probes, of two clients beside it and of one in another namespace."""
    get = {"path": "/hostname", "port": "web"}
    probe = {"httpGet": get, "periodSeconds": 1, "timeoutSeconds": PROBE_SECONDS, "failureThreshold": 1}
    listen = f"/bin/busybox httpd -p {ADMIN} -h /etc; exec /bin/busybox httpd -f -p {WEB} -h /etc"
    ports = [{"name": "web", "containerPort": WEB}, {"name": "admin", "containerPort": ADMIN}]
    server = pod(namespace, "server", "sh", "-c", listen, ports=ports, readinessProbe=probe, livenessProbe=probe)
    meta = {"name": "server", "namespace": namespace}
    service = {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": "web"}]}
    listening = ("httpd", "-f", "-p", str(WEB), "-h", "/etc")
    kube.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OTHER, "labels": {"trusted": "yes"}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service},
        server,
        pod(namespace, "friend", *listening),
        pod(namespace, "stranger", *listening),
    )
    eventually(lambda: kube.kubectl("-n", OTHER, "get", "sa", "default", check=False).returncode == 0)
    kube.apply(pod(OTHER, "outsider", "sleep", "600", labels={"app": "friend"}))
    where = {"server": namespace, "friend": namespace, "stranger": namespace, "outsider": OTHER}
    for name, its in where.items():
        kube.wait(its, f"pod/{name}", "condition=Ready")
    yield {name: kube.get(its, "pod", name)["status"]["podIP"] for name, its in where.items()}
    kube.kubectl("delete", "namespace", OTHER, "--wait=false")


@pytest.fixture(autouse=True)
def _no_policies(kube: Kube, namespace: str, pods: dict[str, str]) -> Iterator[None]:
    """Every test starts without policies."""
    yield
    kube.kubectl("-n", namespace, "delete", "networkpolicy", "--all")


def _policy(namespace: str, name: str, selector: Object, **spec: object) -> Object:
    meta = {"name": name, "namespace": namespace}
    spec = {"podSelector": selector, **spec}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


def _deny_all(namespace: str) -> Object:
    return _policy(namespace, "deny", {}, policyTypes=["Ingress", "Egress"])


def _app(name: str) -> Object:
    return {"matchLabels": {"app": name}}


def test_where_no_policy_selects_a_pod_everything_is_allowed(kube: Kube, namespace: str, pods: dict[str, str]) -> None:
    for port in (WEB, ADMIN):
        kube.wait_reaches(namespace, "friend", pods["server"], port)
        kube.wait_reaches(OTHER, "outsider", pods["server"], port)


def test_a_policy_that_allows_nothing_blocks_every_pod_but_not_kubelet(
    kube: Kube, namespace: str, pods: dict[str, str]
) -> None:
    kube.apply(_deny_all(namespace))
    eventually(lambda: not kube.reaches(namespace, "friend", pods["server"], WEB))
    assert not kube.reaches(OTHER, "outsider", pods["server"], WEB)
    assert not kube.reaches(namespace, "friend", pods["stranger"], WEB)
    assert not kube.reaches(namespace, "friend", f"server.{namespace}.svc.cluster.local", 80), "no DNS either"
    kube.wait_reaches(namespace, "server", pods["server"], WEB)  # a pod always reaches itself
    time.sleep(PROBE_SECONDS + 3)  # a probe that is blocked has failed by then
    [status] = kube.get(namespace, "pod", "server")["status"]["containerStatuses"]
    assert status["ready"]
    assert status["restartCount"] == 0


def test_an_allow_rule_lets_the_named_pod_through_to_the_named_port_and_nobody_else(
    kube: Kube, namespace: str, pods: dict[str, str]
) -> None:
    rule = {"from": [{"podSelector": _app("friend")}], "ports": [{"port": "web"}]}
    kube.apply(_policy(namespace, "allow", _app("server"), policyTypes=["Ingress"], ingress=[rule]))
    eventually(lambda: not kube.reaches(namespace, "stranger", pods["server"], WEB))
    kube.wait_reaches(namespace, "friend", pods["server"], WEB)
    kube.wait_reaches(namespace, "friend", f"server.{namespace}.svc.cluster.local", 80)  # by the Service, too
    assert not kube.reaches(namespace, "friend", pods["server"], ADMIN), "another port"
    assert not kube.reaches(OTHER, "outsider", pods["server"], WEB), "the same label in another namespace"
    kube.wait_reaches(namespace, "friend", pods["stranger"], WEB)  # which the policy doesn't select


def test_a_namespace_selector_lets_a_whole_namespace_in_and_an_address_block_leaves_its_exceptions_out(
    kube: Kube, namespace: str, pods: dict[str, str]
) -> None:
    trusted = {"namespaceSelector": {"matchExpressions": [{"key": "trusted", "operator": "Exists"}]}}
    block = {"ipBlock": {"cidr": "10.244.0.0/16", "except": [f"{pods['stranger']}/32", f"{pods['outsider']}/32"]}}
    both = [
        {"from": [trusted], "ports": [{"port": WEB}]},
        {"from": [block], "ports": [{"port": 9000, "endPort": 9999}]},
    ]
    kube.apply(_policy(namespace, "allow", _app("server"), policyTypes=["Ingress"], ingress=both))
    eventually(lambda: not kube.reaches(namespace, "friend", pods["server"], WEB))
    kube.wait_reaches(OTHER, "outsider", pods["server"], WEB)
    kube.wait_reaches(namespace, "friend", pods["server"], ADMIN)
    assert not kube.reaches(namespace, "stranger", pods["server"], ADMIN)
    assert not kube.reaches(OTHER, "outsider", pods["server"], ADMIN)


def test_egress_can_be_limited_to_dns_and_one_pod(kube: Kube, namespace: str, pods: dict[str, str]) -> None:
    kube.wait_reaches(namespace, "friend", "kubernetes.default.svc.cluster.local", 443)
    system = {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}
    dns = {"namespaceSelector": system, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    allowed = [
        {"to": [dns], "ports": [{"protocol": "UDP", "port": "dns"}, {"protocol": "TCP", "port": "dns-tcp"}]},
        {"to": [{"podSelector": _app("server")}], "ports": [{"port": WEB}]},
    ]
    kube.apply(_policy(namespace, "limit", _app("friend"), policyTypes=["Egress"], egress=allowed))
    eventually(lambda: not kube.reaches(namespace, "friend", pods["stranger"], WEB))
    kube.wait_reaches(namespace, "friend", f"server.{namespace}.svc.cluster.local", 80)  # by name, so DNS answers
    assert not kube.reaches(namespace, "friend", pods["server"], ADMIN)
    assert not kube.reaches(namespace, "friend", "kubernetes.default.svc.cluster.local", 443), "the API server"
    kube.wait_reaches(namespace, "stranger", pods["friend"], WEB)  # whose ingress no policy selects


def test_both_ends_must_allow_and_what_several_policies_allow_adds_up(
    kube: Kube, namespace: str, pods: dict[str, str]
) -> None:
    out = _policy(namespace, "out", _app("friend"), policyTypes=["Egress"], egress=[{"to": [{"podSelector": {}}]}])
    incoming = {"from": [{"podSelector": _app("friend")}]}
    into = _policy(namespace, "into", _app("server"), policyTypes=["Ingress"], ingress=[incoming])
    kube.apply(_deny_all(namespace), out)
    eventually(lambda: not kube.reaches(namespace, "stranger", pods["server"], WEB))
    assert not kube.reaches(namespace, "friend", pods["server"], WEB), "allowed to leave, not to come in"
    kube.apply(into)
    kube.wait_reaches(namespace, "friend", pods["server"], WEB)
    assert not kube.reaches(namespace, "stranger", pods["server"], WEB)


def test_a_policy_that_is_deleted_and_a_label_that_is_changed_take_effect_soon(
    kube: Kube, namespace: str, pods: dict[str, str]
) -> None:
    rule = {"from": [{"podSelector": {"matchLabels": {"role": "visitor"}}}]}
    kube.apply(_policy(namespace, "visitors", _app("server"), policyTypes=["Ingress"], ingress=[rule]))
    eventually(lambda: not kube.reaches(namespace, "friend", pods["server"], WEB))
    kube.kubectl("-n", namespace, "label", "pod", "friend", "role=visitor")
    kube.wait_reaches(namespace, "friend", pods["server"], WEB)
    kube.kubectl("-n", namespace, "label", "pod", "friend", "role-")
    eventually(lambda: not kube.reaches(namespace, "friend", pods["server"], WEB))
    kube.kubectl("-n", namespace, "delete", "networkpolicy", "visitors")
    kube.wait_reaches(namespace, "friend", pods["server"], WEB)


def test_a_new_pod_is_under_its_policies_once_it_is_ready(kube: Kube, namespace: str, pods: dict[str, str]) -> None:
    kube.apply(_deny_all(namespace))
    kube.apply(pod(namespace, "late", "sleep", "600"))
    kube.wait(namespace, "pod/late", "condition=Ready")
    assert not kube.reaches(namespace, "late", pods["outsider"], WEB)
    assert not kube.reaches(namespace, "late", pods["server"], WEB)
    kube.kubectl("-n", namespace, "delete", "pod", "late")


def test_policies_hold_while_what_enforces_them_is_down_and_it_comes_back(
    kube: Kube, namespace: str, pods: dict[str, str]
) -> None:
    kube.apply(_deny_all(namespace))
    eventually(lambda: not kube.reaches(namespace, "friend", pods["server"], WEB))
    pattern = f"localkube_kind.network_policy --pki=.*/clusters/{NAME}/"
    [before] = subprocess.check_output(["pgrep", "-f", pattern], text=True).split()
    os.kill(int(before), signal.SIGKILL)
    assert not kube.reaches(namespace, "friend", pods["server"], WEB)
    kube.kubectl("-n", namespace, "delete", "networkpolicy", "deny")
    kube.wait_reaches(namespace, "friend", pods["server"], WEB)
