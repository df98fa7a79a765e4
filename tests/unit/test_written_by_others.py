"""Statuses and annotations that somebody else has written: hints, which may say anything, and no exception in a pass."""

from typing import Any

import pytest
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.resources import ROTATION
from litclaw.litellm.keys import Limits
from litclaw.reconcile.keys.ensure import ensure_key
from litclaw.reconcile.rotation.reconcile import reconcile_rotation
from litclaw.reconcile.route.former import proxies_of

from .proxies import Clock
from .scenes import URL, Scene, agent_of, route_body


@pytest.mark.parametrize(
    "forged",
    [
        {"spend": "much"},
        {"spend": "nan"},
        {"spend": "1e400"},
        {"spend": "5", "budgetResetsAt": "2026-11-25t10:00:00+99:99"},
        {"spend": "5", "budgetResetsAt": "9999-12-31T23:59:59Z"},
    ],
    ids=str,
)
async def test_a_spend_that_is_none_counts_for_nothing(forged: dict[str, Any]) -> None:
    """The API server takes any text as a spend, and more times than Python reads."""
    status = {"baseURL": URL, "key": {"hash": "0123abcd", "generation": 3}, **forged}
    agent = agent_of(status=status, key={"maxBudget": "10", "budgetDuration": "10d"})
    scene = Scene()
    row, _ = await ensure_key(scene.context, agent, scene.access(Limits(max_budget=10.0, budget_duration="10d")))
    assert row.spend == 0.0 and row.mark and row.mark.generation == 4


async def test_a_generation_beyond_all_numbers_does_not_stay_in_later_keys() -> None:
    scene = Scene()
    row, _ = await ensure_key(scene.context, agent_of(status={"key": {"generation": 2**63 - 1}}), scene.access())
    assert row.mark and row.mark.generation == 1_000_000_001
    await scene.read()
    assert scene.session.table.get(row.token), "the mark is read as ours"


async def test_a_rotation_does_not_begin_in_the_future() -> None:
    """Each key would be older than it, however often it is rotated."""
    meta = {"name": "leak", "uid": "l", "resourceVersion": "1", "generation": 1}
    body = {
        "apiVersion": ROTATION.api_version,
        "kind": ROTATION.kind,
        "metadata": {**meta, "creationTimestamp": "2026-11-24T09:00:00Z"},
        "spec": {},
        "status": {"phase": "Running", "startedAt": "2999-01-01T00:00:00Z"},
    }
    scene = Scene(body)
    assert await reconcile_rotation(scene.context, "leak") == 0.0
    cached = scene.cache.get(ROTATION.kind, "", "leak")
    assert cached and cached["status"]["startedAt"].startswith("2026-11-24T10:00:00")


@pytest.mark.parametrize("left_at", ["2999-01-01T00:00:00Z", "2026-11-24t10:00:00z", "2026-11-24T10:00:00+99:99", None])
def test_a_route_left_a_proxy_now_where_its_status_says_what_can_not_be(left_at: str | None) -> None:
    now = Clock()()
    known = {"url": "http://10.0.0.2:4000", "masterKeySecretRef": {"name": "m", "key": "k"}, "leftAt": left_at}
    current = {**known, "url": URL}
    first, second = proxies_of(LiteLLMRoute.model_validate(route_body(status={"proxies": [known, current]})), now)
    assert (first.left_at, second.left_at) == ("2026-11-24T10:00:00Z", None)
