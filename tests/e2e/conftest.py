"""One real cluster for all tests here: kind where Docker runs, localkube elsewhere (see dev/cluster.py).

LITCLAW_INSTALL=0 leaves images and operator unchanged, for work on a test with a cluster that is kept.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_kind import KindCluster

from dev.cluster import Cluster, install, of_kind, sayer, tools

from .kube import Kube
from .main_route import make_main
from .networks import operator_policy
from .proxy import Proxy
from .resources import AI, TEAM, agent


def pytest_configure(config: pytest.Config) -> None:
    """Set which kind and kubectl to use, unless the command line does."""
    for option, path in zip(("kind_bin", "kind_kubectl_bin"), tools(), strict=True):
        if path and not getattr(config.option, option, None):
            setattr(config.option, option, str(path))
    if config.option.cluster_name == "pytest-kind":
        config.option.cluster_name = "litclaw-test"
    # Each worker of pytest-xdist has a cluster of its own, because some tests stop the proxy that others use.
    if worker := getattr(config, "workerinput", {}).get("workerid"):
        config.option.cluster_name += f"-{worker}"


# A worker takes one file after another in this order, so the longest files come first.
# The story begins and ends with a cluster without Litclaw, so it is fastest in an empty one.
_LONGEST = (
    "test_story",
    "test_faults",
    "test_hostile_tenants",
    "test_rotation_under_load",
    "test_roll_out",
    "test_rotation",
    "test_rotation_of_a_failing_proxy",
    "test_rotation_of_one_key",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the files that take longest to the front."""
    last = len(_LONGEST)
    items.sort(key=lambda item: _LONGEST.index(item.path.stem) if item.path.stem in _LONGEST else last)


@pytest.fixture(scope="session")
def cluster(kind_cluster: KindCluster) -> Cluster:
    """The cluster with the images in its node and the operator deployed from deploy/."""
    found = of_kind(kind_cluster)
    if os.environ.get("LITCLAW_INSTALL") != "0":
        install(found, sayer())
    # The tests' own servers listen at ports that the operator's default policy doesn't open.
    Kube(found).apply(operator_policy(AI))
    return found


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster) -> Callable[..., object]:
    """kubectl as the cluster's administrator."""
    return cluster.run


@pytest.fixture(scope="session")
def kube(cluster: Cluster) -> Kube:
    """Objects in and out of the cluster as dicts."""
    return Kube(cluster)


@pytest.fixture(scope="session")
def proxy(kube: Kube) -> Iterator[Proxy]:
    """The route ``main`` in namespace ``ai``, ready, and its LiteLLM."""
    found = Proxy(kube, AI, "main-litellm", make_main(kube))
    yield found
    found.close()


@pytest.fixture
def scout(kube: Kube, proxy: Proxy) -> Iterator[str]:
    """A ready agent of namespace ``team-a``; gone afterwards."""
    name = "scout"
    kube.apply(agent(name))
    kube.wait_ready("openclawagent", TEAM, name)
    yield name
    kube.delete("openclawagent", TEAM, name)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[2]
