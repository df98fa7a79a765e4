"""The work of a process that leads: it reconciles everything, routes first, counts how each pass ended, and lets no proxy
occupy all workers."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from litclaw.handlers import work as work_module
from litclaw.handlers.work import Work, drained
from litclaw.kube.cache import Cache
from litclaw.kube.client import Kube
from litclaw.kube.errors import UnavailableError
from litclaw.litellm.breaker import Breaker
from litclaw.litellm.errors import RefusedAddressError
from litclaw.metrics.recorder import Recorder
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.log_context import logged_request
from litclaw.reconcile.proxy.connection import Connection
from litclaw.reconcile.proxy.session import Credentials
from prometheus_client import generate_latest
from pydantic import SecretStr

from .handled import MASTER
from .proxies import Clock, FakeProxy
from .scenes import Body, FakeKube, Proxies, agent_body, master_key_body, route_body, session_of, until


def body(kind: str, name: str, **status: Any) -> Body:
    meta = {"name": name, "namespace": "ns", "uid": f"{kind}-{name}", "resourceVersion": "1"}
    return {"kind": kind, "metadata": meta, "spec": {"routeRef": {"name": "main"}}, "status": status}


def conditions(ready: str, stalled: str, reason: str) -> list[dict[str, str]]:
    return [
        {"type": "Ready", "status": ready, "reason": reason},
        {"type": "Stalled", "status": stalled, "reason": reason},
    ]


class Reconcilers:
    """Replace the real ones, and record the calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.fails: dict[str, Exception] = {}
        for kind in ("route", "agent"):
            monkeypatch.setattr(work_module, f"reconcile_{kind}", self._of(kind))
        monkeypatch.setattr(intervals, "ROUTES_FIRST_PAUSE", 0.02)

    def _of(self, kind: str) -> Any:
        async def reconcile(context: Any, namespace: str, name: str) -> float | None:
            request = logged_request()
            assert request and request[1:] == (namespace, name), "log lines of the pass name the resource"
            if kind == "route":
                await asyncio.sleep(0.1)
            self.calls.append(f"{kind} {name}")
            if name in self.fails:
                raise self.fails[name]
            if kind == "route":
                context.routes_seen.add((namespace, name))
            return None

        return reconcile


def work_of(cache: Cache, recorder: Recorder | None = None, kube: FakeKube | None = None) -> Work:
    return Work(cast(Kube, kube), cache, recorder or Recorder(), cluster="c", fence=lambda: None)


async def led(cache: Cache, condition: Callable[[], object], recorder: Recorder | None = None) -> None:
    """Let a process lead until a condition is true."""
    work = work_of(cache, recorder)
    task = asyncio.create_task(work.run(4))
    await until(condition)
    await drained(work, task, 1)


def filled(*bodies: Body) -> Cache:
    cache = Cache()
    for each in bodies:
        cache.store(each)
    return cache


