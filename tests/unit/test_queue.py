"""The work queue: one worker per request at a time, nothing lost, failures come back later, and groups have limits."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Self

import pytest
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.queue import Limits, WorkQueue
from litclaw.reconcile.core.rate_limit import RateLimit

from .scenes import until


async def _run(queue: WorkQueue[str], condition: Callable[[], object]) -> None:
    """Reconcile until a condition is true, and a little longer."""
    task = asyncio.create_task(queue.run(workers=4))
    await until(condition)
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])


async def test_a_request_that_is_enqueued_while_it_is_reconciled_is_reconciled_once_more_and_never_twice_at_once() -> (
    None
):
    busy, most, calls = 0, 0, 0

    async def handler(request: str) -> None:
        nonlocal busy, most, calls
        busy += 1
        most, calls = max(most, busy), calls + 1
        if calls == 1:
            queue.enqueue(request)
            queue.enqueue(request)
        await asyncio.sleep(0.01)
        busy -= 1

    queue: WorkQueue[str] = WorkQueue(handler)
    queue.enqueue("a")
    queue.enqueue("a")
    await _run(queue, lambda: calls == 2)
    assert (calls, most) == (2, 1)


async def test_a_failure_is_retried_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "FIRST_RETRY", 0.01)
    seen: list[str] = []

    async def handler(request: str) -> None:
        seen.append(request)
        if request == "bad" and seen.count("bad") < 3:
            raise RuntimeError("not yet")

    queue: WorkQueue[str] = WorkQueue(handler)
    queue.enqueue("bad")
    queue.enqueue("good")
    await _run(queue, lambda: seen.count("bad") == 3)
    assert seen.count("bad") == 3 and seen.count("good") == 1 and not list(queue.failing)


async def test_the_earliest_of_two_delays_counts_and_enqueue_comes_before_both() -> None:
    seen: list[float] = []
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def handler(request: str) -> None:
        seen.append(loop.time() - started)

    queue: WorkQueue[str] = WorkQueue(handler)
    queue.enqueue_after("a", 0.05)
    queue.enqueue_after("a", 10)
    await _run(queue, lambda: seen)
    assert len(seen) == 1 and seen[0] >= 0.05
    queue.enqueue_after("a", 10)
    queue.enqueue("a")
    await _run(queue, lambda: len(seen) == 2)
    assert len(seen) == 2


async def test_a_transient_error_is_logged_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: str) -> None:
        raise ConnectionError("gone for a moment") if request == "known" else ValueError("a bug")

    queue: WorkQueue[str] = WorkQueue(handler, transient=(ConnectionError,))
    queue.enqueue("known")
    queue.enqueue("bug")
    await _run(queue, lambda: len(list(queue.failing)) == 2)
    by_request = {str(record.args[0]): record for record in caplog.records if record.args}  # type: ignore[index]
    assert by_request["known"].exc_info is None and by_request["bug"].exc_info is not None


async def test_a_request_that_fails_and_is_enqueued_by_its_own_pass_waits_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intervals, "FIRST_RETRY", 60.0)
    calls = 0

    async def handler(request: str) -> None:
        nonlocal calls
        calls += 1
        queue.enqueue(request)
        raise RuntimeError("always")

    queue: WorkQueue[str] = WorkQueue(handler)
    queue.enqueue("hot")
    await _run(queue, lambda: calls)
    assert calls == 1, "a resource that fails over its own events must not be reconciled without pause"


async def test_at_the_end_no_pass_is_begun_and_the_running_ones_are_waited_for() -> None:
    begun: list[str] = []
    done: list[str] = []
    ends = asyncio.Event()

    async def handler(request: str) -> None:
        begun.append(request)
        await (ends.wait() if request == "quick" else asyncio.sleep(60))
        done.append(request)

    queue: WorkQueue[str] = WorkQueue(handler)
    task = asyncio.create_task(queue.run(workers=2))
    queue.enqueue("quick")
    queue.enqueue("slow")
    await until(lambda: len(begun) == 2)
    queue.enqueue("late")
    stopping = asyncio.create_task(queue.stop(0.3))
    await asyncio.sleep(0)
    ends.set()
    await asyncio.wait_for(stopping, 10)
    assert (begun, done) == (["quick", "slow"], ["quick"])
    assert queue.longest_working >= 0.3 and list(queue.waiting) == ["late"]
    task.cancel()
    await asyncio.wait([task])
    assert begun == ["quick", "slow"]


async def test_a_request_that_is_enqueued_all_the_time_has_its_pace_and_its_last_change_is_seen() -> None:
    now, seen = 0.0, list[float]()

    async def handler(request: str) -> None:
        if request == "busy":
            seen.append(now)

    queue: WorkQueue[str] = WorkQueue(handler, pace=RateLimit(3, 0.05, lambda: asyncio.get_running_loop().time()))
    task = asyncio.create_task(queue.run(workers=4))
    for _ in range(200):
        now += 1
        queue.enqueue("busy")
        queue.enqueue("other")
        await asyncio.sleep(0.001)
    assert len(seen) < 60, "two hundred changes are not two hundred passes"
    await until(lambda: seen[-1] == 200)
    await asyncio.sleep(0.1)
    assert seen.count(200) <= 2 and not list(queue.waiting)
    task.cancel()
    await asyncio.wait([task])


async def test_a_pause_between_passes_does_not_delay_what_is_due_later_nor_forget_it() -> None:
    calls: list[str] = []

    async def handler(request: str) -> None:
        calls.append(request)

    queue: WorkQueue[str] = WorkQueue(handler, pace=RateLimit(1, 0.05, lambda: asyncio.get_running_loop().time()))
    task = asyncio.create_task(queue.run(workers=1))
    queue.enqueue("a")
    await until(lambda: len(calls) == 1)
    queue.enqueue_after("a", 600.0)
    queue.enqueue("a")
    await until(lambda: len(calls) == 2)
    task.cancel()
    await asyncio.wait([task])


async def test_urgent_requests_overtake_the_others() -> None:
    seen: list[str] = []

    async def handler(request: str) -> None:
        seen.append(request)
        if request == "a1":
            queue.enqueue("r2")

    queue: WorkQueue[str] = WorkQueue(handler, urgent=lambda request: request.startswith("r"))
    for request in ("a1", "a2", "r1", "a3"):
        queue.enqueue(request)
    task = asyncio.create_task(queue.run(workers=1))
    await until(lambda: len(seen) == 5)
    task.cancel()
    assert seen == ["r1", "a1", "r2", "a2", "a3"]


async def test_a_free_worker_takes_a_request_of_whom_the_fewest_work_for() -> None:
    begun: list[str] = []
    ends: dict[str, asyncio.Event] = {}

    async def handler(request: str) -> None:
        begun.append(request)
        await ends.setdefault(request, asyncio.Event()).wait()

    queue: WorkQueue[str] = WorkQueue(handler, share=lambda request: request[0])
    for request in (*(f"x{number}" for number in range(9)), "y0", "y1", "z0"):
        queue.enqueue(request)
    task = asyncio.create_task(queue.run(workers=3))
    await until(lambda: len(begun) == 3)
    assert begun == ["x0", "y0", "z0"]
    ends["y0"].set()
    await until(lambda: len(begun) == 4)
    assert begun[3] == "y1", "nobody works for y now"
    for request in ("z0", "y1"):
        ends[request].set()
    await until(lambda: len(begun) == 6)
    assert begun[4:] == ["x1", "x2"], "no worker is idle for the sake of others"
    task.cancel()
    await asyncio.wait([task])


async def test_of_equal_shares_each_has_its_turn() -> None:
    seen: list[str] = []

    async def handler(request: str) -> None:
        seen.append(request)

    queue: WorkQueue[str] = WorkQueue(handler, share=lambda request: request[0])
    for request in ("x0", "x1", "x2", "y0", "y1", "z0"):
        queue.enqueue(request)
    task = asyncio.create_task(queue.run(workers=1))
    await until(lambda: len(seen) == 6)
    task.cancel()
    assert seen == ["x0", "y0", "z0", "x1", "y1", "x2"]


# Limits


class Groups:
    """A queue whose requests are named after their groups, such as ``x-1`` or ``xy-2``. A pass lasts until it is ended.

    Attributes:
        limits: of each group; a group without a limit has none.
        moved: other groups of a request than its name has.
        begun: the requests, in order.
        busy: those that are reconciled now.
        most: the largest number of passes at a time, by group.
    """

    def __init__(self, workers: int = 4, **limits: int) -> None:
        self.limits = limits
        self.moved: dict[str, str] = {}
        self.begun: list[str] = []
        self.busy: dict[str, asyncio.Event] = {}
        self.most: Counter[str] = Counter()
        self.queue: WorkQueue[str] = WorkQueue(self._handle, limits=self._limits)
        self._workers = workers

    def _limits(self, request: str) -> Limits:
        groups = self.moved.get(request, request.partition("-")[0])
        return [(group, self.limits[group]) for group in groups if group in self.limits]

    async def _handle(self, request: str) -> None:
        assert request not in self.busy, "never twice at once"
        self.begun.append(request)
        ended = self.busy[request] = asyncio.Event()
        for group, busy in Counter(group for each in self.busy for group in each.partition("-")[0]).items():
            self.most[group] = max(self.most[group], busy)
        try:
            await ended.wait()
        finally:
            del self.busy[request]

    def enqueue(self, *requests: str) -> None:
        for request in requests:
            self.queue.enqueue(request)

    async def end(self, *requests: str) -> None:
        for request in requests:
            self.busy[request].set()
        await self.idle()

    async def idle(self) -> None:
        """Wait until every worker that can work does."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.queue.run(self._workers))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


