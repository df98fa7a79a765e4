"""How often a proxy's keys are read anew."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.route import observe as route_observe


async def _reads(monkeypatch: pytest.MonkeyPatch, took: list[float]) -> list[float]:
    """When the keys are read by somebody who looks every ten seconds, where each reading takes as long as given."""
    now, when, left = [0.0], [], list(took)

    async def refresh(_: object) -> set[str]:
        when.append(now[0])
        now[0] += left.pop(0)
        return set()

    state: Any = SimpleNamespace(
        hurry_until=0,
        refreshed_at=float("-inf"),
        refresh_seconds=0.0,
        client=None,
        table=SimpleNamespace(refresh=refresh),
    )
    loop = SimpleNamespace(get_running_loop=lambda: SimpleNamespace(time=lambda: now[0]))
    monkeypatch.setattr(route_observe, "asyncio", loop)
    context = cast(Context, SimpleNamespace(now=lambda: 1))
    while left:
        await route_observe._refresh(context, cast(RouteState, state))
        now[0] += 10
    return when


async def test_a_large_table_is_read_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = await _reads(monkeypatch, [6.0, 6.0, 6.0])
    assert second - first == pytest.approx(126) and third - second == pytest.approx(126)


async def test_one_slow_answer_is_no_large_table(monkeypatch: pytest.MonkeyPatch) -> None:
    first, hiccup, after = await _reads(monkeypatch, [0.1, 30.0, 0.1])
    assert hiccup - first <= 40 and after - hiccup <= 50


async def test_a_table_that_has_grown_is_learnt_of(monkeypatch: pytest.MonkeyPatch) -> None:
    *_, before, last = await _reads(monkeypatch, [0.1, *[12.0] * 10])
    assert last - before >= 240
