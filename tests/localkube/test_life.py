"""A cluster from its creation to its deletion, also if something goes wrong in between."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from localkube_kind.layout import Layout

from .support import Kind, Kube, descendants, eventually, machine, namespaces, pod, processes_of

# The cluster that the tests of this file make and delete; each test accepts it in any state.
NAME = "localkube-life"


@pytest.fixture(scope="module", autouse=True)
def _ended(kind: Kind) -> Iterator[None]:
    yield
    kind.run("delete", "cluster", f"--name={NAME}")


def _have_cluster(kind: Kind) -> int:
    """Make the cluster unless it exists; returns its first process."""
    if NAME not in kind.clusters():
        kind.run("create", "cluster", f"--name={NAME}")
    return int(json.loads(_state_file().read_text())["pid"])


def _state_file() -> Path:
    return Layout(NAME).state_file


def test_a_create_that_is_killed_leaves_no_node(kind: Kind) -> None:
    kind.run("delete", "cluster", f"--name={NAME}")
    with kind.start("create", "cluster", f"--name={NAME}") as creation:
        assert creation.stderr
        assert any("installing DNS" in line for line in creation.stderr), "the node came up"
        assert processes_of(NAME)
        assert NAME not in kind.clusters(), "half a cluster is none"
        creation.kill()
    eventually(lambda: not processes_of(NAME))


def test_of_two_creates_at_once_one_makes_the_cluster_and_the_other_says_that_it_exists(kind: Kind) -> None:
    with (
        kind.start("create", "cluster", f"--name={NAME}") as one,
        kind.start("create", "cluster", f"--name={NAME}") as two,
    ):
        ends = sorted((each.communicate()[1], each.returncode) for each in (one, two))
    assert sorted(status for _, status in ends) == [0, 1], ends
    [refused] = [said for said, status in ends if status]
    assert f'node(s) already exist for a cluster with the name "{NAME}"' in refused
    assert "waiting for another localkube command" in refused
    assert NAME in kind.clusters()


def test_a_cluster_whose_node_was_killed_is_not_listed_and_can_be_created_again(kind: Kind) -> None:
    os.kill(_have_cluster(kind), signal.SIGKILL)
    eventually(lambda: not processes_of(NAME))
    assert NAME not in kind.clusters()
    assert _state_file().exists(), "what it left is still there"
    kind.run("create", "cluster", f"--name={NAME}")
    assert NAME in kind.clusters()
    nodes = Kube(kind.kubeconfig).kubectl("get", "nodes", "-o", "name").stdout
    assert nodes.split() == [f"node/{NAME}-control-plane"]


def test_the_nodes_components_weigh_as_on_other_nodes(kind: Kind) -> None:
    found = {}
    for pid in descendants(_have_cluster(kind)):
        with suppress(OSError, IndexError):
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            found[words[1]] = Path(f"/proc/{pid}/cgroup").read_text()
    for component in ("kube-apiserver", "etcd", "kube-scheduler", "kube-controller-manager"):
        assert f"localkube-{NAME}/node/{component}\n" in found[component]
    assert f"localkube-{NAME}/node/system\n" in found["kubelet"]


def test_what_was_left_before_a_reboot_names_no_process_of_now(kind: Kind) -> None:
    os.kill(_have_cluster(kind), signal.SIGKILL)
    eventually(lambda: not processes_of(NAME))
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    state = {"pid": os.getpid(), "started": started, "boot": "00000000-0000-0000-0000-000000000000"}
    _state_file().write_text(json.dumps(state))
    assert NAME not in kind.clusters()
    kind.run("delete", "cluster", f"--name={NAME}")
    assert not _state_file().parent.exists(), "and this process is still alive to see it"


def test_a_cluster_beside_another_works_and_leaves_nothing_when_it_is_deleted(kind: Kind, kube: Kube) -> None:
    kind.run("delete", "cluster", f"--name={NAME}")
    before = machine(NAME)
    first = _have_cluster(kind)
    own = Kube(kind.kubeconfig)
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    writer = pod("default", "writer", "sleep", "600", volumeMounts=[{"name": "data", "mountPath": "/data"}])
    writer["spec"]["volumes"] = [volume]
    meta = {"namespace": "default", "name": "data"}
    own.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": claim}, writer)
    own.wait("default", "pod/writer", "condition=Ready")
    assert kube.kubectl("get", "nodes").returncode == 0, "the other cluster, which has the same addresses"
    tree, spaces = descendants(first), namespaces(descendants(first)) - namespaces([os.getpid()])
    assert len(tree) > 15
    assert len(spaces) > 5
    assert machine(NAME)["cgroups"]

    kind.run("delete", "cluster", f"--name={NAME}")

    assert not processes_of(NAME)
    assert not spaces & namespaces(), "a process is still in one of its namespaces"
    assert not _state_file().parent.exists()
    assert machine(NAME) == before
    contexts = own.kubectl("config", "get-contexts", "-o", "name").stdout.split()
    assert f"kind-{NAME}" not in contexts
    assert kube.kubectl("get", "nodes").returncode == 0, "the other cluster goes on"


def test_deleting_a_cluster_that_is_not_there_is_no_error(kind: Kind) -> None:
    kind.run("delete", "cluster", "--name=localkube-nobody")


@pytest.mark.parametrize("name", ["..", "../../elsewhere", "/", "", "Upper", "a" * 49])
def test_a_name_that_could_lead_elsewhere_is_refused(kind: Kind, name: str) -> None:
    for verb in ("create", "delete"):
        done = kind.call(verb, "cluster", f"--name={name}")
        assert done.returncode == 1
        assert "is not a cluster's name" in done.stderr