async def test_a_group_at_its_limit_delays_only_its_own_requests() -> None:
    async with Groups(x=1) as found:
        found.enqueue("x-1", "x-2", "x-3", "y-1", "y-2")
        await found.idle()
        assert found.begun == ["x-1", "y-1", "y-2"] and set(found.queue.waiting) == {"x-2", "x-3"}
        await found.end("x-1")
        await found.end("x-2")
        assert found.begun == ["x-1", "y-1", "y-2", "x-2", "x-3"] and found.most["x"] == 1


async def test_a_limit_that_rises_releases_as_many_requests_as_there_are_places() -> None:
    async with Groups(workers=8, x=1) as found:
        found.enqueue(*(f"x-{number}" for number in range(8)))
        await found.idle()
        assert len(found.busy) == 1
        found.limits["x"] = 4
        await found.end("x-0")
        assert len(found.busy) == 4
        del found.limits["x"]
        await found.end("x-1")
        assert len(found.busy) == 6 and not list(found.queue.waiting)


async def test_a_limit_that_falls_lets_running_passes_end_and_begins_no_more() -> None:
    async with Groups(workers=8, x=4) as found:
        found.enqueue(*(f"x-{number}" for number in range(6)))
        await found.idle()
        found.limits["x"] = 1
        await found.end("x-0", "x-1")
        assert len(found.begun) == 4
        await found.end("x-2", "x-3")
        assert len(found.begun) == 5 and len(found.busy) == 1


