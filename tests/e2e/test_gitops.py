"""Argo CD and Flux: the state that they read settles, and nobody else changes what Git has written."""

import json
import re
import shlex
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from .api import Object
from .health import argo, flux
from .kube import Kube
from .main_route import main_route
from .proxy import Proxy
from .resources import AI, TEAM, agent, managed_route, resource
from .waiting import eventually

MANAGERS = ("argocd-controller", "kustomize-controller")
TRACKED = {"metadata": {"labels": {"app.kubernetes.io/instance": "agents"}, "annotations": {"example.com/from": "git"}}}


def _tracked(manifest: Object) -> Object:
    """With the label and the annotation of a GitOps tool."""
    return {**manifest, "metadata": {**manifest["metadata"], **TRACKED["metadata"]}}


def _route(name: str, secret: str = "main-master-key") -> Object:
    reference = {"name": secret, "key": "LITELLM_MASTER_KEY"}
    url = f"http://main-litellm.{AI}.svc.cluster.local:4000"
    spec = {"external": {"url": url, "masterKeySecretRef": reference}, "allowedNamespaces": {"from": "All"}}
    return resource("LiteLLMRoute", name, AI, spec)


def _rotation(name: str, labels: dict[str, str], **spec: Any) -> Object:
    spec = {"selector": {"matchLabels": labels}, "gracePeriod": "0s", **spec}
    kind = {"apiVersion": "litclaw.dev/v1alpha1", "kind": "LiteLLMKeyRotation"}
    return {**kind, "metadata": {"name": name}, "spec": spec}


class Git:
    """Manifests in a folder, which are applied and checked for drift server-side, as Argo CD and Flux do."""

    def __init__(self, kube: Kube, folder: Path, manager: str) -> None:
        self._kube = kube
        self._folder = folder
        self._flags = ("--server-side", f"--field-manager={manager}", "--force-conflicts", "-f", str(folder))

    def commit(self, *manifests: Object) -> None:
        """Put manifests into the folder, replacing those of the same name, and apply all."""
        for manifest in manifests:
            name = f"{manifest['kind']}-{manifest['metadata']['name']}.json".lower()
            (self._folder / name).write_text(json.dumps(manifest))
        self._kube.run("apply", *self._flags)

    def drift(self) -> str:
        """The changes that the next sync would make; empty: none."""
        for attempt in range(6):
            time.sleep(min(attempt, 2))
            done = self._kube.run("diff", *self._flags, check=False)
            assert done.returncode in (0, 1), done.stderr
            if not done.stdout:
                break  # kubectl reads an object twice, and shows a status that is written in between; real drift stays
        return done.stdout


@pytest.fixture(params=MANAGERS)
def git(request: pytest.FixtureRequest, kube: Kube, proxy: Proxy, tmp_path: Path) -> Git:
    return Git(kube, tmp_path, request.param)


def _fields(tree: Any, path: str = "") -> set[str]:
    """The paths of managed fields, such as ``spec.key``."""
    own = {f"{path}.{key[2:]}".lstrip("."): below for key, below in tree.items() if key.startswith("f:")}
    return set(own) | {found for at, below in own.items() for found in _fields(below, at)}


def _written_by_us(body: Object) -> set[str]:
    entries = [entry for entry in body["metadata"]["managedFields"] if entry["manager"] == "litclaw"]
    return {field for entry in entries for field in _fields(entry["fieldsV1"]) if not field.startswith("status")}


