"""deploy/components/admission: what users may set who can't make pods or read Secrets, and what the operator may write."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .api import Object
from .cli import as_account
from .kube import Kube
from .main_route import main_route
from .proxy import Proxy
from .resources import AI, TEAM, agent, resource
from .waiting import eventually

PODS = "without permission to create pods"
SERVICES = "without permission to create services"
NETWORK_POLICIES = "without permission to create networkpolicies"
OF_PODS: Object = {
    "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "somebody-s", "key": "TOKEN"}}}],
    "envFrom": [{"secretRef": {"name": "somebody-s"}}],
    "image": "registry.example.com/of-my-own:1",
    "imagePullSecrets": [{"name": "somebody-s"}],
    "serviceAccountName": "an-administrator-s",
    "podLabels": {"app": "somebody-s"},
    "podAnnotations": {"vault.hashicorp.com/agent-inject": "true"},
    "nodeSelector": {"node-role.kubernetes.io/control-plane": ""},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}
"""Fields of a gateway and of a managed route that are fields of a pod."""
OTHERS: list[tuple[Object, str]] = [
    ({"service": {"type": "LoadBalancer"}}, SERVICES),
    ({"service": {"annotations": {"external-dns.alpha.kubernetes.io/hostname": "bank.example"}}}, SERVICES),
    ({"networkPolicy": {"enabled": False}}, NETWORK_POLICIES),
]
REFERENCE = {"name": "named", "key": "KEY"}
DATABASE = {"embedded": {"storage": "1Gi"}}
OPERATOR = "system:serviceaccount:litclaw-system:litclaw"
EDIT = {"apiGroups": ["litclaw.dev"], "resources": ["openclawagents", "litellmroutes"], "verbs": ["*"]}
MAKE = [
    {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["create"]},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
]
READ_ONE = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["named"], "verbs": ["get"]}


class Account:
    """A user with some permissions in a namespace."""

    def __init__(self, kube: Kube, namespace: str, name: str, rules: list[Object], folder: Path) -> None:
        self._kube = kube
        self._config = ("--kubeconfig", str(as_account(kube, namespace, name, rules, folder)))
        self._found = (namespace, name)

    def tries(self, manifest: Object, *, dry: bool = True) -> str:
        """Apply a resource; returns the API server's error, or an empty string."""
        flags = ("--server-side", "--force-conflicts", *(["--dry-run=server"] if dry else []), "-f", "-")
        done = self._kube.run(*self._config, "apply", *flags, stdin=json.dumps(manifest), check=False)
        assert (done.returncode == 0) == (not done.stderr), done.stderr
        return done.stderr

    def deletes(self, name: str) -> None:
        """Delete an agent and wait until it is gone."""
        self._kube.run(*self._config, "-n", TEAM, "delete", "openclawagent", name)

    def leave(self) -> None:
        """Remove the account."""
        namespace, name = self._found
        self._kube.run("-n", namespace, "delete", "serviceaccount,role,rolebinding", name)


@pytest.fixture(scope="module")
def accounts(kube: Kube, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Account]]:
    """``editor`` may edit agents and routes, ``developer`` make what they consist of too, ``reader`` read one Secret too.

    They are of the agents' namespace. ``stranger`` is an editor of the route's.
    """
    given = {
        "editor": (TEAM, [EDIT]),
        "developer": (TEAM, [EDIT, *MAKE]),
        "reader": (TEAM, [EDIT, READ_ONE]),
        "stranger": (AI, [EDIT]),
    }
    found = {
        name: Account(kube, namespace, name, rules, tmp_path_factory.mktemp(name))
        for name, (namespace, rules) in given.items()
    }
    yield found
    for account in found.values():
        account.leave()


@pytest.fixture
def editor(accounts: dict[str, Account]) -> Account:
    """May edit agents and routes, and nothing else."""
    return accounts["editor"]


@pytest.fixture
def developer(accounts: dict[str, Account]) -> Account:
    """May also make pods, Services and NetworkPolicies, and read Secrets."""
    return accounts["developer"]


