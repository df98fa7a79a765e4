"""The policies of deploy/components/admission, on what Litclaw renders and on what users try.

The API server evaluates them in tests/e2e/test_admission.py. Here every rendered object and every field is tried.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import celpy
import pytest
import yaml
from celpy import celtypes
from litclaw.api.agent import Gateway
from litclaw.api.managed import Managed
from litclaw.api.models import RouteModel
from litclaw.api.pod_settings import PodSettings
from litclaw.api.route import RouteSpec
from litclaw.kube.resources import OWNED_KINDS
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from .golden.rendering import CASES, stored

COMPONENT = Path(__file__).resolve().parents[2] / "deploy" / "components" / "admission"
OPERATOR = "system:serviceaccount:litclaw-system:litclaw"
Object = dict[str, Any]


def documents() -> Iterator[Object]:
    for path in sorted(COMPONENT.glob("*.yaml")):
        yield from (body for body in yaml.safe_load_all(path.read_text()) if body["kind"] != "Component")


POLICIES = {
    body["metadata"]["name"]: body["spec"] for body in documents() if body["kind"] == "ValidatingAdmissionPolicy"
}
PLURALS = {each.kind: each.plural for each in OWNED_KINDS}


# An evaluation as the API server does it. The authorizer is a map that remembers what it was asked.


def _asked(name: str) -> Any:
    return lambda authorizer, value: celtypes.MapType({**authorizer, celtypes.StringType(f"asked-{name}"): value})


def _allowed(authorizer: Mapping[Any, Any]) -> celtypes.BoolType:
    asked = {
        name: str(authorizer.get(celtypes.StringType(f"asked-{name}"), "")) for name in ("check", "resource", "name")
    }
    verb = f"{asked['check']} {asked['resource']}"
    granted = {str(each) for each in authorizer[celtypes.StringType("granted")]}
    return celtypes.BoolType(bool(granted & {verb, f"{verb}/{asked['name']}"}))


FUNCTIONS: dict[str, Any] = {
    **{name: _asked(name) for name in ("group", "resource", "namespace", "name", "check")},
    "allowed": _allowed,
    # celpy compares null with nothing but null.
    "_==_": lambda a, b: celtypes.BoolType(a is b if a is None or b is None else a == b),
    "_!=_": lambda a, b: celtypes.BoolType(a is not b if a is None or b is None else a != b),
}


@cache
def _program(expression: str) -> celpy.Runner:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression), functions=FUNCTIONS)


def denials(
    new: Object | None, old: Object | None = None, *, user: str, may: tuple[str, ...] = (), plural: str
) -> list[str]:
    """The messages of all validations that refuse a request.

    Args:
        new: the object after it; None: it is deleted.
        old: the object before it; None: it is created.
        may: what the user may do, such as ``create pods``.
    """
    body = new or old or {}
    operation = "DELETE" if new is None else "CREATE" if old is None else "UPDATE"
    given = {
        "object": new,
        "oldObject": old,
        "request": {
            "userInfo": {"username": user},
            "operation": operation,
            "namespace": body["metadata"]["namespace"],
            "resource": {"resource": plural},
        },
        "authorizer": {"granted": list(may)},
    }
    context = {name: celpy.json_to_cel(value) for name, value in given.items()}
    found = []
    for spec in POLICIES.values():
        rules = spec["matchConstraints"]["resourceRules"]
        if not any(plural in rule["resources"] and operation in rule["operations"] for rule in rules):
            continue
        if not all(_program(each["expression"]).evaluate(context) for each in spec["matchConditions"]):
            continue
        variables = celtypes.MapType()
        for each in spec.get("variables", ()):
            within = {**context, "variables": variables}
            variables[celtypes.StringType(each["name"])] = _program(each["expression"]).evaluate(within)
        within = {**context, "variables": variables}
        found += [each["message"] for each in spec["validations"] if not _program(each["expression"]).evaluate(within)]
    return found


def test_every_policy_is_bound_and_fails_closed() -> None:
    bindings = [body["spec"] for body in documents() if body["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert sorted(each["policyName"] for each in bindings) == sorted(POLICIES) and len(POLICIES) == 5
    assert all(each["validationActions"] == ["Deny"] for each in bindings)
    assert all(spec["failurePolicy"] == "Fail" for spec in POLICIES.values())


# The operator


def of_operator(new: Object | None, old: Object | None = None) -> list[str]:
    return denials(new, old, user=OPERATOR, plural=PLURALS[(new or old or {})["kind"]])


RENDERED = {f"{case}/{name}": yaml.safe_load(content) for case in CASES for name, content in stored(case).items()}
RETAINED = [name for name, body in RENDERED.items() if "ownerReferences" not in body["metadata"]]


@pytest.mark.parametrize("name", sorted(RENDERED.keys() - set(RETAINED)))
def test_the_operator_may_write_all_that_it_renders(name: str) -> None:
    body = RENDERED[name]
    assert of_operator(body) == of_operator(body, body) == of_operator(None, body) == []


def test_the_operator_may_let_a_secret_outlive_its_agent_and_take_it_over_again() -> None:
    [secret] = [RENDERED[name] for name in RETAINED]
    owner = {"apiVersion": "litclaw.dev/v1alpha1", "kind": "OpenClawAgent", "controller": True}
    owned = {**secret, "metadata": {**secret["metadata"], "ownerReferences": [owner]}}
    assert of_operator(secret, owned) == of_operator(owned, secret) == of_operator(secret, secret) == []
    assert of_operator(secret) and of_operator(None, secret)


def test_every_kind_that_the_operator_writes_is_matched() -> None:
    matched = {
        (rule["apiGroups"][0], resource)
        for rule in POLICIES["litclaw-operator"]["matchConstraints"]["resourceRules"]
        for resource in rule["resources"]
        if rule["operations"] == ["CREATE", "UPDATE", "DELETE"]
    }
    assert matched == {(each.api_version.rpartition("/")[0], each.plural) for each in OWNED_KINDS}


def owned(kind: str, *, namespace: str = "team-a", owner: str = "litclaw.dev/v1alpha1", **body: Any) -> Object:
    reference = {"apiVersion": owner, "kind": "OpenClawAgent", "name": "x", "uid": "u", "controller": True}
    meta = {"name": "x", "namespace": namespace, "ownerReferences": [reference]}
    return {"kind": kind, "metadata": meta, **body}


FOREIGN: Object = {"kind": "Secret", "metadata": {"name": "x", "namespace": "team-a"}, "type": "Opaque"}


def test_the_operator_writes_no_secret_of_another_type() -> None:
    assert of_operator(owned("Secret", type="Opaque")) == []
    for type_ in ("kubernetes.io/service-account-token", "kubernetes.io/dockerconfigjson", ""):
        assert of_operator(owned("Secret", type=type_)) == ["the operator writes only Secrets of type Opaque"]


def test_the_operator_writes_nothing_in_the_clusters_namespaces() -> None:
    for namespace in ("kube-system", "kube-public", "kube-node-lease"):
        body = owned("ConfigMap", namespace=namespace)
        assert len(of_operator(body)) == len(of_operator(body, body)) == len(of_operator(None, body)) == 1


def test_the_operator_writes_nothing_that_is_not_its_own() -> None:
    assert of_operator(FOREIGN) and of_operator(FOREIGN, FOREIGN) and of_operator(None, FOREIGN)
    assert of_operator(owned("Secret", type="Opaque"), FOREIGN), "with an owner reference it would be its own"
    assert of_operator(FOREIGN, owned("Secret", type="Opaque")), "without our label nobody takes it over"
    assert of_operator(owned("ConfigMap", owner="example.com/v1"))
    guest = owned("ConfigMap")
    del guest["metadata"]["ownerReferences"][0]["controller"]
    assert of_operator(guest)


@pytest.mark.parametrize(
    "pod",
    [
        {"hostNetwork": True},
        {"hostPID": True},
        {"hostIPC": True},
        {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
        {"containers": [{"name": "c", "securityContext": {"privileged": True}}]},
        {"initContainers": [{"name": "c"}, {"name": "d", "securityContext": {"privileged": True}}]},
    ],
    ids=lambda pod: next(iter(pod)),
)
def test_the_operators_pods_have_nothing_of_their_node(pod: Object) -> None:
    for kind in ("Deployment", "StatefulSet", "Job"):
        spec = {"template": {"spec": {"containers": [{"name": "c"}], **pod}}}
        assert len(of_operator(owned(kind, spec=spec))) == 1


def test_nobody_else_is_restricted_in_what_they_write() -> None:
    assert denials(FOREIGN, user="somebody", plural="secrets") == []


# Users


def agent(gateway: Object | None = None, **meta: Any) -> Object:
    spec = {"routeRef": {"name": "r"}, **({"gateway": gateway} if gateway is not None else {})}
    return {"metadata": {"name": "a", "namespace": "team-a", **meta}, "spec": spec}


def of_agent(new: Object, old: Object | None = None, *may: str) -> list[str]:
    return denials(new, old, user="somebody", may=may, plural="openclawagents")


def route(**spec: Any) -> Object:
    return {"metadata": {"name": "r", "namespace": "ai"}, "spec": spec}


def of_route(new: Object, old: Object | None = None, *may: str) -> list[str]:
    return denials(new, old, user="somebody", may=may, plural="litellmroutes")


REF = {"name": "named", "key": "K"}
DEFAULTS = {"service": {"type": "ClusterIP"}, "networkPolicy": {"enabled": True}}
"""As the API server fills them in."""
GATEWAY = {"storage": "10Gi", **DEFAULTS}
MANAGED = {"database": {"embedded": {"storage": "10Gi"}}, "port": 4000, **DEFAULTS}
MODELS = [{"name": "m", "litellmParams": {"model": "openai/m"}}]


def aliases(model: type[BaseModel]) -> set[str]:
    return {field.alias or to_camel(name) for name, field in model.model_fields.items()}


OF_PODS = sorted({*aliases(PodSettings), "image", "topologySpreadConstraints"} - {"resources"})


@pytest.mark.parametrize("field", [*OF_PODS, "somethingNew"])
def test_a_field_of_pods_takes_the_permission_to_create_pods(field: str) -> None:
    with_it = agent({**GATEWAY, field: ["x"]})
    assert len(of_agent(with_it)) == len(of_agent(with_it, agent(GATEWAY))) == 1
    assert of_agent(with_it, None, "create pods") == []
    assert of_agent(with_it, with_it) == [], "it was there before"
    assert of_agent(agent(GATEWAY), with_it) == []
    managed = route(managed={**MANAGED, field: ["x"]}, models=MODELS)
    assert of_route(managed)
    assert of_route(managed, None, "create pods") == []
    assert of_route(managed, managed) == []


@pytest.mark.parametrize("field", sorted(aliases(Managed) - set(OF_PODS)))
def test_every_other_field_of_a_managed_route_takes_no_permission_for_pods(field: str) -> None:
    value = MANAGED.get(field, {"name": "named", "secretRef": REF})
    found = of_route(route(managed={**MANAGED, field: value}, models=MODELS))
    assert not any("create pods" in message for message in found)


def test_an_agent_without_such_fields_passes() -> None:
    for body in (agent(), agent({}), agent(GATEWAY), agent({**GATEWAY, "resources": {"requests": {"cpu": "1"}}})):
        assert of_agent(body) == of_agent(body, agent()) == []


def test_null_is_nothing() -> None:
    """A field that is taken back may stay as null."""
    empty = {**GATEWAY, "podLabels": None, "service": {"type": "ClusterIP", "annotations": None}}
    assert of_agent(agent(empty)) == of_agent(agent(empty), agent({**GATEWAY, "podLabels": {"a": "b"}})) == []
    assert of_agent({**agent(), "spec": {"gateway": None}}) == []
    assert (
        of_route(route(managed={**MANAGED, "env": None, "redis": None, "masterKeySecretRef": None}, models=MODELS))
        == []
    )


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({"service": {"type": "NodePort"}}, "create services"),
        ({"service": {"type": "ClusterIP", "annotations": {"a": "b"}}}, "create services"),
        ({"networkPolicy": {"enabled": False}}, "create networkpolicies"),
    ],
)
def test_services_and_network_policies_take_their_permissions(fields: Object, may: str) -> None:
    with_it = agent({**GATEWAY, **fields})
    assert len(of_agent(with_it)) == len(of_agent(with_it, None, "create pods")) == 1
    assert of_agent(with_it, None, may) == of_agent(with_it, with_it) == []
    managed = route(managed={**MANAGED, **fields}, models=MODELS)
    assert len(of_route(managed)) == 1
    assert of_route(managed, None, may) == of_route(managed, managed) == []


def test_egress_takes_the_permission_for_network_policies() -> None:
    with_it = agent({**GATEWAY, "networkPolicy": {"enabled": True, "egress": [{}]}})
    assert len(of_agent(with_it)) == 1 and of_agent(with_it, None, "create networkpolicies") == []


def test_a_finalizer_can_be_removed_and_nothing_else_be_slipped_in() -> None:
    """A resource stays in deletion for as long as its owner's own finalizer is there."""
    deleted = {"deletionTimestamp": "2026-11-24T11:00:00Z", "finalizers": ["x"]}
    old, new = (
        agent({**GATEWAY, "image": "x"}, **deleted),
        agent({**GATEWAY, "image": "x"}, **deleted | {"finalizers": []}),
    )
    assert of_agent(new, old) == []
    assert of_agent(new, agent(GATEWAY, **deleted))
    before = route(external={"url": "https://x", "masterKeySecretRef": REF})
    before["metadata"] |= deleted
    assert of_route({**before, "metadata": {**before["metadata"], "finalizers": []}}, before) == []
    assert of_route({**before, "spec": {"external": {"url": "https://evil", "masterKeySecretRef": REF}}}, before)