async def test_a_request_of_two_groups_needs_a_place_in_both_and_is_not_lost() -> None:
    async with Groups(x=1, y=1) as found:
        found.enqueue("x-1", "y-1", "xy-1", "xy-2")
        await found.idle()
        assert found.begun == ["x-1", "y-1"]
        await found.end("x-1")
        assert len(found.begun) == 2, "y has no place yet"
        await found.end("y-1")
        await found.end("xy-1")
        await found.end("xy-2")
        assert found.begun == ["x-1", "y-1", "xy-1", "xy-2"] and (found.most["x"], found.most["y"]) == (1, 1)


async def test_a_request_that_waits_for_another_group_keeps_no_place_in_its_own() -> None:
    async with Groups(x=1, y=1) as found:
        found.enqueue("y-1", "x-1", "xy-1", "x-2")
        await found.idle()
        assert found.begun == ["y-1", "x-1"]
        await found.end("x-1")
        assert found.begun == ["y-1", "x-1", "x-2"], "xy-1 waits for y, and x has a place"
        await found.end("x-2", "y-1")
        assert found.begun[-1] == "xy-1"


async def test_a_parked_request_that_is_enqueued_again_is_one_request() -> None:
    async with Groups(x=1) as found:
        found.enqueue("x-1", "x-2")
        await found.idle()
        found.enqueue("x-2", "x-2")
        await found.end("x-1")
        await found.end("x-2")
        assert found.begun == ["x-1", "x-2"] and len(found.queue) == 0


