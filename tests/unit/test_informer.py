"""What an informer handles when its watch is cut, has expired or is refused, and when the cluster doesn't know the kind."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from litclaw.kube import connection as connection_module
from litclaw.kube import informer as informer_module
from litclaw.kube.client import Kube
from litclaw.kube.informer import Informer
from litclaw.kube.resources import AGENT, CONFIG_MAP, SECRET, Resource
from litclaw.net import backoff as backoff_module


def agent(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "team-a", "uid": f"uid-{name}", "resourceVersion": str(version)}}


def event(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": {"kind": "OpenClawAgent", **agent(name, version)}}


def bookmark(version: int) -> dict[str, Any]:
    return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}


def error(code: Any, message: str = "") -> dict[str, Any]:
    return {"type": "ERROR", "object": {"kind": "Status", "code": code, "reason": "x", "message": message}}


EXPIRED = error(410, "too old resource version")


class ApiServer:
    """Lists and watches as a test provides them; a watch that no test provides stays open.

    A list is its items and version, or the status and headers of a refusal; a watch is its lines, or such a refusal.
    """

    def __init__(self) -> None:
        self.lists: list[Any] = []
        self.watches: list[Any] = []
        self.asked: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        if "watch" not in request.query:
            items, version = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
            if isinstance(items, int):
                return web.json_response({"reason": "x", "message": "no"}, status=items, headers=version)
            return web.json_response({"items": items, "metadata": {"resourceVersion": str(version)}})
        found = self.watches.pop(0) if self.watches else None
        if isinstance(found, tuple):
            return web.json_response({"reason": "x", "message": "no"}, status=found[0], headers=found[1])
        response = web.StreamResponse()
        await response.prepare(request)
        if found is None:
            await asyncio.sleep(60)
        for each in found or ():
            await response.write(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n")
        if request.transport:
            request.transport.close()
        return response

    @property
    def versions(self) -> list[str]:
        """The versions after which it was watched."""
        return [query["resourceVersion"] for query in self.asked if "watch" in query]

    @property
    def listed(self) -> int:
        """How often it was listed."""
        return sum("watch" not in query for query in self.asked)


class Sleeps:
    """Delays without the time that they take."""

    def __init__(self, sleep: Any) -> None:
        self.asked: list[float] = []
        self._sleep = sleep

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._sleep(0.001)


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    """The informer's delays, which jitter doesn't change here."""
    found = Sleeps(asyncio.sleep)

    class Asyncio:
        Event = asyncio.Event
        sleep = found

    monkeypatch.setattr(informer_module, "asyncio", Asyncio)
    monkeypatch.setattr(backoff_module.random, "uniform", lambda low, high: 1.0)
    return found


@pytest.fixture
async def api(tmp_path: Any) -> AsyncIterator[tuple[ApiServer, Kube]]:
    server = ApiServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    config = tmp_path / "config"
    config.write_text(
        f"{{apiVersion: v1, kind: Config, current-context: c, users: [{{name: u, user: {{token: t}}}}], clusters: "
        f"[{{name: k, cluster: {{server: 'http://127.0.0.1:{runner.addresses[0][1]}'}}}}], "
        "contexts: [{name: c, context: {cluster: k, user: u}}]}"
    )
    async with await Kube.connect(str(config)) as kube:
        yield server, kube
    await runner.cleanup()


class Seen:
    """What an informer of agents reports."""

    def __init__(self, kube: Kube, labels: str = "") -> None:
        self.events: list[tuple[str, str]] = []
        self.pruned: list[tuple[set[str], int]] = []
        self.was_listed: list[bool] = []
        self.informer = Informer(kube, AGENT, "", labels, handle=self._handle, prune=self._prune)

    def _handle(self, kind: str, body: Any) -> None:
        assert body["kind"] == "OpenClawAgent", "also where a list's items don't have it"
        self.events.append((kind, body["metadata"]["name"]))
        self.was_listed.append(self.informer.listed.is_set())

    def _prune(self, resource: Resource, namespace: str, uids: set[str], version: int) -> None:
        assert (resource, namespace) == (AGENT, "")
        self.pruned.append((uids, version))

    async def until(self, done: Any) -> None:
        task = asyncio.create_task(self.informer.run())
        try:
            async with asyncio.timeout(5):
                while not done():
                    assert not task.done(), task.exception()
                    await asyncio.sleep(0.01)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_a_watch_that_is_cut_goes_on_where_it_was(api: tuple[ApiServer, Kube], sleeps: Sleeps) -> None:
    server, kube = api
    half = json.dumps(event("MODIFIED", "a", 11)).encode()[:30]
    server.lists = [([agent("a", 3)], 5)]
    server.watches = [
        [event("MODIFIED", "a", 7)],
        [bookmark(9), half],
        [event("MODIFIED", "a", 11), event("DELETED", "a", 12)],
    ]
    seen = Seen(kube, "x=y")
    await seen.until(lambda: len(seen.events) == 4)
    assert seen.events == [("ADDED", "a"), ("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert server.versions[:3] == ["5", "7", "9"], "after the last version, half a line not counted"
    assert len(seen.pruned) == 1 and all(query["labelSelector"] == "x=y" for query in server.asked)


async def test_a_watch_that_ends_at_once_again_and_again_is_opened_less_and_less_often(
    api: tuple[ApiServer, Kube], sleeps: Sleeps
) -> None:
    server, kube = api
    server.lists = [([], 5)]
    server.watches = [[]] * 9
    seen = Seen(kube)
    await seen.until(lambda: len(sleeps.asked) >= 9)
    assert sleeps.asked[:9] == [0.25, 0.5, 1, 2, 4, 8, 15, 15, 15]


async def test_an_expired_version_has_everything_listed_again(api: tuple[ApiServer, Kube], sleeps: Sleeps) -> None:
    server, kube = api
    server.lists = [([agent("a", 3), agent("b", 4)], 5), ([agent("b", 4)], 90)]
    server.watches = [[EXPIRED]]
    seen = Seen(kube)
    await seen.until(lambda: len(seen.pruned) == 2)
    assert seen.pruned == [({"uid-a", "uid-b"}, 5), ({"uid-b"}, 90)], "the second list shows that a is gone"


async def test_lists_that_fail_are_repeated_less_and_less_often_until_a_watch_lasts(
    api: tuple[ApiServer, Kube], sleeps: Sleeps
) -> None:
    server, kube = api
    server.lists = [*[(500, {}), (403, {})] * 4, ([], 5)]
    seen = Seen(kube)
    await seen.until(lambda: len(server.versions) == 1)
    assert sleeps.asked == pytest.approx([0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])


@pytest.mark.parametrize("first", [[], [event("MODIFIED", "a", 7)]])
async def test_versions_that_expire_again_and_again_are_no_loop(
    api: tuple[ApiServer, Kube], sleeps: Sleeps, first: list[Any]
) -> None:
    server, kube = api
    server.lists = [([agent("a", 3)], 5)]
    server.watches = [[*first, EXPIRED]] * 7
    seen = Seen(kube)
    await seen.until(lambda: len(sleeps.asked) >= 7)
    assert sleeps.asked[:7] == pytest.approx([0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30])


async def test_a_watch_that_has_lasted_starts_the_delays_again(api: tuple[ApiServer, Kube], sleeps: Sleeps) -> None:
    server, kube = api
    server.lists = [([], 5)]
    server.watches = [[EXPIRED], [EXPIRED], [bookmark(9), EXPIRED], [EXPIRED]]
    seen = Seen(kube)
    await seen.until(lambda: len(sleeps.asked) >= 4)
    assert sleeps.asked[:4] == pytest.approx([0.8, 1.6, 0.8, 1.6])


async def test_an_api_server_that_names_a_time_to_wait_gets_it(api: tuple[ApiServer, Kube], sleeps: Sleeps) -> None:
    server, kube = api
    server.lists = [(429, {"Retry-After": "7"}), (429, {"Retry-After": "86400"}), ([], 5)]
    server.watches = [(429, {"Retry-After": "3"}), (503, {"Retry-After": "Fri, 01 Jan 2027 00:00:00 GMT"})]
    seen = Seen(kube)
    await seen.until(lambda: len(server.versions) == 3)
    assert sleeps.asked == [7, 60, 3, 0.5], "a minute at most; a date isn't read"


@pytest.mark.parametrize(
    "line",
    [
        error(500, "etcdserver: mvcc: required revision has been compacted"),
        error(403),
        error(None),
        error("many"),
        {"type": "ERROR"},
        {"type": "MODIFIED", "object": {}},
        b"[]\n",
        b"<html>\n",
    ],
)
async def test_an_error_in_the_stream_is_survived_and_everything_is_listed_again(
    api: tuple[ApiServer, Kube], sleeps: Sleeps, line: Any
) -> None:
    server, kube = api
    server.lists = [([agent("a", 3)], 5), ([agent("a", 3)], 6)]
    server.watches = [[line], [event("MODIFIED", "a", 7)]]
    seen = Seen(kube)
    await seen.until(lambda: ("MODIFIED", "a") in seen.events)
    assert server.listed == 2 and server.versions[:2] == ["5", "6"]


async def test_a_kind_that_is_unknown_keeps_nobody_waiting_and_is_found_when_it_comes(
    api: tuple[ApiServer, Kube], sleeps: Sleeps
) -> None:
    server, kube = api
    server.lists = [(404, {}), (404, {}), (403, {}), ([agent("a", 3)], 5)]
    seen = Seen(kube)
    await seen.until(lambda: seen.events)
    assert seen.was_listed == [True] and sleeps.asked == [10, 10, 0.8]


async def test_a_list_is_complete_when_all_of_it_has_been_handled(api: tuple[ApiServer, Kube], sleeps: Sleeps) -> None:
    server, kube = api
    server.lists = [([agent("a", 3), agent("b", 4)], 5)]
    seen = Seen(kube)
    await seen.until(seen.informer.listed.is_set)
    assert seen.was_listed == [False, False]


async def test_a_silent_watch_is_opened_again(
    api: tuple[ApiServer, Kube], sleeps: Sleeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, kube = api
    monkeypatch.setattr(connection_module, "_SILENCE_SECONDS", 0.1)
    server.lists = [([], 5)]
    seen = Seen(kube)
    await seen.until(lambda: len(server.versions) >= 3)
    assert set(server.versions) == {"5"}


async def test_kinds_of_which_anybody_can_create_large_objects_come_in_small_pages(
    api: tuple[ApiServer, Kube],
) -> None:
    server, kube = api
    server.lists = [([], 5)]
    for resource in (AGENT, SECRET, CONFIG_MAP):
        assert await kube.objects(resource) == [] and await kube.metadata(resource) == []
    assert [query["limit"] for query in server.asked] == ["500", "500", "50", "50", "50", "50"]