@pytest.fixture(scope="module", autouse=True)
def policies(kube: Kube, accounts: dict[str, Account], root: Path) -> Iterator[None]:
    """The component's policies in force."""
    folder = root / "deploy" / "components" / "admission"
    files = [flag for name in ("operator", "agents", "routes") for flag in ("-f", str(folder / f"{name}.yaml"))]
    kube.run("apply", "--server-side", "--validate=strict", *files)
    editor, made = accounts["editor"], _owned("v1", "Secret", "trial", type="example.com/other")
    eventually(lambda: PODS in editor.tries(agent("trial", gateway={"image": "x"})), what="the policy for agents")
    eventually(lambda: PODS in editor.tries(_managed(image="x")), what="the policy for routes")
    eventually(lambda: "of type Opaque" in _operator_tries(kube, made), what="the policy for the operator")
    for policy in kube.list("validatingadmissionpolicies", "-l", "app.kubernetes.io/name=litclaw"):
        status = policy.get("status") or {}
        assert not (status.get("typeChecking") or {}).get("expressionWarnings"), status
    yield
    kube.run("delete", *files)


def _route(name: str = "sneaky", **spec: object) -> Object:
    return resource("LiteLLMRoute", name, TEAM, dict(spec))


def _managed(models: list[Object] | None = None, **managed: object) -> Object:
    plain = [{"name": "m", "litellmParams": {"model": "openai/m"}}]
    return _route(managed={"database": DATABASE, **managed}, models=models or plain)


# Users


@pytest.mark.parametrize("field", OF_PODS)
def test_each_field_of_pods_takes_the_permission_to_create_pods(
    editor: Account, developer: Account, field: str
) -> None:
    for manifest in (
        agent("sneaky", gateway={"storage": "1Gi", field: OF_PODS[field]}),
        _managed(**{field: OF_PODS[field]}),
    ):
        assert PODS in editor.tries(manifest)
        assert developer.tries(manifest) == "", "a user who may make pods needs no operator for that"


@pytest.mark.parametrize(("fields", "words"), OTHERS)
def test_services_and_network_policies_take_their_permissions(
    editor: Account, developer: Account, fields: Object, words: str
) -> None:
    for manifest in (agent("sneaky", gateway={"storage": "1Gi", **fields}), _managed(**fields)):
        assert words in editor.tries(manifest)
        assert developer.tries(manifest) == ""


def test_a_way_out_takes_the_permission_to_create_network_policies(editor: Account, developer: Account) -> None:
    manifest = agent("sneaky", gateway={"networkPolicy": {"egress": [{}]}})
    assert NETWORK_POLICIES in editor.tries(manifest)
    assert developer.tries(manifest) == ""


def test_what_reaches_nothing_passes(editor: Account) -> None:
    for spec in (
        {},
        {"gateway": {}},
        {"gateway": {"storage": "1Gi", "resources": {"requests": {"cpu": "1"}}, "networkPolicy": {"enabled": True}}},
        {"key": {"maxBudget": "5"}},
    ):
        assert editor.tries(agent("honest", **spec)) == "", spec
    monitored = {"monitoring": {"enabled": True}, "dashboard": {"enabled": False}, "replicas": 2, "port": 8080}
    for manifest in (_managed(), _managed(**monitored)):
        assert editor.tries(manifest) == ""


EXTERNAL = {"url": "https://litellm.example.com", "masterKeySecretRef": REFERENCE}
NAMING: dict[str, Object] = {
    "masterKeySecretRef": _route(external=EXTERNAL),
    "caBundleSecretRef": _route(external={**EXTERNAL, "caBundleSecretRef": {"name": "other", "key": "ca.crt"}}),
    "saltKeySecretRef": _managed(saltKeySecretRef=REFERENCE),
    "database.secretRef": _managed(database={"secretRef": REFERENCE}),
    "redis.secretRef": _managed(redis={"secretRef": REFERENCE}),
    "spec.models": _managed([{"name": "m", "litellmParams": {"model": "openai/m"}, "apiKeySecretRef": REFERENCE}]),
    "secretParams": _managed(
        [{"name": "m", "litellmParams": {"model": "bedrock/m"}, "secretParams": {"aws_secret_access_key": REFERENCE}}]
    ),
}