def test_the_operator_passes() -> None:
    assert denials(agent({"image": "x"}), agent(), user=OPERATOR, plural="openclawagents") == []
    assert denials(route(external={"masterKeySecretRef": REF}), user=OPERATOR, plural="litellmroutes") == []


NAMING = {
    "masterKeySecretRef": route(external={"url": "https://x", "masterKeySecretRef": REF}),
    "saltKeySecretRef": route(managed={**MANAGED, "saltKeySecretRef": REF}, models=MODELS),
    "database.secretRef": route(managed={**MANAGED, "database": {"secretRef": REF}}, models=MODELS),
    "redis.secretRef": route(managed={**MANAGED, "redis": {"secretRef": REF}}, models=MODELS),
    "masterKeySecretRef of a managed one": route(managed={**MANAGED, "masterKeySecretRef": REF}, models=MODELS),
}


@pytest.mark.parametrize("field", NAMING)
def test_a_route_names_no_secret_that_its_author_may_not_get(field: str) -> None:
    [message] = of_route(NAMING[field])
    assert field.split(" ")[0] in message
    assert of_route(NAMING[field], None, "get secrets") == of_route(NAMING[field], None, "get secrets/named") == []
    assert of_route(NAMING[field], None, "get secrets/other", "create pods")
    assert of_route(NAMING[field], NAMING[field]) == []


