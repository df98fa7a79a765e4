"""The calls of pytest-kind and of ``kind``'s users, with a cluster that runs."""

import urllib.request
from pathlib import Path

import pytest
from localkube_kind import image
from pytest_kind import KindCluster

from .conftest import NAME
from .support import KUBECTL, Kind, Kube, pod

HELLO = "localhost/localkube-test/hello:1"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An image archive that no cluster has loaded: busybox under another name."""
    target = tmp_path / "hello.tar"
    image.write_archive(target, HELLO, {"hello": Path("/bin/busybox")}, ["/hello"])
    return target


def test_the_version_names_the_kubernetes_release(kind: Kind, kube: Kube) -> None:
    release = kube.kubectl("version", "-o", "json").stdout
    assert kind.run("version").split()[-1] in release


def test_the_cluster_is_listed_and_its_kubeconfig_can_be_had_again(kind: Kind, kube: Kube, tmp_path: Path) -> None:
    assert NAME in kind.clusters()
    again = tmp_path / "kubeconfig"
    again.write_text(kind.run("get", "kubeconfig", f"--name={NAME}"))
    assert Kube(again).kubectl("config", "current-context").stdout.strip() == f"kind-{NAME}"
    assert Kube(again).kubectl("get", "nodes").returncode == 0


def test_an_image_archive_is_loaded_and_runs(kind: Kind, kube: Kube, namespace: str, archive: Path) -> None:
    assert kind.call("load", "docker-image", f"--name={NAME}", HELLO).returncode == 1
    kind.run("load", "image-archive", f"--name={NAME}", str(archive))
    kind.run("load", "docker-image", f"--name={NAME}", HELLO)
    kube.apply(pod(namespace, "hello", "sleep", "600", image=HELLO))
    kube.wait(namespace, "pod/hello", "condition=Ready")


def test_loading_an_image_that_nobody_built_says_what_to_do(kind: Kind, kube: Kube) -> None:
    done = kind.call("load", "docker-image", f"--name={NAME}", "nobody/built:this")
    assert done.returncode == 1
    assert "build it with images/build" in done.stderr


def test_loading_into_a_cluster_that_is_not_there_says_what_to_do(kind: Kind) -> None:
    done = kind.call("load", "docker-image", "--name=localkube-nobody", HELLO)
    assert done.returncode == 1
    assert "kind create cluster --name localkube-nobody" in done.stderr


def test_pytest_kind_takes_the_cluster_that_is_there(
    kind: Kind, kube: Kube, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cluster = KindCluster(NAME, kube.kubeconfig, kind_path=kind.path, kubectl_path=KUBECTL)
    cluster.create()
    assert NAME in cluster.kubectl("get", "nodes")
    kube.apply(pod(namespace, "web", "httpd", "-f", "-p", "8080", "-h", "/etc"))
    kube.wait(namespace, "pod/web", "condition=Ready")
    # pytest-kind gives this kubectl no environment but KUBECONFIG. Each retry starts it again, a second later.
    with (
        cluster.port_forward("pod/web", 8080, "-n", namespace, retries=5) as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/hostname") as page,
    ):
        assert page.read().decode().strip() == "web"
