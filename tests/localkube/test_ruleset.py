"""NetworkPolicies as nftables rules; test_network_policy.py shows their effect on packets."""

import subprocess
from typing import Any

import pytest
from localkube_kind import network_policy
from localkube_kind.ruleset import Pod, Policy, render, selects

from .support import Kube

WEB = Pod("shop", {"app": "web"}, "10.244.0.5", (("TCP", "http", 8080),))
OLD = Pod("shop", {"app": "web", "track": "old"}, "10.244.0.6", (("TCP", "http", 80),))
JOB = Pod("back", {"app": "job"}, "10.244.0.10")
NAMESPACES = {"shop": {"kubernetes.io/metadata.name": "shop"}, "back": {"team": "back"}}


def _policy(name: str = "p", **spec: Any) -> Policy:
    return Policy("shop", name, {"podSelector": {}, "policyTypes": ["Ingress"], **spec})


def _accepts(policy: Policy) -> list[str]:
    lines = render([WEB, OLD, JOB], NAMESPACES, [policy]).splitlines()
    return [line.strip().partition(" comment")[0] for line in lines if "comment" in line]


def test_the_same_policies_give_the_same_text_in_whatever_order_they_come() -> None:
    rule = [{"from": [{"namespaceSelector": {}}], "ports": [{"port": "http"}]}]
    policies = [_policy("a", ingress=rule), _policy("b"), _policy("c", policyTypes=["Egress"])]
    text = render([WEB, OLD, JOB], NAMESPACES, policies)
    assert render([JOB, OLD, WEB], dict(reversed(NAMESPACES.items())), policies[::-1]) == text


def test_a_port_s_name_means_what_each_pod_says_it_means() -> None:
    [accept] = _accepts(_policy(ingress=[{"ports": [{"port": "http"}]}]))
    assert accept == "ip daddr . tcp dport { 10.244.0.5 . 8080, 10.244.0.6 . 80 } accept"


def test_a_rule_that_names_nobody_that_is_there_accepts_nothing() -> None:
    nobody = {"podSelector": {"matchLabels": {"app": "nobody"}}}
    assert _accepts(_policy(ingress=[{"from": [nobody]}])) == []
    assert _accepts(_policy(ingress=[{"ports": [{"port": "unknown"}]}])) == []
    assert _accepts(_policy(ingress=[{"from": [{"ipBlock": {"cidr": "fd00::/8"}}]}])) == []


def test_an_empty_rule_accepts_everything() -> None:
    assert _accepts(_policy(ingress=[{}])) == ["accept"]


def test_a_pod_selector_alone_means_the_policy_s_own_namespace() -> None:
    assert _accepts(_policy(ingress=[{"from": [{"podSelector": {}}]}])) == [
        "ip saddr { 10.244.0.5, 10.244.0.6 } accept"
    ]
    elsewhere = {"namespaceSelector": {"matchLabels": {"team": "back"}}}
    assert _accepts(_policy(ingress=[{"from": [elsewhere]}])) == ["ip saddr { 10.244.0.10 } accept"]


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ({"key": "track", "operator": "In", "values": ["old"]}, [OLD]),
        ({"key": "track", "operator": "NotIn", "values": ["old"]}, [WEB, JOB]),
        ({"key": "track", "operator": "Exists"}, [OLD]),
        ({"key": "track", "operator": "DoesNotExist"}, [WEB, JOB]),
    ],
)
def test_label_expressions(expression: dict[str, Any], selected: list[Pod]) -> None:
    selector = {"matchExpressions": [expression]}
    assert [pod for pod in (WEB, OLD, JOB) if selects(selector, pod.labels)] == selected


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"hostNetwork": True}, {"podIP": "10.200.0.1", "phase": "Running"}),
        ({}, {"phase": "Pending"}),
        ({}, {"podIP": "10.244.0.7", "phase": "Succeeded"}),
        ({}, {"podIP": "10.244.0.7", "phase": "Failed"}),
    ],
    ids=["the node's address", "no address yet", "over", "failed"],
)
def test_a_pod_without_an_address_of_its_own_is_nobody(spec: dict[str, Any], status: dict[str, Any]) -> None:
    meta = {"namespace": "shop", "name": "x"}
    assert Pod.of({"metadata": meta, "spec": {"containers": [], **spec}, "status": status}) is None


def test_nftables_takes_whatever_policies_can_say(kube: Kube) -> None:
    blocks = {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "10.1.0.0/16", "10.9.8.7/24"]}
    ports = [{"port": 80}, {"port": 70, "endPort": 90}, {"protocol": "UDP"}, {"port": "http"}, {"protocol": "SCTP"}]
    rule = [{"from": [{"ipBlock": blocks}, {"podSelector": {}}], "ports": ports}]
    long = Policy("n" * 63, "p" * 253, {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]})
    there = Pod("n" * 63, {}, "10.244.0.11")
    text = render([WEB, OLD, JOB, there], NAMESPACES, [_policy("all", ingress=rule), _policy("none"), long])
    check = ["unshare", "--net", "nft", "--check", "--file", "-"]
    for given in (text, render([], {}, [])):
        done = subprocess.run(check, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stderr}\n{given}"


def test_a_kernel_that_cannot_enforce_policies_is_found_out(kube: Kube) -> None:
    assert network_policy.refusal(["unshare", "--net", "nft", "--check", "--file", "-"]) is None
    assert network_policy.refusal(["sh", "-c", "cat >/dev/null; echo not supported >&2; exit 1"]) == "not supported"