@pytest.mark.parametrize("field", NAMING)
def test_a_route_names_no_secret_that_its_author_may_not_read(
    accounts: dict[str, Account], editor: Account, developer: Account, field: str
) -> None:
    refused = editor.tries(NAMING[field])
    assert field in refused or field == "caBundleSecretRef" and "masterKeySecretRef" in refused, refused
    assert developer.tries(NAMING[field]) == ""
    by_name = accounts["reader"].tries(NAMING[field])
    if field in ("caBundleSecretRef", "spec.models", "secretParams"):
        assert field in by_name, "another Secret, and one of many"
    else:
        assert by_name == ""


def test_an_agent_that_a_developer_has_made_goes_on_and_others_may_edit_the_rest(
    kube: Kube, editor: Account, developer: Account
) -> None:
    """Adding and removing the operator's finalizer are updates of an agent with such a gateway too."""
    gateway = {"storage": "1Gi", "env": [{"name": "GREETING", "value": "hello"}]}
    assert developer.tries(agent("made", gateway=gateway, suspend=True), dry=False) == ""
    kube.wait_condition("openclawagent", TEAM, "made", "KeyReady", "True")
    assert kube.must("openclawagent", TEAM, "made")["metadata"]["finalizers"]
    assert editor.tries(agent("made", gateway=gateway, suspend=True, key={"maxBudget": "1"}), dry=False) == ""
    other = {**gateway, "env": [{"name": "GREETING", "value": "good-bye"}]}
    assert PODS in editor.tries(agent("made", gateway=other, suspend=True))
    editor.deletes("made")


def test_a_stranger_edits_a_route_but_nothing_that_leads_its_secrets_away(accounts: dict[str, Account]) -> None:
    stranger, route = accounts["stranger"], main_route()
    spec = route["spec"]

    def with_spec(**changes: object) -> Object:
        return {**route, "spec": {**spec, **changes}}

    assert stranger.tries(with_spec(keyDefaults={"maxBudget": "1"}, allowedNamespaces={"from": "Same"})) == ""
    assert stranger.tries(with_spec(managed={**spec["managed"], "replicas": 3})) == ""
    away = {"name": "away", "litellmParams": {"model": "openai/x", "api_base": "https://evil.example", "api_key": ""}}
    away["litellmParams"]["api_key"] = "os.environ/LITELLM_MASTER_KEY"
    assert "without permission" in stranger.tries(with_spec(models=[*spec["models"], away]))
    assert "without permission" in stranger.tries(with_spec(litellmSettings={"callbacks": ["a_module.of_mine"]}))
    assert PODS in stranger.tries(with_spec(managed={**spec["managed"], "image": "registry.example.com/mine:1"}))


# The operator


def _owned(api_version: str, kind: str, name: str, *, namespace: str = TEAM, **body: object) -> Object:
    """An object as if an agent owned it."""
    owner = {"apiVersion": "litclaw.dev/v1alpha1", "kind": "OpenClawAgent", "name": "x", "uid": "u", "controller": True}
    meta = {"name": name, "namespace": namespace, "ownerReferences": [owner]}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **body}


def _as_operator(kube: Kube, *args: str, stdin: str | None = None) -> str:
    return kube.run("--as", OPERATOR, *args, "--dry-run=server", stdin=stdin, check=False).stderr


def _operator_tries(kube: Kube, manifest: Object) -> str:
    """Apply something with the operator's permissions; returns the API server's error."""
    flags = ("--server-side", "--field-manager=test")
    return _as_operator(kube, "apply", *flags, "-f", "-", stdin=json.dumps(manifest))


def test_the_operator_makes_no_token_of_a_service_account(kube: Kube) -> None:
    token = _owned("v1", "Secret", "token", type="kubernetes.io/service-account-token")
    token["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "default"}
    assert "of type Opaque" in _operator_tries(kube, token)
    assert _operator_tries(kube, _owned("v1", "Secret", "own", type="Opaque")) == ""


def test_the_operator_writes_nothing_in_the_clusters_namespaces(kube: Kube) -> None:
    for manifest in (
        _owned("v1", "Secret", "own", namespace="kube-system", type="Opaque"),
        _owned("v1", "ConfigMap", "own", namespace="kube-public", data={}),
    ):
        assert "the cluster's own namespaces" in _operator_tries(kube, manifest)


@pytest.fixture
def foreign(kube: Kube) -> Iterator[list[Object]]:
    """A Secret and a ConfigMap of a tenant."""
    meta = {"name": "somebody-s", "namespace": TEAM, "labels": {"team": "x"}}
    found = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"TOKEN": "t"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "b"}},
    ]
    kube.apply(*found)
    yield found
    for each in found:
        kube.delete(each["kind"], TEAM, "somebody-s")