def test_no_drift_and_nothing_of_gits_is_written(kube: Kube, git: Git) -> None:
    scout = _tracked(agent("git-scout", route="git-route", key={"maxBudget": "5"}))
    git.commit(_tracked(_route("git-route")), scout)
    kube.wait_ready("openclawagent", TEAM, "git-scout")
    assert git.drift() == ""
    kube.patch("openclawagent", TEAM, "git-scout", {"spec": {"key": {"maxBudget": "6"}}})
    assert "maxBudget" in git.drift(), "a change by hand is drift"
    git.commit(scout)
    kube.wait_ready("openclawagent", TEAM, "git-scout")
    generation = kube.must("openclawagent", TEAM, "git-scout")["metadata"]["generation"]

    # Suspended in Git.
    git.commit({**scout, "spec": {**scout["spec"], "suspend": True}})
    kube.wait_condition("openclawagent", TEAM, "git-scout", "Ready", "True", "Suspended")
    assert git.drift() == ""
    git.commit(scout)
    kube.wait_condition("openclawagent", TEAM, "git-scout", "Ready", "True", "Ready")
    assert git.drift() == ""

    # Rotated, by an annotation in Git and by a resource in Git.
    def key() -> int:
        return int(kube.wait_ready("openclawagent", TEAM, "git-scout")["status"]["key"]["generation"])

    first = key()
    asked = {**scout["metadata"], "annotations": {**scout["metadata"]["annotations"], "litclaw.dev/rotate": "once"}}
    git.commit({**scout, "metadata": asked})
    eventually(lambda: key() == first + 1)
    assert git.drift() == ""
    git.commit(_tracked(_rotation("git-rotation", {"app.kubernetes.io/instance": "agents"})))
    eventually(lambda: key() == first + 2)
    assert git.drift() == ""

    # Repaired by the operator.
    for kind, name in (("secret", "git-scout-litellm"), ("configmap", "git-scout-openclaw")):
        uid = kube.must(kind, TEAM, name)["metadata"]["uid"]
        kube.delete(kind, TEAM, name)
        eventually(lambda kind=kind, name=name, uid=uid: kube.must(kind, TEAM, name)["metadata"]["uid"] != uid)
    kube.wait_ready("openclawagent", TEAM, "git-scout")
    assert git.drift() == ""

    body = kube.run("-n", TEAM, "get", "oca", "git-scout", "-o", "json", "--show-managed-fields").stdout
    found = json.loads(body)
    assert found["metadata"]["generation"] == generation + 2, "only Git has written the spec, twice"
    assert _written_by_us(found) <= {"metadata", "metadata.finalizers"}
    assert argo(found)[0] == "Healthy" and flux(found) == "Current"
    kube.run("delete", "llkr", "git-rotation")
    kube.delete("openclawagent", TEAM, "git-scout")
    kube.delete("litellmroute", AI, "git-route")


def test_a_managed_route_doesnt_drift(kube: Kube, git: Git) -> None:
    git.commit(_tracked(main_route()))
    kube.wait_ready("litellmroute", AI, "main")
    kube.delete("service", AI, "main-litellm")
    eventually(lambda: kube.get("service", AI, "main-litellm"))
    kube.wait_ready("litellmroute", AI, "main")
    assert git.drift() == ""
    body = json.loads(kube.run("-n", AI, "get", "llr", "main", "-o", "json", "--show-managed-fields").stdout)
    assert _written_by_us(body) <= {"metadata", "metadata.finalizers"}
    kube.patch(
        "litellmroute",
        AI,
        "main",
        {"metadata": {"labels": {"app.kubernetes.io/instance": None}, "annotations": {"example.com/from": None}}},
    )


_AFTER = ("Retiring", "Completed")
"""The phases of a rotation that has no key left to rotate."""


def test_one_commit_in_any_order(kube: Kube, proxy: Proxy) -> None:
    """Agent, route, Secret and rotation, in several orders: each waits for what it needs, and none is stuck."""
    master = {"LITELLM_MASTER_KEY": proxy.master_key}
    key = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "any-key", "namespace": AI}, "stringData": master}
    scout = agent("any-scout", route="any-route")
    scout["metadata"]["labels"] = {"of": "any"}
    parts = {"k": key, "r": _route("any-route", "any-key"), "a": scout, "o": _rotation("any-order", {"of": "any"})}
    for order in ("oark", "roka", "akor"):
        for letter in order:
            kube.apply(parts[letter])
            if letter != order[-1]:  # the operator reports what is missing before it comes
                _see(kube, parts[letter])
        kube.wait_ready("openclawagent", TEAM, "any-scout")
        kube.wait_ready("litellmroute", AI, "any-route")
        eventually(lambda: kube.must("llkr", "", "any-order")["status"]["phase"] in _AFTER)
        kube.run("delete", "llkr", "any-order")
        kube.delete("openclawagent", TEAM, "any-scout")
        kube.delete("litellmroute", AI, "any-route")
        kube.delete("secret", AI, "any-key")


def _see(kube: Kube, manifest: Object) -> None:
    meta = manifest["metadata"]
    if manifest["kind"] != "Secret":
        eventually(lambda: kube.condition(manifest["kind"], meta.get("namespace", ""), meta["name"]))


