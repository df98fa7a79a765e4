"""The metrics: standard names, nothing about deleted resources, nothing secret; and /healthz and /readyz."""

import asyncio
import re
import socket
from typing import Any

import httpx
import pytest
from litclaw.handlers.server import Server
from litclaw.kube.cache import Cache
from litclaw.litellm.keys import KeyRow, Limits, Mark
from litclaw.metrics.collector import StateCollector, Work
from litclaw.metrics.recorder import Recorder
from litclaw.reconcile.core.queue import Request, WorkQueue
from litclaw.reconcile.proxy.connection import Connection
from prometheus_client import generate_latest

from .proxies import Clock, FakeProxy
from .scenes import context_of, session_of

ROUTE = {"name": "main", "namespace": "ai"}


async def _nothing(_: Request) -> None:
    return None


def body(kind: str, name: str, namespace: str, status: dict[str, Any], **spec: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "1"}
    return {"apiVersion": "litclaw.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec, "status": status}


def agent(name: str, ready: bool = True, **status: Any) -> dict[str, Any]:
    conditions = [
        {"type": "Ready", "status": str(ready), "reason": "Ready" if ready else "RouteNotFound"},
        {"type": "Stalled", "status": str(not ready), "reason": "Ready" if ready else "RouteNotFound"},
    ]
    return body("OpenClawAgent", name, "team-a", {"conditions": conditions, **status}, routeRef=ROUTE)


def row(token: str, uid: str, **given: Any) -> KeyRow:
    mark = given.pop("mark", Mark("c", uid, 1))
    return KeyRow(token=token, alias=token, limits=Limits(), spend=1.0, mark=mark, **given)


class Process:
    """The metrics of a process with these objects."""

    def __init__(self, *bodies: dict[str, Any], leads: bool = True) -> None:
        self.cache = Cache()
        for each in bodies:
            self.cache.store(each)
        self.recorder = Recorder()
        self.queue: WorkQueue[Request] = WorkQueue(_nothing)
        self.context = context_of(cache=self.cache, enqueue=self.queue.enqueue, enqueue_after=self.queue.enqueue_after)
        work = Work(self.context, self.queue) if leads else None
        self.recorder.registry.register(StateCollector(self.cache, lambda: work))

    def scrape(self) -> dict[str, float]:
        lines = generate_latest(self.recorder.registry).decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


SCOUT = 'agent="scout",agent_namespace="team-a",route="main",route_namespace="ai"'


async def test_figures_of_an_agent_appear_and_vanish_with_it() -> None:
    scout = agent("scout", spend="3.21", budget="50.00", key={"rotatedAt": "2026-11-24T10:00:00Z"})
    process = Process(scout, agent("bare", ready=False))
    seen = process.scrape()
    assert seen[f"litclaw_agent_spend_usd{{{SCOUT}}}"] == 3.21
    assert seen[f"litclaw_agent_budget_usd{{{SCOUT}}}"] == 50
    assert seen[f"litclaw_agent_key_created_timestamp_seconds{{{SCOUT}}}"] == 1795514400
    assert not [name for name in seen if 'agent="bare"' in name], "nothing is known of it yet"
    stalled = [name for name in seen if name.startswith("litclaw_resource_stalled")]
    assert len(stalled) == 1 and 'reason="RouteNotFound"' in stalled[0] and 'resource="bare"' in stalled[0]
    process.cache.remove(scout)
    assert not [name for name in process.scrape() if "scout" in name]


async def test_keys_are_live_retiring_or_orphaned() -> None:
    process = Process(agent("scout"))
    clock = Clock()
    proxy = FakeProxy(clock)
    session = session_of(proxy.answer, clock)
    retained = Mark("c", "uid-gone", 1, retained_for="team-a/gone")
    keys = (
        row("live", "uid-scout"),
        row("new", "uid-scout"),
        row("old", "uid-scout", expires="2026-11-24T11:00:00Z"),
        row("left", "uid-nobody"),
        row("kept", "uid-gone", mark=retained),
    )
    for route in ("main", "other"):
        session.routes.add(("ai", route))
        process.context.routes["ai", route] = Connection(session)
    assert not [name for name in process.scrape() if name.startswith("litclaw_route_keys")], "not read yet"
    await session.table.refresh(session.client)
    for each in keys:
        session.table.put(each)
    assert _keys(process, "main") == {"live": 2, "retiring": 1, "orphaned": 1, "retained": 1}
    none = {"live": 0, "retiring": 0, "orphaned": 0, "retained": 0}
    assert _keys(process, "other") == none, "each key counts at one route"


def _keys(process: Process, route: str) -> dict[str, float]:
    seen, states = process.scrape(), ("live", "retiring", "orphaned", "retained")
    return {
        state: seen[f'litclaw_route_keys{{route="{route}",route_namespace="ai",state="{state}"}}'] for state in states
    }


async def test_a_rotation_s_failures_and_its_end_are_metrics() -> None:
    going = body("LiteLLMKeyRotation", "going", "", {"total": 3, "failed": 1})
    ended = body("LiteLLMKeyRotation", "ended", "", {"total": 3, "failed": 2, "completedAt": "2026-11-24T10:00:00Z"})
    seen = Process(going, ended).scrape()
    failed = [seen[f'litclaw_rotation_keys{{rotation="{name}",state="failed"}}'] for name in ("going", "ended")]
    assert failed == [1, 2]
    times = {name: at for name, at in seen.items() if name.startswith("litclaw_rotation_completed")}
    assert times == {'litclaw_rotation_completed_timestamp_seconds{rotation="ended"}': 1795514400}


async def test_the_queue_is_measured() -> None:
    process = Process()
    process.queue.enqueue(("OpenClawAgent", "a", "b"))
    await asyncio.sleep(0.01)
    seen = process.scrape()
    assert seen['litclaw_queue_depth{kind="OpenClawAgent"}'] == 1 and seen["litclaw_queue_longest_waiting_seconds"] > 0
    assert seen["litclaw_queue_longest_working_seconds"] == 0


async def test_a_standby_has_no_metrics_of_resources() -> None:
    process = Process(agent("scout", spend="3.21"), leads=False)
    seen = process.scrape()
    assert seen["litclaw_leader"] == 0 and seen['litclaw_cache_objects{kind="OpenClawAgent"}'] == 1
    assert not [name for name in seen if "scout" in name or name.startswith("litclaw_queue")]


async def test_a_status_that_is_no_number_costs_no_other_metric() -> None:
    process = Process(agent("odd", spend="much", key={"rotatedAt": "then"}), agent("scout", spend="1"))
    assert process.scrape()[f"litclaw_agent_spend_usd{{{SCOUT}}}"] == 1


def test_calls_and_passes_are_counted_without_names_of_objects() -> None:
    process = Process()
    recorder = process.recorder
    for method, path, status in (
        ("GET", "/api/v1/namespaces/team-a/secrets/sk-secret", 200),
        ("GET", "/api/v1/namespaces/team-a/secrets", 200),
        ("GET", "/api/v1/namespaces/kube-system", 200),
        ("PATCH", "/apis/litclaw.dev/v1alpha1/namespaces/team-a/openclawagents/x/status", 409),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/litclaw-system/leases/litclaw", 0),
        ("GET", "/apis/monitoring.coreos.com/v1", 404),
        ("GET", "/version", 200),
    ):
        recorder.called_kubernetes(method, path, status, 0.01)
    recorder.called_litellm("POST", "/key/generate", 200, 0.2)
    recorder.passed("OpenClawAgent", "error", 0.1, "UnavailableError")
    seen = process.scrape()
    calls = {name for name in seen if name.startswith("litclaw_kubernetes_requests_total")}
    found = {
        (m["verb"], m["kind"], m["status"])
        for name in calls
        if (m := re.search(r'kind="(?P<kind>.*?)",status="(?P<status>.*?)",verb="(?P<verb>.*?)"', name))
    }
    assert found == {
        ("get", "Secret", "200"),
        ("list", "Secret", "200"),
        ("get", "Namespace", "200"),
        ("patch", "OpenClawAgent", "409"),
        ("update", "Lease", "none"),
        ("get", "", "404"),
        ("get", "", "200"),
    }
    assert seen['litclaw_litellm_requests_total{method="POST",path="/key/generate",status="200"}'] == 1
    assert seen['litclaw_reconcile_errors_total{error="UnavailableError",kind="OpenClawAgent"}'] == 1
    assert not [name for name in seen if "team-a" in name or "sk-" in name]


async def test_the_process_is_alive_as_long_as_it_answers_and_ready_when_it_could_take_over(unused_port: int) -> None:
    problem = "the cache isn't filled yet"

    async def ready() -> str:
        return problem

    server = Server(f"127.0.0.1:{unused_port}", Recorder().registry, ready=ready)
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_port}", trust_env=False) as client:

            async def statuses() -> list[int]:
                return [(await client.get(path)).status_code for path in ("/healthz", "/readyz")]

            assert await statuses() == [200, 503]
            assert (await client.get("/readyz")).text == "the cache isn't filled yet\n"
            problem = ""
            assert await statuses() == [200, 200]
            metrics = await client.get("/metrics")
            assert metrics.headers["content-type"].startswith("text/plain") and "litclaw_build_info" in metrics.text
            assert (await client.get("/")).status_code == 404
    finally:
        await server.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_without_a_host_it_is_served_to_both_families(unused_port: int, host: str) -> None:
    async def ready() -> str:
        return ""

    if host == "[::1]" and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    server = Server(f":{unused_port}", Recorder().registry, ready=ready)
    await server.start()
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://{host}:{unused_port}/readyz")).status_code == 200
    finally:
        await server.stop()


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as found:
            found.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture
def unused_port() -> int:

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
