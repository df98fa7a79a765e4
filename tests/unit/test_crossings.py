"""The fault campaign's stories that cross objects, told to the reconcilers in memory: cut off after each write.

`make chaos` tells them to the whole operator on a real cluster. Here a fake API server and fake proxies are enough to kill the
operator after each of its writes in turn, or to lose each response in turn, in a minute.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from litclaw.kube.errors import KubeError, UnavailableError
from litclaw.kube.resources import BY_KIND, OWNED_KINDS, Resource
from litclaw.litellm.errors import UnreachableError
from litclaw.litellm.transport import Response
from litclaw.net.address import Reach
from litclaw.reconcile.core import intervals

from tests.chaos import lifecycle
from tests.chaos.calls import case_of_alias, kube_name, litellm_name
from tests.chaos.crossings import CROSSINGS
from tests.chaos.end_state import delivered, difference, seen
from tests.chaos.played import played
from tests.chaos.stage import KINDS, MANAGER, NAMESPACE_NAME, SPENT, Object, Snapshot, Stage
from tests.chaos.story import Story
from tests.chaos.tenants import Tenants
from tests.chaos.under_test import SHORTER
from tests.chaos.upstream import Answer
from tests.chaos.world import World as FaultyWorld

from .handled import MASTER, Handler, Request
from .proxies import FakeProxy
from .scenes import Body, FakeKube, Proxies, namespace_body
from .test_revocation import World

CASE = "c001"
"""What two workers answer is made up by the faulty world alone."""
MOST_WRITES = 40
ROUNDS = 25


class KilledError(BaseException):
    """The operator is dead: no handler of its own may see this."""


class Cut:
    """Kills the operator after its n-th write, or loses the response.

    Attributes:
        at: which; 0: none.
        kills: True if it kills.
        writes: how many there were.
    """

    def __init__(self) -> None:
        self.at = self.writes = 0
        self.kills = True

    def arm(self, at: int, *, kills: bool) -> None:
        """Count from here."""
        self.at, self.kills, self.writes = at, kills, 0

    def after(self, lost: Exception) -> None:
        """Called after each write.

        Raises:
            KilledError: it was the one.
            Exception: it was the one, and the operator lives.
        """
        self.writes += 1
        if self.writes == self.at:
            raise KilledError if self.kills else lost


class Kube(FakeKube):
    """An API server with garbage collection, and workloads that run."""

    def __init__(self, cut: Cut, world: FaultyWorld, *objects: Body) -> None:
        super().__init__(*objects)
        self._cut = cut
        self._faulty = world

    async def apply(
        self, manifest: Mapping[str, Any], *, subresource: str | None = None, dry_run: bool = False, **given: object
    ) -> Body:
        body = await super().apply(manifest, subresource=subresource, dry_run=dry_run)
        resource, meta = BY_KIND[manifest["kind"]], manifest["metadata"]
        name = kube_name("PATCH", resource.path(meta.get("namespace"), meta["name"]))
        if resource.plural in ("deployments", "jobs"):
            body = json.loads(played(json.dumps(body).encode(), name.call))
            self.objects[(manifest["kind"], meta["namespace"], meta["name"])] = body
        if not dry_run and given.get("manager") != MANAGER:
            self._faulty.record_written(name, json.dumps(manifest).encode())
            self._cut.after(UnavailableError(0, "Timeout", "no response"))
        return body

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str) -> None:
        await super().delete(resource, namespace, name, uid=uid)
        self._cut.after(UnavailableError(0, "Timeout", "no response"))

    def advance(self) -> None:
        """Somebody else writes: the next version is another one than the next of what he writes."""
        self._version += 10

    def collect(self) -> None:
        """Delete what has lost its owner."""
        living = {body["metadata"].get("uid") for body in self.objects.values()}
        for key, body in list(self.objects.items()):
            owners = body["metadata"].get("ownerReferences") or []
            if owners and not any(each["uid"] in living for each in owners):
                del self.objects[key]


class ByURL(dict[str, Handler]):
    """A handler for each proxy that is called."""

    def __init__(self, make: Callable[[str], Handler]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, url: str) -> Handler:
        return self._make(url)


class Servers:
    """The fake proxies, as the campaign calls the real ones."""

    def __init__(self, of_tenant: Callable[[str], FakeProxy]) -> None:
        self._of_tenant = of_tenant

    def master_of(self, tenant: str) -> str:
        """The master key of a tenant's proxy."""
        return MASTER.get_secret_value()

    async def read(self, tenant: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Pass a GET on."""
        return await self.call(tenant, "GET", path, headers)

    async def call(
        self, tenant: str, method: str, path: str, headers: Mapping[str, str], body: bytes = b"{}"
    ) -> Answer:
        """Pass a request on."""
        url, bearer = urlsplit(path), headers["Authorization"].removeprefix("Bearer ")
        request = Request(method, url.path, bearer, dict(parse_qsl(url.query)), json.loads(body))
        response = await self._of_tenant(tenant).answer(request)
        return response.status, {}, response.content


class Theatre(World):
    """A cluster, two proxies, and an operator that dies at one write.

    Attributes:
        faulty: keeps the campaign's record of the case.
    """

    def __init__(self) -> None:
        super().__init__(kills=False)
        self.cut = Cut()
        self.faulty = FaultyWorld(cast(Any, None), cast(Any, None), NAMESPACE_NAME)
        self.faulty.litellm_port = 4000
        self.kube = Kube(self.cut, self.faulty, namespace_body(NAMESPACE_NAME))
        self.main, self.other = FakeProxy(self.clock), FakeProxy(self.clock)
        for proxy in (self.main, self.other):
            proxy.models["gpt-4o"] = {}
        self.proxies = Proxies({})
        self.proxies.handlers = ByURL(self._of_tenant)
        self._tenants = Tenants(cast(Any, Servers(self.proxy_of)), NAMESPACE_NAME)

    def proxy_of(self, tenant: str) -> FakeProxy:
        """The proxy of a tenant."""
        return self.other if tenant.endswith("-b") else self.main

    def _of_tenant(self, url: str) -> Handler:
        tenant = url.removesuffix(":4000").removesuffix(".svc.cluster.local").rpartition("/")[2]

        async def answer(request: Request) -> Response:
            body, given = json.dumps(request.body).encode(), dict(request.params)
            self.faulty.check_ends(litellm_name(request.method, tenant, request.path), request.path, body)
            headers = {"Authorization": f"Bearer {request.bearer}"}
            as_sent = SimpleNamespace(
                method=request.method, headers=headers, query=given, query_string=urlencode(given)
            )
            master = self.faulty.cases[CASE].master
            status, _, content = await self._tenants.answer(tenant, cast(Any, as_sent), request.path, body, master)
            response = Response(status, content)
            if request.method == "POST":
                self.cut.after(UnreachableError("no response"))
            return response

        return answer

    async def _round(self) -> None:
        self.kube.collect()
        for body in self.kube.objects.values():
            self.context.cache.store(body)
        for kind in OWNED_KINDS:
            for body in self.context.cache.all(kind.kind):
                if (kind.kind, body["metadata"]["namespace"], body["metadata"]["name"]) not in self.kube.objects:
                    self.context.cache.remove(body)
        try:
            with suppress(KubeError):
                await super()._round()
        except KilledError:
            await self.restart()


class FakeStage(Stage):
    """People who change the cluster in memory. Each look at it lets the operator work before."""

    def __init__(self, theatre: Theatre) -> None:
        ends = SimpleNamespace(
            ends=("", "-b"),
            end=lambda tenant: "-b" if tenant.endswith("-b") else "",
            master_of=lambda tenant: MASTER.get_secret_value(),
        )
        super().__init__(cast(Any, theatre.kube), cast(Any, ends), theatre.faulty)
        self._theatre = theatre
        self._uids = 0

    async def apply(self, manifest: Object) -> Object:
        self.applied.add((manifest["kind"], manifest["metadata"]["name"]))
        self._uids += 1
        self._theatre.kube.advance()
        fresh = {"uid": f"given-{self._uids}", "resourceVersion": "1", "generation": 1}
        self._theatre.put({**manifest, "metadata": {**manifest["metadata"], **fresh}})
        return manifest

    async def delete(self, resource: Resource, name: str) -> None:
        self.applied.discard((resource.kind, name))
        self._theatre.kube.advance()
        if (resource.kind, NAMESPACE_NAME, name) in self._theatre.kube.objects:
            self._theatre.delete(resource.kind, name, NAMESPACE_NAME)

    async def spend(self, case: str, token: str) -> None:
        self._theatre.proxy_of(case).rows[token]["spend"] = SPENT

    async def snapshot(self) -> Snapshot:
        await self._theatre.settle(1, seconds=3)
        found = Snapshot({kind.kind: {} for kind in KINDS})
        for (kind, namespace, name), body in self._theatre.kube.objects.items():
            if kind in found.objects and namespace == NAMESPACE_NAME:
                found.objects[kind][name] = {**body, "kind": kind}
        for end, proxy in (("", self._theatre.main), ("-b", self._theatre.other)):
            for row in proxy.rows.values():
                case = case_of_alias(row.get("key_alias") or "", NAMESPACE_NAME)
                found.keys.setdefault(case, []).append({**row, "at": end})
        return found

    async def clear(self, cases: object = None) -> None:
        """Nothing: the theatre ends."""

    async def forget_keys(self, case: str | None = None) -> None:
        self._theatre.main.rows.clear()


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    async def locate(*_: object) -> tuple[Reach, bool]:
        return Reach.PRIVATE, True

    for name, seconds in SHORTER.items():
        monkeypatch.setattr(intervals, name, seconds)
    for name in ("HURRY", "OBSERVE"):
        monkeypatch.setattr(intervals, name, 0.001)
    for name in ("_BEGIN_SECONDS", "_END_SECONDS"):
        monkeypatch.setattr(lifecycle, name, 15.0)
    monkeypatch.setattr(lifecycle, "POLL_SECONDS", 0.0)
    monkeypatch.setattr("litclaw.reconcile.route.reconcile.locate", locate)


@asynccontextmanager
async def begun(story: Story) -> AsyncIterator[tuple[Theatre, FakeStage]]:
    """A theatre at the beginning of a story; at its end, no key may be left."""
    theatre = Theatre()
    stage = FakeStage(theatre)
    try:
        await lifecycle.begin(stage, {CASE: story})
        stage.world.lay(CASE, None)
        yield theatre, stage
        assert await lifecycle.finish(stage, {CASE: story}, print) == {}
    finally:
        await theatre.context.proxies.close()


async def told(story: Story) -> tuple[Object, int]:
    """The end state of a story without a fault, and the number of writes."""
    async with begun(story) as (theatre, stage):
        theatre.cut.arm(0, kills=False)
        await story.act(stage, CASE)
        for _ in range(ROUNDS):
            snapshot = await stage.snapshot()
        assert not stage.world.cases[CASE].wrong
        state, writes = seen(snapshot, CASE), theatre.cut.writes
        assert story.promise(state), state
        if story.accepted:
            assert len(delivered(snapshot, CASE)) == story.keys
            assert [key["spend"] for key in state["keys"]] == [_spent(story)] * story.keys
    return state, writes


def _spent(story: Story) -> float:
    moves = (story.tenant == "-b") != (story.tenant_before == "-b")
    return SPENT if story.begin and not moves else 0.0


async def _told_with_a_cut(story: Story, wanted: Object, at: int, *, kills: bool) -> None:
    async with begun(story) as (theatre, stage):
        theatre.cut.arm(at, kills=kills)
        await story.act(stage, CASE)
        for _ in range(ROUNDS):
            if not (found := difference(wanted, seen(await stage.snapshot(), CASE))) and theatre.cut.writes >= at:
                break
        assert not found and not stage.world.cases[CASE].wrong
        assert not difference(wanted, seen(await stage.snapshot(), CASE)), "and it stays so"


@pytest.mark.parametrize("kills", [True, False], ids=["killed", "response lost"])
@pytest.mark.parametrize("story", CROSSINGS, ids=lambda story: story.name)
async def test_a_story_ends_alike_after_whichever_write_the_operator_is_cut_off(story: Story, kills: bool) -> None:
    wanted, writes = await told(story)
    assert 0 < writes < MOST_WRITES, "the operator has written, and is at rest"
    for at in range(1, writes + 1):
        await _told_with_a_cut(story, wanted, at, kills=kills)