async def test_everything_is_reconciled_and_an_agent_after_its_route(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Reconcilers(monkeypatch)
    agents = [body("OpenClawAgent", f"agent-{number}") for number in range(3)]
    await led(
        filled(*agents, body("LiteLLMRoute", "main"), body("LiteLLMRoute", "other")), lambda: len(found.calls) >= 5
    )
    assert sorted(found.calls) == ["agent agent-0", "agent agent-1", "agent agent-2", "route main", "route other"]
    first = found.calls.index("route main")
    assert all(found.calls.index(f"agent agent-{number}") > first for number in range(3)), found.calls


async def test_an_agent_without_a_route_needn_t_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Reconcilers(monkeypatch)
    await led(filled(body("OpenClawAgent", "lost"), body("LiteLLMRoute", "other")), lambda: len(found.calls) >= 2)
    assert found.calls == ["agent lost", "route other"]


async def test_a_route_whose_pass_fails_delays_its_agents_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Reconcilers(monkeypatch)
    monkeypatch.setattr(intervals, "ROUTES_FIRST", 0.3)
    found.fails["main"] = UnavailableError(0, "Unreachable", "")
    await led(
        filled(body("OpenClawAgent", "scout"), body("LiteLLMRoute", "main")), lambda: "agent scout" in found.calls
    )
    assert found.calls[0] == "route main"


async def test_how_each_pass_ended_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Reconcilers(monkeypatch)
    monkeypatch.setattr(intervals, "FIRST_RETRY", 60.0)
    found.fails["away"] = UnavailableError(0, "Unreachable", "")
    recorder = Recorder()
    states = {
        "fine": conditions("True", "False", "Ready"),
        "slow": conditions("False", "False", "Starting"),
        "wrong": conditions("False", "True", "SecretNotFound"),
        "broken": conditions("False", "True", "InternalError"),
        "away": [],
    }
    bodies = [body("LiteLLMRoute", name, conditions=each) for name, each in states.items()]
    await led(filled(*bodies), lambda: len(found.calls) == 5, recorder)
    text = generate_latest(recorder.registry).decode()
    for result, count in (("ready", 1), ("waiting", 1), ("stalled", 1), ("error", 2)):
        assert f'litclaw_reconcile_total{{kind="LiteLLMRoute",result="{result}"}} {count}.0' in text
    for error in ("InternalError", "UnavailableError"):
        assert f'litclaw_reconcile_errors_total{{error="{error}",kind="LiteLLMRoute"}} 1.0' in text


async def test_no_connection_is_left_open_at_the_end() -> None:
    work, clock = work_of(Cache()), Clock()
    proxies = Proxies({f"http://{name}:4000": FakeProxy(clock).answer for name in ("kept", "left")})
    work.context.connect = proxies.connect
    kept, left = (("ns", name) for name in ("kept", "left"))
    for key in (kept, left):
        work.context.proxies.session_for(key, Credentials(f"http://{key[1]}:4000", SecretStr("sk-x")), None)
    [session] = [each for each in work.context.proxies if each.url == "http://left:4000"]
    work.context.proxies.leave(left, session)
    assert [each.closed for each in proxies.connections] == [False, False], "a running pass may use it"
    await drained(work, asyncio.create_task(work.run(1)), 1)
    assert [each.closed for each in proxies.connections] == [True, True]


# No proxy occupies all workers


@contextlib.asynccontextmanager
async def working(work: Work, workers: int = 16) -> AsyncIterator[None]:
    task = asyncio.create_task(work.run(workers))
    try:
        yield
    finally:
        await drained(work, task, 0)


def two_routes(hanging: int, fine: int) -> list[Body]:
    """The routes ``hanging`` and ``fine``, each with some agents. Those of the first are enqueued first."""
    routes = [route_body(name, f"uid-{name}", url=_url(name)) for name in ("hanging", "fine")]
    counts = (("hanging", hanging), ("fine", fine))
    return routes + [
        agent_body(f"{name}-{number}", f"uid-{name}-{number}", route=name)
        for name, count in counts
        for number in range(count)
    ]


def _url(name: str) -> str:
    return f"http://10.0.0.{1 if name == 'hanging' else 2}:4000"


async def test_a_proxy_that_hangs_delays_no_agent_of_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "ROUTES_FIRST_PAUSE", 0.02)
    clock, bodies = Clock(), two_routes(40, 10)
    hanging, fine = FakeProxy(clock), FakeProxy(clock)
    for proxy in (hanging, fine):
        proxy.models["m"] = {}
    hanging.hanging.add("/key/generate")
    cache, kube = filled(*bodies), FakeKube(*bodies, master_key_body())
    work = work_of(cache, kube=kube)
    work.context.connect = Proxies({_url("hanging"): hanging.answer, _url("fine"): fine.answer}).connect
    async with working(work):
        await until(lambda: hanging.counts["/key/generate"] == 12)
        await until(lambda: len(fine.rows) == 10)
        assert hanging.counts["/key/generate"] == 12, "three quarters of the workers at most"
        late = agent_body("late", "uid-late", route="fine")
        kube.objects["OpenClawAgent", "n", "late"] = late
        cache.store(late)
        work.queue.enqueue(("OpenClawAgent", "n", "late"))
        await until(lambda: len(fine.rows) == 11)
        assert len(list(work.queue.waiting)) == 28 and hanging.counts["/key/generate"] == 12


