"""The watches of a process: kopf's, of what people write, and the informers', of what the operator owns."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from litclaw.handlers.intake import Intake
from litclaw.handlers.watches import Watches
from litclaw.kube.cache import Cache
from litclaw.kube.client import Kube
from litclaw.kube.resources import AGENT, NAMESPACE, OWNED_KINDS, ROTATION, ROUTE, Resource
from litclaw.reconcile.core.queue import Request
from litclaw.render.agent.secret import agent_secret

from .scenes import Body, agent_body, agent_of, route_body, until

KINDS = (ROUTE, AGENT, ROTATION, NAMESPACE, *OWNED_KINDS)


class ApiServer:
    """Lists and watches as kopf and the informers ask for them.

    Attributes:
        objects: by the path of their list.
        refusals: the status of the next responses to discovery requests.
        watches: how often a path was watched.
    """

    def __init__(self) -> None:
        self.objects: dict[str, list[Body]] = {}
        self.refusals: list[int] = []
        self.watches: dict[str, int] = {}
        self._streams: dict[str, list[web.StreamResponse]] = {}

    def put(self, resource: Resource, body: Body) -> None:
        """Put an object in before it is listed."""
        self.objects.setdefault(resource.path(None), []).append(body)

    async def emit(self, resource: Resource, type_: str, body: Body) -> None:
        """Send an event to every watch of a kind."""
        line = json.dumps({"type": type_, "object": body}).encode() + b"\n"
        for stream in self._streams.get(resource.path(None), []):
            await stream.write(line)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if "watch" in request.query:
            self.watches[path] = self.watches.get(path, 0) + 1
            stream = web.StreamResponse()
            await stream.prepare(request)
            self._streams.setdefault(path, []).append(stream)
            await asyncio.sleep(60)
            return stream
        if path in ("/api", "/apis") and self.refusals:
            return web.json_response({"kind": "Status", "reason": "x", "message": "x"}, status=self.refusals.pop(0))
        discovered = _discovery(path)
        if discovered is None and path not in {each.path(None) for each in KINDS}:
            return web.json_response({"kind": "Status", "reason": "NotFound", "message": path}, status=404)
        return web.json_response(
            discovered or {"items": self.objects.get(path, []), "metadata": {"resourceVersion": "9"}}
        )


def _discovery(path: str) -> dict[str, Any] | None:
    """What an API server says about the kinds that it serves."""
    versions = {each.api_version for each in KINDS}
    if path == "/api":
        return {"versions": ["v1"]}
    if path == "/apis":
        groups = [each.split("/") for each in sorted(versions) if "/" in each]
        named = [(group, {"groupVersion": f"{group}/{version}", "version": version}) for group, version in groups]
        return {"groups": [{"name": name, "versions": [found], "preferredVersion": found} for name, found in named]}
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version not in versions:
        return None
    kinds = [
        {
            "name": each.plural,
            "singularName": each.kind.lower(),
            "kind": each.kind,
            "namespaced": each.namespaced,
            "verbs": ["get", "list", "watch", "patch"],
        }
        for each in KINDS
        if each.api_version == version
    ]
    return {"resources": kinds}


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[tuple[ApiServer, Kube]]:
    server = ApiServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    config = tmp_path / "config"
    config.write_text(
        f"{{apiVersion: v1, kind: Config, current-context: c, users: [{{name: u, user: {{token: t}}}}], clusters: "
        f"[{{name: k, cluster: {{server: 'http://127.0.0.1:{runner.addresses[0][1]}'}}}}], "
        "contexts: [{name: c, context: {cluster: k, user: u}}]}"
    )
    monkeypatch.setenv("KUBECONFIG", str(config))
    async with await Kube.connect(str(config)) as kube:
        yield server, kube
    await runner.cleanup()


class Started:
    """Watches that run, and what they enqueue."""

    def __init__(self, kube: Kube) -> None:
        self.starts = 0
        self.enqueued: list[Request] = []
        self.cache = Cache()
        self.watches = Watches(Intake(self.cache, self.enqueued.append), on_kopf_start=self._started)
        self.task = asyncio.create_task(self.watches.run(kube))

    def _started(self) -> None:
        self.starts += 1

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def test_each_kind_has_one_watch_and_each_event_reaches_the_cache(api: tuple[ApiServer, Kube]) -> None:
    server, kube = api
    server.put(ROUTE, route_body())
    server.put(AGENT, agent_body())
    manifest = agent_secret(agent_of(), key="sk-x", token="t", base_url="http://x")
    secret = {**manifest, "metadata": {**manifest["metadata"], "uid": "s", "resourceVersion": "5"}}
    found = Started(kube)
    try:
        await until(lambda: {request[0] for request in found.enqueued} >= {"LiteLLMRoute", "OpenClawAgent"}, seconds=20)
        await asyncio.wait_for(found.watches.listed.wait(), 5)
        await until(lambda: all(server.watches.get(each.path(None)) for each in KINDS), seconds=20)
        found.enqueued.clear()
        await server.emit(AGENT, "MODIFIED", agent_body(resourceVersion="10"))
        await until(lambda: found.enqueued == [("OpenClawAgent", "n", "a")])
        found.enqueued.clear()
        meta = {"name": "all", "uid": "x", "resourceVersion": "11"}
        rotation = {"apiVersion": ROTATION.api_version, "kind": ROTATION.kind, "metadata": meta, "spec": {}}
        await server.emit(ROTATION, "ADDED", rotation)
        await until(lambda: found.enqueued == [("LiteLLMKeyRotation", "", "all")])
        found.enqueued.clear()
        await server.emit(OWNED_KINDS[0], "ADDED", secret)
        await until(lambda: found.enqueued == [("OpenClawAgent", "n", "a")])
        assert found.cache.get("Secret", "n", "a-litellm") and found.starts == 1
        assert set(server.watches.values()) == {1}
    finally:
        await found.stop()


@pytest.mark.parametrize("status", [409, 410, 503])
async def test_an_error_of_the_api_server_ends_no_process(api: tuple[ApiServer, Kube], status: int) -> None:
    server, kube = api
    server.put(ROUTE, route_body())
    server.refusals = [status]
    found = Started(kube)
    try:
        await until(lambda: found.enqueued, seconds=20)
        assert found.enqueued == [("LiteLLMRoute", "n", "r")] and not found.task.done()
        assert found.starts == (1 if status == 503 else 2), "kopf itself repeats requests after a 503"
    finally:
        await found.stop()


@pytest.mark.parametrize("status", [409, 410])
async def test_when_kopf_ends_nothing_is_left_of_it_in_the_process_or_the_log(
    api: tuple[ApiServer, Kube], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server, kube = api
    server.put(ROUTE, route_body())
    server.refusals = [status] * 4  # kopf makes several requests at once, and each fails
    found = Started(kube)
    try:
        await until(lambda: found.enqueued, seconds=30)
        assert found.starts > 1
    finally:
        await found.stop()
    gc.collect()
    assert not [each.getMessage() for each in caplog.records if each.name == "asyncio"]
    assert not [each for each in asyncio.all_tasks() if "site-packages/kopf" in repr(each.get_coro())]


def test_an_operator_of_some_namespaces_watches_no_cluster_scoped_kind() -> None:
    intake = Intake(Cache(), lambda request: None)
    assert Watches(intake, ("n",)).kopf_kinds == (ROUTE, AGENT)
    assert Watches(intake).kopf_kinds == (ROUTE, AGENT, ROTATION, NAMESPACE)