@pytest.mark.parametrize("made_by", ["external-secrets", "sealed-secrets"])
def test_secrets_of_other_controllers(kube: Kube, proxy: Proxy, made_by: str) -> None:
    """The master key of a route and the API key of a model, both made, owned and labelled by another controller."""
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"owner-of-{made_by}", "namespace": AI}}
    kube.apply(owner)
    meta = {
        "name": made_by,
        "namespace": AI,
        "labels": {"app.kubernetes.io/managed-by": made_by, "reconcile.external-secrets.io/managed": "true"},
        "annotations": {"reconcile.external-secrets.io/data-hash": "5a1f", "sealedsecrets.bitnami.com/managed": "true"},
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": f"owner-of-{made_by}",
                "uid": kube.must("configmap", AI, f"owner-of-{made_by}")["metadata"]["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    values = {"LITELLM_MASTER_KEY": proxy.master_key, "KEY": "sk-of-a-provider"}
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "immutable": True, "stringData": values})
    before = kube.must("secret", AI, made_by)
    name = f"by-{made_by}"
    kube.apply(_route(name, made_by), agent(name, route=name))
    kube.wait_ready("openclawagent", TEAM, name)
    model = {
        "name": "gpt-4o",
        "litellmParams": {"model": "openai/gpt-4o", "mock_response": "hi"},
        "apiKeySecretRef": {"name": made_by, "key": "KEY"},
    }
    # Deployed with both keys from there; its pods needn't start.
    managed = {
        "database": {"embedded": {"storage": "1Gi"}},
        "masterKeySecretRef": {"name": made_by, "key": "LITELLM_MASTER_KEY"},
    }
    kube.apply(managed_route(f"{name}-too", managed=managed, models=[model]))
    kube.wait_condition("litellmroute", AI, f"{name}-too", "SecretsReady", "True")
    kube.delete("openclawagent", TEAM, name)
    for route in (name, f"{name}-too"):
        kube.delete("litellmroute", AI, route)
    assert kube.must("secret", AI, made_by) == before, "a Secret that isn't ours was changed"
    kube.delete("secret", AI, made_by)
    kube.delete("configmap", AI, f"owner-of-{made_by}")


def _dry(kube: Kube, *args: str, stdin: str | None = None) -> Object:
    """The result of a change, by a dry run."""
    found: Object = json.loads(kube.run(*args, "--dry-run=server", "-o", "json", stdin=stdin).stdout)
    return found


def test_health_in_every_state(kube: Kube, proxy: Proxy, scout: str) -> None:
    def health(kind: str, namespace: str, name: str) -> tuple[str, str]:
        body = kube.must(kind, namespace, name)
        return argo(body)[0], flux(body)

    assert health("litellmroute", AI, "main") == ("Healthy", "Current")
    assert health("openclawagent", TEAM, scout) == ("Healthy", "Current")

    # New: the operator hasn't reconciled it.
    for manifest in (managed_route("new"), agent("new")):
        new = _dry(kube, "create", "-f", "-", stdin=json.dumps(manifest))
        assert argo(new)[0] == "Progressing" and flux(new) in ("InProgress", "Unknown")

    # The status of an older generation doesn't count.
    change = json.dumps({"spec": {"key": {"maxBudget": "7"}}})
    changed = _dry(kube, "-n", TEAM, "patch", "oca", scout, "--type=merge", "-p", change)
    assert changed["status"]["observedGeneration"] < changed["metadata"]["generation"]
    assert argo(changed)[0] == "Progressing" and flux(changed) == "InProgress"

    # Reconciling: a proxy starts, and its agent waits.
    kube.apply(managed_route("starting"), agent("early", route="starting"))
    kube.wait_condition("litellmroute", AI, "starting", "Reconciling", "True")
    kube.wait_condition("openclawagent", TEAM, "early", "Reconciling", "True")
    assert health("litellmroute", AI, "starting") == ("Progressing", "InProgress")
    assert health("openclawagent", TEAM, "early") == ("Progressing", "InProgress")
    kube.delete("openclawagent", TEAM, "early")
    kube.delete("litellmroute", AI, "starting")

    # Stalled: a user has to act, and the message says what to do.
    kube.apply(agent("lost", route="nowhere"), _route("keyless", "no-such-secret"))
    kube.wait_condition("openclawagent", TEAM, "lost", "Stalled", "True")
    kube.wait_condition("litellmroute", AI, "keyless", "Stalled", "True")
    assert health("openclawagent", TEAM, "lost") == ("Degraded", "Failed")
    assert health("litellmroute", AI, "keyless") == ("Degraded", "Failed")
    assert argo(kube.must("openclawagent", TEAM, "lost"))[1].startswith("RouteNotFound: ")

    # Suspended: nothing waits for it.
    kube.patch("openclawagent", TEAM, scout, {"spec": {"suspend": True}})
    kube.wait_condition("openclawagent", TEAM, scout, "Ready", "True", "Suspended")
    assert health("openclawagent", TEAM, scout) == ("Suspended", "Current")
    kube.patch("openclawagent", TEAM, scout, {"spec": {"suspend": False}})

    # Deleting: another controller's finalizer is on it.
    for kind, namespace, name in (("openclawagent", TEAM, "lost"), ("litellmroute", AI, "keyless")):
        kube.patch(kind, namespace, name, {"metadata": {"finalizers": ["example.com/held"]}})
        kube.run("-n", namespace, "delete", kind, name, "--wait=false")
        assert argo(kube.must(kind, namespace, name)) == ("Progressing", "Is being deleted.")
        kube.patch(kind, namespace, name, {"metadata": {"finalizers": None}})
        eventually(lambda kind=kind, namespace=namespace, name=name: kube.get(kind, namespace, name) is None)


