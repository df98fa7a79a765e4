"""Tests of localkube, with real clusters, where kind can't run; elsewhere kind is used, and these tests are skipped."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.cluster import docker_runs

from .support import ROOT, Kind, Kube, eventually

sys.path.insert(0, str(ROOT / "localkube"))

NAME = "localkube-test"


@pytest.fixture(scope="package")
def kind(tmp_path_factory: pytest.TempPathFactory) -> Kind:
    """The command, with its own kubeconfig."""
    if docker_runs():
        pytest.skip("Docker runs here, so kind makes the clusters and localkube isn't used")
    return Kind(tmp_path_factory.mktemp("kind") / "kubeconfig")


@pytest.fixture(scope="package")
def kube(kind: Kind, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Kube]:
    """A cluster that all tests share."""
    kubeconfig = tmp_path_factory.mktemp("shared") / "kubeconfig"
    kind.run("delete", "cluster", f"--name={NAME}", f"--kubeconfig={kubeconfig}")
    # The very first time this takes ten minutes, so its progress is shown.
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        kind.show("create", "cluster", f"--name={NAME}", f"--kubeconfig={kubeconfig}")
    yield Kube(kubeconfig)
    kind.run("delete", "cluster", f"--name={NAME}", f"--kubeconfig={kubeconfig}")


@pytest.fixture(scope="module")
def namespace(kube: Kube, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty namespace for the tests of one file."""
    name = Path(request.path).stem.replace("_", "-")
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    # Without that account the API server refuses pods.
    eventually(lambda: kube.kubectl("-n", name, "get", "serviceaccount", "default", check=False).returncode == 0)
    yield name
    kube.kubectl("delete", "namespace", name, "--wait=false")