def test_a_bundle_of_authorities_is_a_secret_too() -> None:
    external = {"url": "https://x", "masterKeySecretRef": REF, "caBundleSecretRef": {"name": "other", "key": "ca.crt"}}
    [message] = of_route(route(external=external), None, "get secrets/named")
    assert "caBundleSecretRef" in message


@pytest.mark.parametrize("field", ["apiKeySecretRef", "secretParams"])
def test_models_name_secrets_with_the_permission_for_all(field: str) -> None:
    body = route(managed=MANAGED, models=[{**MODELS[0], field: REF}])
    assert len(of_route(body)) == len(of_route(body, None, "get secrets/named")) == 1
    assert of_route(body, None, "get secrets") == of_route(body, body) == []


@pytest.mark.parametrize(
    "changes",
    [
        {
            "models": [
                {**MODELS[0], "apiKeySecretRef": REF, "litellmParams": {"model": "m", "api_base": "https://evil"}}
            ]
        },
        {"routerSettings": {"redis_host": "evil"}},
        {"litellmSettings": {"callbacks": ["x"]}},
        {"generalSettings": {"x": 1}},
        {"somethingNew": {"x": 1}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_nobody_else_leads_the_secrets_of_a_route_away(changes: Object) -> None:
    before = route(managed=MANAGED, models=[{**MODELS[0], "apiKeySecretRef": REF}])
    after = {**before, "spec": {**before["spec"], **changes}}
    assert of_route(after, before) and of_route(after, before, "get secrets") == []


def test_nobody_else_sends_a_master_key_to_another_url() -> None:
    before = route(external={"url": "https://x", "masterKeySecretRef": REF})
    assert of_route(route(external={"url": "https://evil", "masterKeySecretRef": REF}), before)


def test_nobody_else_reads_the_environment_that_a_developer_has_given_a_proxy() -> None:
    managed = {**MANAGED, "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": REF}}]}
    before, after = route(managed=managed, models=MODELS), route(managed=managed, models=[*MODELS, {"name": "n"}])
    assert of_route(after, before)
    assert of_route(after, before, "get secrets") == of_route(after, before, "create pods") == []


