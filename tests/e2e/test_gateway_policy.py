"""The ValidatingAdmissionPolicy of docs/install.md: a user who may not make pods can't make one through a gateway."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .api import Object
from .cli import as_account
from .kube import Kube
from .proxy import Proxy
from .resources import TEAM, agent
from .waiting import eventually

REFUSED = "spec.gateway may have no env, envFrom, image, imagePullSecrets or serviceAccountName here"
FIELDS: Object = {
    "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "somebody-s", "key": "TOKEN"}}}],
    "envFrom": [{"secretRef": {"name": "somebody-s"}}],
    "image": "registry.example.com/of-my-own:1",
    "imagePullSecrets": [{"name": "somebody-s"}],
    "serviceAccountName": "an-administrator-s",
}
EDIT = {"apiGroups": ["litclaw.dev"], "resources": ["openclawagents"], "verbs": ["*"]}
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}


class Account:
    """A user with some permissions in the agents' namespace."""

    def __init__(self, kube: Kube, config: Path) -> None:
        self._kube = kube
        self._config = ("--kubeconfig", str(config))

    def tries(self, manifest: Object, *, dry: bool = True) -> str:
        """Apply an agent; returns the API server's error, or an empty string."""
        flags = ("--server-side", "--force-conflicts", *(["--dry-run=server"] if dry else []), "-f", "-")
        done = self._kube.run(*self._config, "apply", *flags, stdin=json.dumps(manifest), check=False)
        assert (done.returncode == 0) == (not done.stderr), done.stderr
        return done.stderr

    def deletes(self, name: str) -> None:
        """Delete an agent and wait until it is gone."""
        self._kube.run(*self._config, "-n", TEAM, "delete", "openclawagent", name)


@pytest.fixture(scope="module")
def editor(kube: Kube, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Account:
    """May edit agents."""
    return Account(kube, as_account(kube, TEAM, "editor", [EDIT], tmp_path_factory.mktemp("editor")))


@pytest.fixture(scope="module")
def developer(kube: Kube, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Account:
    """May edit agents and make pods."""
    return Account(kube, as_account(kube, TEAM, "developer", [EDIT, PODS], tmp_path_factory.mktemp("developer")))


@pytest.fixture(scope="module", autouse=True)
def policy(kube: Kube, editor: Account, developer: Account, root: Path) -> Iterator[None]:
    """The policy in force."""
    page = (root / "docs" / "install.md").read_text()
    [text] = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "AdmissionPolicy" in block]
    kube.run("apply", "--server-side", "--validate=strict", "-f", "-", stdin=text)
    trial = agent("trial", gateway={"image": "x"})
    eventually(lambda: REFUSED in editor.tries(trial), what="the policy is in force")
    status = kube.must("validatingadmissionpolicy", "", "litclaw-gateways").get("status") or {}
    assert not (status.get("typeChecking") or {}).get("expressionWarnings"), status
    yield
    kube.run("delete", "-f", "-", stdin=text)
    kube.run("-n", TEAM, "delete", "serviceaccount,role,rolebinding", "editor", "developer")


@pytest.mark.parametrize("field", FIELDS)
def test_each_way_to_somebody_else_s_secrets_is_refused(editor: Account, developer: Account, field: str) -> None:
    manifest = agent("sneaky", gateway={"storage": "1Gi", field: FIELDS[field]})
    assert REFUSED in editor.tries(manifest)
    assert developer.tries(manifest) == "", "a user who may make pods needs no gateway for that"


def test_what_reaches_no_secret_passes(editor: Account) -> None:
    for spec in (
        {},
        {"gateway": {}},
        {"gateway": {"storage": "1Gi", "podLabels": {"a": "b"}}},
        {"key": {"maxBudget": "5"}},
    ):
        assert editor.tries(agent("honest", **spec)) == "", spec


def test_an_agent_that_a_developer_has_made_goes_on_and_may_be_deleted_but_not_changed(
    kube: Kube, editor: Account, developer: Account
) -> None:
    """Adding and removing the operator's finalizer are updates of an agent with such a gateway too."""
    spec = {"gateway": {"storage": "1Gi", "env": [{"name": "GREETING", "value": "hello"}]}, "suspend": True}
    assert developer.tries(agent("made", **spec), dry=False) == ""
    kube.wait_condition("openclawagent", TEAM, "made", "KeyReady", "True")
    assert kube.must("openclawagent", TEAM, "made")["metadata"]["finalizers"]
    assert REFUSED in editor.tries(agent("made", **{**spec, "suspend": False}))
    editor.deletes("made")


def test_a_gateway_without_them_works(kube: Kube, editor: Account) -> None:
    assert editor.tries(agent("plain", gateway={"storage": "1Gi"}, suspend=True), dry=False) == ""
    kube.wait_condition("openclawagent", TEAM, "plain", "KeyReady", "True")
    eventually(lambda: kube.get("deployment", TEAM, "plain-openclaw"), what="its gateway")
    assert REFUSED in editor.tries(agent("plain", gateway={"storage": "1Gi", "image": "x"}))
    assert editor.tries(agent("plain", gateway={"storage": "1Gi"}, key={"maxBudget": "1"}), dry=False) == ""
    editor.deletes("plain")
