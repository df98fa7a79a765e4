"""What a process does when it begins to lead: it looks at all there is, routes first, and says how each pass ended."""

import asyncio
from typing import Any

import pytest
from litclaw.handlers import work as work_module
from litclaw.handlers.work import Work, drained
from litclaw.kube.cache import Cache
from litclaw.kube.errors import UnavailableError
from litclaw.litellm.client import LiteLLM
from litclaw.metrics.recorder import Recorder
from litclaw.reconcile.context import RouteState
from litclaw.reconcile.core.log_context import subject
from litclaw.reconcile.proxy.key_table import KeyTable
from prometheus_client import generate_latest
from pydantic import SecretStr

Body = dict[str, Any]


def body(kind: str, name: str, **status: Any) -> Body:
    meta = {"name": name, "namespace": "ns", "uid": f"{kind}-{name}", "resourceVersion": "1"}
    return {"kind": kind, "metadata": meta, "spec": {"routeRef": {"name": "main"}}, "status": status}


def conditions(ready: str, stalled: str, reason: str) -> list[dict[str, str]]:
    return [
        {"type": "Ready", "status": ready, "reason": reason},
        {"type": "Stalled", "status": stalled, "reason": reason},
    ]


class Reconcilers:
    """Stand in for the real ones, and note who was called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.fails: dict[str, Exception] = {}
        for kind in ("route", "agent"):
            monkeypatch.setattr(work_module, f"reconcile_{kind}", self._of(kind))
        monkeypatch.setattr(work_module, "_PAUSE_SECONDS", 0.02)

    def _of(self, kind: str) -> Any:
        async def reconcile(_: object, namespace: str, name: str) -> float | None:
            about = subject()
            assert about and about[1:] == (namespace, name), "log lines of the pass are about it"
            if kind == "route":
                await asyncio.sleep(0.1)
            self.calls.append(f"{kind} {name}")
            if name in self.fails:
                raise self.fails[name]
            return None

        return reconcile


async def led(cache: Cache, recorder: Recorder, seconds: float = 0.5) -> None:
    work = Work(None, cache, recorder, cluster="c", fence=lambda: None)  # type: ignore[arg-type]
    task = asyncio.create_task(work.run(4))
    await asyncio.sleep(seconds)
    await drained(work, task, 1)


def filled(*bodies: Body) -> Cache:
    cache = Cache()
    for each in bodies:
        cache.observe(each)
    return cache


async def test_everything_is_looked_at_and_an_agent_after_its_route(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Reconcilers(monkeypatch)
    agents = [body("OpenClawAgent", f"agent-{number}") for number in range(3)]
    await led(filled(*agents, body("LiteLLMRoute", "main"), body("LiteLLMRoute", "other")), Recorder())
    assert sorted(found.calls) == ["agent agent-0", "agent agent-1", "agent agent-2", "route main", "route other"]
    first = found.calls.index("route main")
    assert all(found.calls.index(f"agent agent-{number}") > first for number in range(3)), found.calls


async def test_an_agent_without_a_route_needn_t_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Reconcilers(monkeypatch)
    await led(filled(body("OpenClawAgent", "lost"), body("LiteLLMRoute", "other")), Recorder())
    assert found.calls == ["agent lost", "route other"]


async def test_a_route_that_can_t_be_looked_at_holds_its_agents_up_for_a_time_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Reconcilers(monkeypatch)
    monkeypatch.setattr(work_module, "_ROUTE_FIRST_SECONDS", 0.3)
    found.fails["main"] = UnavailableError(0, "Unreachable", "")
    await led(filled(body("OpenClawAgent", "scout"), body("LiteLLMRoute", "main")), Recorder(), 0.8)
    assert found.calls[0] == "route main" and "agent scout" in found.calls


async def test_how_each_pass_ended_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Reconcilers(monkeypatch)
    found.fails["away"] = UnavailableError(0, "Unreachable", "")
    recorder = Recorder()
    states = {
        "fine": conditions("True", "False", "Ready"),
        "slow": conditions("False", "False", "Starting"),
        "wrong": conditions("False", "True", "SecretNotFound"),
        "broken": conditions("False", "True", "InternalError"),
        "away": [],
    }
    await led(filled(*[body("LiteLLMRoute", name, conditions=each) for name, each in states.items()]), recorder, 0.3)
    text = generate_latest(recorder.registry).decode()
    for result, count in (("ready", 1), ("waiting", 1), ("stalled", 1), ("error", 2)):
        assert f'litclaw_reconcile_total{{kind="LiteLLMRoute",result="{result}"}} {count}.0' in text
    for error in ("InternalError", "UnavailableError"):
        assert f'litclaw_reconcile_errors_total{{error="{error}",kind="LiteLLMRoute"}} 1.0' in text


async def test_no_connection_is_left_open_at_the_end() -> None:
    work = Work(None, Cache(), Recorder(), cluster="c", fence=lambda: None)  # type: ignore[arg-type]
    kept, retired = (LiteLLM(f"http://{name}:4000", SecretStr("sk-x")) for name in ("kept", "retired"))
    work.context.routes["ns", "kept"] = RouteState(kept, (SecretStr("sk-x"), "", None), KeyTable("c"))
    work.context.retire(retired)
    await drained(work, asyncio.create_task(work.run(1)), 1)
    assert [client._http._session.closed for client in (kept, retired)] == [True, True]
