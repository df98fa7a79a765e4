"""What is seen of a kind whose watch is cut, too old, refused, or of a kind that isn't there."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from litclaw.kube import client as client_module
from litclaw.kube import informer as reflector_module
from litclaw.kube.client import Kube
from litclaw.kube.informer import Informer
from litclaw.kube.resources import AGENT, Resource

PATH = "/apis/litclaw.dev/v1alpha1/openclawagents"


def agent(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "team-a", "uid": f"uid-{name}", "resourceVersion": str(version)}}


def event(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": {"kind": "OpenClawAgent", **agent(name, version)}}


GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}


class ApiServer:
    """Lists and watches as they are put into it; a watch that nothing was put in for stays open."""

    def __init__(self) -> None:
        self.lists: list[Any] = []
        self.watches: list[Any] = []
        self.asked: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        if "watch" not in request.query:
            found = self.lists.pop(0)
            if isinstance(found, int):
                return web.json_response({"reason": "x", "message": "no"}, status=found)
            items, version = found
            return web.json_response({"items": items, "metadata": {"resourceVersion": str(version)}})
        response = web.StreamResponse()
        await response.prepare(request)
        if not self.watches:
            await asyncio.sleep(60)
        for each in self.watches.pop(0):
            await response.write(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n")
        if request.transport:
            request.transport.close()
        return response

    @property
    def versions(self) -> list[str]:
        """From where it was watched."""
        return [query["resourceVersion"] for query in self.asked if "watch" in query]


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> AsyncIterator[tuple[ApiServer, Kube]]:
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
    monkeypatch.setattr(reflector_module, "_FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(reflector_module, "_REFUSED_SECONDS", 0.01)
    monkeypatch.setattr(reflector_module, "_UNKNOWN_SECONDS", 0.01)
    async with await Kube.connect(str(config)) as kube:
        yield server, kube
    await runner.cleanup()


class Seen:
    def __init__(self, kube: Kube, labels: str = "") -> None:
        self.events: list[tuple[str, str]] = []
        self.pruned: list[tuple[set[str], int]] = []
        self.informer = Informer(kube, AGENT, "", labels, see=self._see, prune=self._prune)

    def _see(self, kind: str, body: Any) -> None:
        assert body["kind"] == "OpenClawAgent", "also where a list's items don't say"
        self.events.append((kind, body["metadata"]["name"]))

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


async def test_a_watch_that_is_cut_goes_on_where_it_was(api: tuple[ApiServer, Kube]) -> None:
    server, kube = api
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
    half = json.dumps(event("MODIFIED", "a", 11)).encode()[:30]
    server.lists = [([agent("a", 3)], 5)]
    server.watches = [
        [event("MODIFIED", "a", 7)],
        [bookmark, half],
        [event("MODIFIED", "a", 11), event("DELETED", "a", 12)],
    ]
    seen = Seen(kube, "x=y")
    await seen.until(lambda: len(seen.events) == 4)
    assert seen.events == [("ADDED", "a"), ("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert server.versions[:3] == ["5", "7", "9"], "by what was seen last, half a line not counted"
    assert len(seen.pruned) == 1 and all(query["labelSelector"] == "x=y" for query in server.asked)


async def test_a_version_that_is_too_old_has_all_listed_again(api: tuple[ApiServer, Kube]) -> None:
    server, kube = api
    server.lists = [([agent("a", 3), agent("b", 4)], 5), ([agent("b", 4)], 90)]
    server.watches = [[GONE]]
    seen = Seen(kube)
    await seen.until(lambda: len(seen.pruned) == 2)
    assert seen.pruned == [({"uid-a", "uid-b"}, 5), ({"uid-b"}, 90)], "by the second it shows that a has gone"


async def test_a_kind_that_is_unknown_keeps_nobody_waiting_and_is_found_when_it_comes(
    api: tuple[ApiServer, Kube],
) -> None:
    server, kube = api
    server.lists = [404, 403, 500, ([agent("a", 3)], 5)]
    seen = Seen(kube)
    listed_at: list[int] = []

    def look() -> bool:
        if seen.informer.listed.is_set() and not listed_at:
            listed_at.append(len(seen.events))
        return bool(seen.events)

    await seen.until(look)
    assert listed_at == [0]


async def test_a_watch_that_says_nothing_is_opened_again(
    api: tuple[ApiServer, Kube], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, kube = api
    monkeypatch.setattr(client_module, "_SILENCE_SECONDS", 0.1)
    server.lists = [([], 5)]
    seen = Seen(kube)
    await seen.until(lambda: len(server.versions) >= 3)
    assert set(server.versions) == {"5"}