def test_what_leads_nothing_away_may_be_edited_by_everybody() -> None:
    managed = {**MANAGED, "masterKeySecretRef": REF, "env": [{"name": "A", "value": "b"}]}
    before = route(managed=managed, models=[{**MODELS[0], "apiKeySecretRef": REF}], keyDefaults={"rpmLimit": 1})
    spec = before["spec"]
    for changes in (
        {"keyDefaults": {"rpmLimit": 2}},
        {"allowedNamespaces": {"from": "All"}},
        {"keyLimits": {"retain": "Forbid"}},
        {"fallbacks": [{"model": "m", "to": ["n"]}]},
        {"managed": {**managed, "replicas": 3, "monitoring": {"enabled": True}, "dashboard": {"enabled": False}}},
    ):
        assert of_route({**before, "spec": {**spec, **changes}}, before) == [], changes


def test_the_policies_name_fields_that_there_are() -> None:
    known = {
        "litclaw-agents": aliases(Gateway),
        "litclaw-routes": aliases(Managed) | aliases(RouteSpec) | aliases(RouteModel),
    }
    for name, fields in known.items():
        spec = POLICIES[name]
        text = " ".join(each["expression"] for each in (*spec["variables"], *spec["validations"]))
        named = {field for names in re.findall(r"f in \[([^]]*)\]", text) for field in re.findall(r"'(\w+)'", names)}
        assert named and named <= fields, named - fields
