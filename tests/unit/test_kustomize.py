"""The overlays and the docs' kustomizations build: from here, and by URL from a git repository, as a release's users do."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from litclaw import __version__

ROOT = Path(__file__).resolve().parents[2]
RELEASE = f"v{__version__}"
_URL = "https://github.com/litclaw/litclaw//"
_AS_IN_CHECKOUTS = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def kubectl() -> str:
    """The kubectl of the machine, or the one that localkube has built."""
    for found in (shutil.which("kubectl"), str(ROOT / "localkube" / "kubectl")):
        if found:
            done = subprocess.run([found, "version", "--client"], check=False, capture_output=True, timeout=60)
            if done.returncode == 0:
                return found
    pytest.skip("there is no kubectl yet")


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What kustomize fetches, as the release, in a git repository of its own; its URL up to the folder."""
    if not shutil.which("git"):
        pytest.skip("there is no git")
    at = tmp_path_factory.mktemp("repository")
    for folder in ("deploy", "crds"):
        shutil.copytree(ROOT / folder, at / folder)
    _run("git", "init", "-q", str(at))
    _run("git", "-C", str(at), "add", "-A")
    _run("git", "-C", str(at), *_AS_IN_CHECKOUTS, "commit", "-q", "-m", "release")
    _run("git", "-C", str(at), "tag", "--no-sign", RELEASE)
    return f"file://{at}//"


def _build(kubectl: str, folder: Path | str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(_run(kubectl, "kustomize", str(folder))))


def _blocks() -> list[tuple[str, str]]:
    """The docs' kustomizations that name nothing but URLs."""
    found = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            body = next(yaml.safe_load_all(block))
            ours = isinstance(body, dict) and body.get("kind") == "Kustomization"
            if ours and all("://" in each for each in body["resources"]):
                found.append((page.name, block))
    return found


@pytest.mark.parametrize("overlay", ["default", "high-availability", "namespaced", "development"])
def test_an_overlay_builds_from_a_url_as_from_here(kubectl: str, repository: str, tmp_path: Path, overlay: str) -> None:
    url = f"{repository}deploy/{overlay}?ref={RELEASE}"
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [url]}))
    by_url = _build(kubectl, tmp_path)
    assert by_url == _build(kubectl, ROOT / "deploy" / overlay)
    # Everything can be found by its label, and the CRDs can be told from it: docs/uninstall.md.
    assert all(body["metadata"]["labels"]["app.kubernetes.io/name"] == "litclaw" for body in by_url)
    apart = [body for body in by_url if body["metadata"]["labels"].get("app.kubernetes.io/component") == "crds"]
    assert apart == [body for body in by_url if body["kind"] == "CustomResourceDefinition"] and len(apart) == 3


@pytest.mark.parametrize("number", range(len(_blocks())), ids=[page for page, _ in _blocks()])
def test_a_kustomization_of_the_docs_builds(kubectl: str, repository: str, tmp_path: Path, number: int) -> None:
    page, text = _blocks()[number]
    (tmp_path / "kustomization.yaml").write_text(text.replace(_URL, repository))
    built = _build(kubectl, tmp_path)
    assert len(built) > 10
    if "NetworkPolicy" in text:
        [policy] = [body for body in built if body["kind"] == "NetworkPolicy"]
        assert [each["port"] for rule in policy["spec"]["egress"][-2:] for each in rule["ports"]] == [7443, 8000]
    if "crash-logs" in text:
        [role] = [body for body in built if (body["kind"], body["metadata"]["name"]) == ("ClusterRole", "litclaw")]
        assert role["rules"][-1] == {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}
        [deployment] = [body for body in built if body["kind"] == "Deployment"]
        assert deployment["spec"]["template"]["spec"]["containers"][0]["args"][-1] == "--crash-logs"
    if page == "admission.md":
        assert [body["kind"] for body in built].count("ValidatingAdmissionPolicy") == 5
    if page == "monitoring.md":
        assert {"PodMonitor", "PrometheusRule", "ConfigMap"} <= {body["kind"] for body in built}


def test_crash_logs_are_read_in_the_namespaces_of_the_operator_alone(kubectl: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    shutil.copytree(ROOT / "crds", tmp_path / "crds")
    (tmp_path / "own").mkdir()
    own = {"resources": ["../deploy/namespaced"], "components": ["../deploy/components/crash-logs"]}
    (tmp_path / "own" / "kustomization.yaml").write_text(yaml.safe_dump(own))
    built = _build(kubectl, tmp_path / "own")
    readers = {
        (body["kind"], body["metadata"].get("namespace"))
        for body in built
        for rule in body.get("rules", [])
        if "pods/log" in rule["resources"]
    }
    assert readers == {("Role", "ai"), ("Role", "team-a")}


def test_the_docs_name_kustomizations_by_a_release() -> None:
    """A URL without ?ref= is whatever the main branch is today."""
    assert len(_blocks()) >= 3
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", *(ROOT / "deploy").rglob("*.yaml")]
    found = [
        url
        for page in pages
        for url in re.findall(r"(?:https://)?github\.com/litclaw/litclaw/+deploy[^\s\"\]]*", page.read_text())
    ]
    assert len(found) >= 8
    for url in found:
        assert re.fullmatch(rf"{_URL}deploy/[a-z/-]+\?ref={re.escape(RELEASE)}", url), url