async def test_a_request_that_leaves_its_group_when_its_turn_has_come_keeps_the_others_from_nothing() -> None:
    async with Groups(workers=2, x=1) as found:
        found.enqueue("x-1", "x-2", "x-3", "y-1", "y-2")
        await found.idle()
        found.busy["x-1"].set()
        while "x-1" in found.busy:
            await asyncio.sleep(0)
        found.moved["x-2"] = "y"  # x-2 has been offered the place, and y-2 is taken first
        await found.idle()
        await found.end("y-1")
        await found.end(*set(found.busy))
        await found.end(*set(found.busy))
        assert not list(found.queue.waiting), "x-3 has begun"


async def test_requests_that_no_longer_belong_to_a_full_group_needn_t_wait_for_it() -> None:
    async with Groups(z=1) as found:
        found.enqueue("z-1", "z-2", "xz-1", "xz-2")
        await found.idle()
        assert found.begun == ["z-1"]
        found.moved = {"xz-1": "x", "xz-2": "x"}
        found.queue.limits_changed(["z"])
        await found.idle()
        assert found.begun == ["z-1", "xz-1", "xz-2"], "z-2 still waits"
        await found.end("z-1")
        assert found.begun[-1] == "z-2"


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_every_request_is_reconciled_and_never_twice_at_once(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "FIRST_RETRY", 0.001)
    monkeypatch.setattr(intervals, "LAST_RETRY", 0.01)
    chance = random.Random(seed)
    requests = [f"{groups}-{number}" for groups in ("", "x", "y", "xy", "yz", "xyz") for number in range(5)]
    limits = {"x": 1, "y": 2, "z": 1}
    busy: dict[str, str] = {}  # with the groups of the pass
    wanted: Counter[str] = Counter()  # how often a request was enqueued since its last successful pass began

    moved: dict[str, str] = {}

    def groups_of(request: str) -> str:
        return moved.get(request, request.partition("-")[0])

    def limits_of(request: str) -> Limits:
        return [(group, limits[group]) for group in groups_of(request)]

    async def handler(request: str) -> float | None:
        assert request not in busy, "never twice at once"
        busy[request] = groups_of(request)
        begun_for = wanted.pop(request, 0)
        try:
            for group in busy[request]:
                assert sum(group in groups for groups in busy.values()) <= 3, "the highest limit"
            await asyncio.sleep(chance.choice([0.0, 0.0, 0.001]))
            if chance.random() < 0.2:
                wanted[request] += begun_for
                raise RuntimeError("by chance")
            return 0.002 if chance.random() < 0.1 else None
        finally:
            del busy[request]

    queue: WorkQueue[str] = WorkQueue(
        handler, transient=(RuntimeError,), urgent=lambda request: request.endswith("0"), limits=limits_of
    )
    task = asyncio.create_task(queue.run(workers=6))
    for _ in range(400):
        request = chance.choice(requests)
        wanted[request] += 1
        if chance.random() < 0.8:
            queue.enqueue(request)
        else:
            queue.enqueue_after(request, chance.random() * 0.01)
        if chance.random() < 0.1:
            limits[chance.choice("xyz")] = chance.randint(1, 3)
        if chance.random() < 0.2:
            moved[chance.choice(requests)] = chance.choice(["", "x", "y", "z", "xz"])
        if chance.random() < 0.3:
            await asyncio.sleep(0)
        if chance.random() < 0.02:
            await asyncio.sleep(0.01)
    await until(lambda: not +wanted and not busy and len(queue) == 0, seconds=10)
    assert not task.done(), "no worker has ended"
    task.cancel()
    await asyncio.wait([task])