def test_the_operator_neither_makes_changes_nor_deletes_what_is_not_its_own(kube: Kube, foreign: list[Object]) -> None:
    for manifest in foreign:
        made = {**manifest, "metadata": {"name": "made", "namespace": TEAM}}
        assert "that a LiteLLMRoute or an OpenClawAgent owns" in _operator_tries(kube, made)
        taken = _owned("v1", manifest["kind"], "somebody-s")
        assert "changes and deletes only" in _operator_tries(kube, taken), "an owner reference makes it nobody's"
        deleted = _as_operator(kube, "-n", TEAM, "delete", manifest["kind"], "somebody-s")
        assert "changes and deletes only" in deleted


def test_the_operators_pods_have_nothing_of_their_node(kube: Kube) -> None:
    container = {"name": "c", "image": "registry.example.com/c:1"}
    for pod, words in (
        ({"hostNetwork": True}, "no namespace of their node"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "no folder of their node"),
        ({"containers": [{**container, "securityContext": {"privileged": True}}]}, "no privileged container"),
        ({"initContainers": [{**container, "name": "i", "securityContext": {"privileged": True}}]}, "no privileged"),
    ):
        labels = {"app": "x"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container], **pod}}
        spec = {"selector": {"matchLabels": labels}, "template": template}
        assert words in _operator_tries(kube, _owned("apps/v1", "Deployment", "own", spec=spec))


def test_a_gateway_without_such_fields_works(kube: Kube, editor: Account) -> None:
    assert editor.tries(agent("plain", gateway={"storage": "1Gi"}, suspend=True), dry=False) == ""
    kube.wait_condition("openclawagent", TEAM, "plain", "KeyReady", "True")
    eventually(lambda: kube.get("deployment", TEAM, "plain-openclaw"), what="its gateway")
    assert PODS in editor.tries(agent("plain", gateway={"storage": "1Gi", "image": "x"}, suspend=True))
    editor.deletes("plain")


def test_the_operators_own_work_goes_on(kube: Kube, proxy: Proxy, editor: Account) -> None:
    """A key is made, rotated, retained, taken over by the next agent, and deleted; a lost Secret comes back."""
    kept = agent("kept", key={"deletionPolicy": "Retain", "rotation": {"gracePeriod": "0s"}})
    assert editor.tries(kept, dry=False) == ""
    kube.wait_ready("openclawagent", TEAM, "kept")
    kube.run("-n", TEAM, "annotate", "openclawagent", "kept", "litclaw.dev/rotate=1")
    eventually(lambda: kube.must("openclawagent", TEAM, "kept")["status"]["key"]["generation"] == 2)
    kube.wait_ready("openclawagent", TEAM, "kept")
    key = kube.secret(TEAM, "kept-litellm")
    editor.deletes("kept")
    assert "ownerReferences" not in kube.must("secret", TEAM, "kept-litellm")["metadata"]
    assert editor.tries(kept, dry=False) == ""
    kube.wait_ready("openclawagent", TEAM, "kept")
    assert kube.secret(TEAM, "kept-litellm") == key
    assert kube.must("secret", TEAM, "kept-litellm")["metadata"]["ownerReferences"]
    kube.delete("secret", TEAM, "kept-litellm")
    eventually(lambda: kube.get("secret", TEAM, "kept-litellm"), what="the Secret comes back")
    assert editor.tries(agent("kept", key={"deletionPolicy": "Delete"}), dry=False) == ""
    kube.wait_ready("openclawagent", TEAM, "kept")
    uid = kube.must("openclawagent", TEAM, "kept")["metadata"]["uid"]
    editor.deletes("kept")
    assert proxy.rows(uid) == []
    eventually(lambda: kube.get("secret", TEAM, "kept-litellm") is None, what="the end of its Secret")
