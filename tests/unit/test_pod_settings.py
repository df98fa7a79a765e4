"""What a user sets of pods, and what nobody but the operator sets."""

from typing import Any

import pytest
from litclaw.api.agent import Gateway
from litclaw.api.crd import custom_resource_definitions
from litclaw.render.agent.gateway_network_policy import gateway_network_policy
from litclaw.render.pod_settings import pod_labels
from litclaw.render.proxy_peer import ProxyPeer

from .scenes import agent_of
from .schemas import fields

OWN = {"app.kubernetes.io/managed-by": "litclaw", "app.kubernetes.io/component": "gateway"}
RESERVED = (
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app.kubernetes.io/name",
)


@pytest.mark.parametrize("label", RESERVED)
def test_no_pod_passes_as_another_by_a_reserved_label(label: str) -> None:
    """The API server refuses them; a resource from before one was reserved may have it."""
    settings = Gateway.model_validate({"podLabels": {label: "prometheus", "team": "research"}})
    assert pod_labels(settings, OWN) == {"team": "research", **OWN}


@pytest.mark.parametrize("crd", custom_resource_definitions()[:2], ids=lambda crd: crd["spec"]["names"]["kind"])
def test_the_crds_refuse_reserved_labels(crd: dict[str, Any]) -> None:
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    [labels] = [field for path, field in fields(spec, "") if path.endswith("podLabels")]
    rules = " ".join(each["rule"] for each in labels["x-kubernetes-validations"])
    assert all(f"'{label}' in self" in rules for label in RESERVED)


def test_a_gateway_reaches_port_53_of_the_clusters_dns_alone() -> None:
    policy = gateway_network_policy(agent_of(gateway={}), Gateway(), ProxyPeer({"podSelector": {}}, 4000))
    dns, proxy = policy["spec"]["egress"]
    namespaces, addresses = dns["to"]
    [expression] = namespaces["namespaceSelector"]["matchExpressions"]
    assert expression["key"] == "kubernetes.io/metadata.name"
    assert expression["values"] == ["kube-system", "openshift-dns"]
    assert addresses == {"ipBlock": {"cidr": "169.254.0.0/16"}}
    assert {each["port"] for each in dns["ports"]} == {53, 5353}
    assert proxy["to"] == [{"podSelector": {}}]