class Sessions:
    """Routes ``r-0``, ``r-1`` … with agents, whose passes last, and count as calls of the route's proxy.

    Attributes:
        busy: passes that run, by route.
        most: the largest number of passes at a time, by route, and ``all``.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, routes: int, agents: int) -> None:
        self.busy: Counter[str] = Counter()
        self.ends = asyncio.Event()
        self.work = work_of(
            filled(
                *(
                    agent_body(f"a-{r}-{n}", f"uid-{r}-{n}", route=f"r-{r}")
                    for r in range(routes)
                    for n in range(agents)
                )
            )
        )
        for number in range(routes):
            key, clock = ("n", f"r-{number}"), Clock()
            url = f"http://10.0.0.{number}:4000"
            session = session_of(FakeProxy(clock).answer, clock, Credentials(url, SecretStr("sk-x")))
            self.work.context.routes[key] = Connection(session)
            self.work.context.routes_seen.add(key)

        async def reconcile(context: Any, namespace: str, name: str) -> None:
            route = f"r-{name.split('-')[1]}"
            self.busy[route] += 1
            try:
                await self.ends.wait()
            finally:
                self.busy[route] -= 1

        monkeypatch.setattr(work_module, "reconcile_agent", reconcile)

    def trust(self, number: int) -> None:
        """The route's proxy answers a call about a key."""
        self.work.context.routes["n", f"r-{number}"].session.breaker.answered("/key/list")

    def hang(self, number: int) -> None:
        """A call of the route's proxy hangs."""
        self.work.context.routes["n", f"r-{number}"].session.breaker.unanswered(30)


async def test_a_proxy_may_occupy_three_quarters_of_the_workers_and_one_as_long_as_it_is_not_known_to_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Sessions(monkeypatch, routes=3, agents=20)
    found.trust(0)
    found.trust(1)
    found.hang(1)
    async with working(found.work):
        busy = {"r-0": 12, "r-1": 1, "r-2": 1}
        await until(lambda: found.busy == busy)
        await asyncio.sleep(0.05)
        assert found.busy == busy
        found.ends.set()
        await until(lambda: len(found.work.queue) == 0)


async def test_all_proxies_that_are_not_known_to_answer_may_occupy_a_quarter_of_the_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Sessions(monkeypatch, routes=9, agents=3)
    found.trust(8)
    async with working(found.work):
        await until(lambda: found.busy.total() == 3 + 4)
        await asyncio.sleep(0.05)
        assert found.busy.pop("r-8") == 3 and found.busy.total() == 4 and set(found.busy.values()) == {1}
        found.ends.set()
        await until(lambda: len(found.work.queue) == 0)


async def test_a_proxy_that_answers_for_the_first_time_needn_t_wait_for_those_that_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Sessions(monkeypatch, routes=9, agents=3)
    session = found.work.context.routes["n", "r-8"].session
    client = found.work.context.connect(session.credentials, session.breaker)
    async with working(found.work):
        await until(lambda: found.busy.total() == 4)
        await asyncio.sleep(0.05)
        assert not found.busy["r-8"]
        found.trust(8)
        await until(lambda: found.busy["r-8"] == 3)
        assert found.busy.total() == 3 + 4
        found.ends.set()
        await until(lambda: len(found.work.queue) == 0)
    await client.close()


async def test_in_a_pod_nothing_is_sent_to_the_pod_itself_and_the_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "own_namespace", lambda: "litclaw-system")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    context = work_of(Cache()).context
    assert context.guard.refuses("10.96.0.1") and not context.guard.refuses("10.96.0.2")
    async with context.connect(Credentials("http://127.0.0.1:8080", MASTER), Breaker()) as client:
        with pytest.raises(RefusedAddressError):
            await client.readiness()


async def test_routes_leave_half_of_the_workers_to_agents_and_unknown_ones_three_quarters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pass over a new route looks a name up, which may take seconds; that of a known one may end thousands of keys."""
    busy, ends = Counter[str](), asyncio.Event()
    routes = [route_body(f"r-{number}", f"uid-r-{number}") for number in range(20)]
    agents = [agent_body(f"a-{number}", f"uid-a-{number}", route="none") for number in range(20)]
    work = work_of(filled(*routes, *agents))

    async def reconcile(context: Any, namespace: str, name: str) -> None:
        busy[name[0]] += 1
        await ends.wait()

    for kind in ("reconcile_route", "reconcile_agent"):
        monkeypatch.setattr(work_module, kind, reconcile)
    async with working(work):
        await until(lambda: busy.total() == 16)
        assert busy == {"r": 4, "a": 12}
        ends.set()
        await until(lambda: len(work.queue) == 0)

    clock, ends = Clock(), asyncio.Event()
    busy.clear()
    for number in range(20):
        credentials = Credentials(f"http://10.0.1.{number}:4000", SecretStr("sk-x"))
        session = session_of(FakeProxy(clock).answer, clock, credentials)
        session.breaker.answered("/key/list")
        work.context.routes["n", f"r-{number}"] = Connection(session)
    again = work_of(filled(*routes, *agents))
    again.context.routes.update(work.context.routes)
    async with working(again):
        await until(lambda: busy.total() == 16)
        assert busy == {"r": 8, "a": 8}
        ends.set()
        await until(lambda: len(again.queue) == 0)
