"""What no watch reports: when the first list is complete, what vanished during a later one, and single namespaces."""

import asyncio
from typing import cast

import pytest
from litclaw.handlers.intake import Intake
from litclaw.handlers.relist import keep_pruning, read_namespaces, wait_until_cached
from litclaw.kube.cache import Cache
from litclaw.kube.client import Kube
from litclaw.kube.errors import InvalidError, KubeError, UnavailableError
from litclaw.kube.resources import AGENT, ROUTE, Resource
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.queue import Request

from .scenes import Body, FakeKube, agent_body, route_body, until


class Listed(FakeKube):
    """An API server that may fail.

    Attributes:
        fails: the exceptions of the next lists and reads.
        namespaces: the namespaces that were listed.
    """

    def __init__(self, *objects: Body) -> None:
        super().__init__(*objects)
        self.fails: list[KubeError] = []
        self.namespaces: list[str | None] = []

    async def uids(self, resource: Resource, *, labels: str = "", namespace: str | None = None) -> tuple[set[str], int]:
        """The uids of a kind."""
        self.namespaces.append(namespace)
        if self.fails:
            raise self.fails.pop(0)
        return await super().uids(resource, labels=labels, namespace=namespace)

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body | None:
        """One object, without its type."""
        if self.fails:
            raise self.fails.pop(0)
        found = await super().get(resource, namespace, name)
        return {name: value for name, value in found.items() if name not in ("apiVersion", "kind")} if found else None


def as_kube(fake: FakeKube) -> Kube:
    return cast(Kube, fake)


@pytest.fixture(autouse=True)
def intervals_of_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "UIDS_RESYNC", 0.02)
    monkeypatch.setattr(intervals, "FILLED_POLL", 0.01)


# The first list


async def test_the_cache_is_filled_when_it_has_every_object() -> None:
    bodies = [agent_body("a", "u"), agent_body("b", "v"), route_body()]
    kube, cache = Listed(*bodies), Cache()
    filled = asyncio.create_task(wait_until_cached(as_kube(kube), cache, (AGENT, ROUTE), ()))
    for body in bodies:
        await asyncio.sleep(0.02)
        assert not filled.done()
        cache.store(body)
    await asyncio.wait_for(filled, 10)
    assert kube.lists == 2, "one list of each kind"


async def test_an_object_that_is_deleted_meanwhile_is_not_waited_for() -> None:
    kube, cache = Listed(agent_body("a", "u"), agent_body("gone", "v")), Cache()
    cache.store(agent_body("a", "u"))
    filled = asyncio.create_task(wait_until_cached(as_kube(kube), cache, (AGENT,), ()))
    await asyncio.sleep(0.01)
    del kube.objects["OpenClawAgent", "n", "gone"]
    await asyncio.wait_for(filled, 10)
    assert kube.lists == 2


async def test_where_there_is_nothing_the_cache_is_filled_at_once() -> None:
    await asyncio.wait_for(wait_until_cached(as_kube(Listed()), Cache(), (AGENT, ROUTE), ("n",)), 10)


async def test_only_the_namespaces_that_are_served_are_listed() -> None:
    kube, cache = Listed(agent_body("a", "u"), agent_body("b", "v", namespace="other")), Cache()
    cache.store(agent_body("a", "u"))
    await asyncio.wait_for(wait_until_cached(as_kube(kube), cache, (AGENT,), ("n", "m")), 10)
    assert kube.namespaces == ["n", "m"]


# What vanished


async def test_vanished_objects_are_removed_and_enqueued() -> None:
    kube, cache, enqueued = Listed(agent_body("b", "v")), Cache(), cast(list[Request], [])
    for body in (agent_body("a", "u"), agent_body("b", "v")):
        cache.store(body)
    kube.fails.append(UnavailableError(0, "Unreachable", ""))
    task = asyncio.create_task(keep_pruning(as_kube(kube), Intake(cache, enqueued.append), (AGENT, ROUTE), ()))
    await until(lambda: enqueued)
    assert enqueued == [("OpenClawAgent", "n", "a")] and [
        each["metadata"]["uid"] for each in cache.all("OpenClawAgent")
    ] == ["v"]
    assert not task.done(), "an error of the API server doesn't end it"
    task.cancel()


async def test_an_object_that_is_newer_than_the_list_stays() -> None:
    kube, cache = Listed(), Cache()
    cache.store(agent_body("a", "u", resourceVersion="1000000"))
    task = asyncio.create_task(keep_pruning(as_kube(kube), Intake(cache, lambda request: None), (AGENT,), ()))
    await until(lambda: kube.lists >= 2)
    assert cache.get("OpenClawAgent", "n", "a")
    task.cancel()


# Single namespaces


def namespace(version: int, **labels: str) -> Body:
    meta = {"name": "n", "uid": "n", "resourceVersion": str(version), "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


async def test_labels_of_a_namespace_are_read_and_its_agents_enqueued_if_they_changed() -> None:
    kube, cache, enqueued = Listed(namespace(1, team="a")), Cache(), cast(list[Request], [])
    cache.store(agent_body())

    async def read() -> bool:
        enqueued.clear()
        return await read_namespaces(as_kube(kube), cache, enqueued.append, ["n", "missing"])

    assert await read() and enqueued == [("OpenClawAgent", "n", "a")]
    found = cache.get("Namespace", "", "n")
    assert found and found["metadata"]["labels"] == {"team": "a"}
    assert await read() and enqueued == []
    kube.objects["Namespace", "", "n"] = namespace(2, team="b")
    assert await read() and enqueued == [("OpenClawAgent", "n", "a")]
    del kube.objects["Namespace", "", "n"]
    assert await read() and enqueued == [("OpenClawAgent", "n", "a")] and cache.get("Namespace", "", "n") is None


@pytest.mark.parametrize(
    ("error", "answered"), [(UnavailableError(0, "", ""), False), (InvalidError(403, "", ""), True)]
)
async def test_a_namespace_that_may_not_be_read_is_left_out_and_an_api_server_that_is_away_is_not(
    error: KubeError, answered: bool
) -> None:
    kube = Listed(namespace(1))
    kube.fails.append(error)
    assert await read_namespaces(as_kube(kube), Cache(), lambda request: None, ["n"]) is answered