ROTATION = {
    "Pending": ("Progressing", "InProgress"),
    "Running": ("Progressing", "InProgress"),
    "Retiring": ("Progressing", "InProgress"),
    "Suspended": ("Suspended", "Current"),
    "Completed": ("Healthy", "Current"),
    "Failed": ("Degraded", "Failed"),
    "Stopped": ("Degraded", "Failed"),
}


def test_health_of_a_rotation(kube: Kube, proxy: Proxy) -> None:
    """Every phase, written in a dry run, and two that the operator sets; the rotation selects no key."""

    def health() -> tuple[str, str]:
        body = kube.must("llkr", "", "resting")
        return argo(body)[0], flux(body)

    new = _rotation("resting", {"nobody": "has-this"}, suspend=True)
    assert argo(_dry(kube, "create", "-f", "-", stdin=json.dumps(new)))[0] == "Progressing"
    kube.apply(new)
    for phase, wanted in ROTATION.items():
        broken = phase in ("Failed", "Stopped")
        states = {
            "Ready": phase in ("Completed", "Suspended"),
            "Reconciling": wanted[0] == "Progressing",
            "Stalled": broken,
        }
        conditions = [
            {
                "type": type_,
                "status": str(holds),
                "reason": phase,
                "message": f"It is {phase}.",
                "lastTransitionTime": "2026-11-24T10:00:00Z",
                "observedGeneration": 1,
            }
            for type_, holds in states.items()
        ]
        status = {"status": {"phase": phase, "observedGeneration": 1, "conditions": conditions}}
        args = ("patch", "llkr", "resting", "--subresource=status", "--type=merge", "-p", json.dumps(status))
        body = _dry(kube, *args)
        assert (argo(body)[0], flux(body)) == wanted, phase
        older = {"status": {**status["status"], "observedGeneration": 0}}
        old = _dry(kube, *args[:-1], json.dumps(older))
        assert argo(old)[0] == "Progressing" and flux(old) == "InProgress"
    eventually(lambda: health() == ROTATION["Suspended"])
    kube.patch("llkr", AI, "resting", {"spec": {"suspend": False}})
    eventually(lambda: health() == ROTATION["Completed"])
    kube.run("delete", "llkr", "resting")


def test_argos_configmap_takes_the_health_checks(kube: Kube, proxy: Proxy) -> None:
    """The component, in a kustomization whose argocd-cm has other settings too."""
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory(dir=root) as folder:
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": {"url": "x"}}
        (Path(folder) / "argocd-cm.json").write_text(json.dumps(config))
        flux_kustomization = {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": "agents", "namespace": "flux-system"},
            "spec": {"interval": "10m", "path": "./agents", "prune": True, "sourceRef": {"kind": "x", "name": "y"}},
        }
        (Path(folder) / "flux.json").write_text(json.dumps(flux_kustomization))
        kustomization = {
            "resources": ["argocd-cm.json", "flux.json"],
            "components": [f"../deploy/components/{tool}" for tool in ("argocd", "flux")],
        }
        (Path(folder) / "kustomization.yaml").write_text(json.dumps(kustomization))
        built = kube.run("kustomize", folder).stdout
        done = kube.run("-n", AI, "create", "--dry-run=server", "-o", "json", "-f", "-", stdin=built.split("---")[0])
        data = json.loads(done.stdout)["data"]
        assert data.pop("url") == "x"
        kinds = ("LiteLLMRoute", "OpenClawAgent", "LiteLLMKeyRotation")
        assert data.keys() == {f"resource.customizations.health.litclaw.dev_{kind}" for kind in kinds}
        assert "healthCheckExprs" in built and "interval: 10m" in built


def test_the_command_of_the_docs_adds_them_to_an_argo_cd_that_runs(kube: Kube, proxy: Proxy, root: Path) -> None:
    text = (root / "docs" / "gitops.md").read_text()
    [command] = re.findall(
        r"^kubectl create configmap argocd-cm.*?^  \| kubectl apply[^\n]*", text, re.MULTILINE | re.DOTALL
    )
    make, put = (shlex.split(part)[1:] for part in command.replace("\\\n", " ").split(" | "))
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "namespace": AI}}
    kube.apply({**config, "data": {"url": "https://argo.example.com"}})
    made = kube.run(*(word.replace("=deploy/", f"={root}/deploy/") for word in make)).stdout
    kube.run(*(AI if word == "argocd" else word for word in put), stdin=made)
    data = kube.must("configmap", AI, "argocd-cm")["data"]
    assert data.keys() >= {"url", "resource.customizations.health.litclaw.dev_LiteLLMKeyRotation"} and len(data) == 4
    kube.delete("configmap", AI, "argocd-cm")
