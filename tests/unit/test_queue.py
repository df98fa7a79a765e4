"""The work queue: one worker a key at a time, nothing lost, failures come back later."""

import asyncio
import contextlib

import pytest
from litclaw.reconcile.core import queue as queue_module
from litclaw.reconcile.core.queue import WorkQueue


async def _running(queue: WorkQueue[str], seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await queue.run(workers=4)


async def test_a_key_added_while_it_is_worked_on_is_worked_on_once_more_and_never_twice_at_once() -> None:
    busy, most, calls = 0, 0, 0

    async def handler(key: str) -> None:
        nonlocal busy, most, calls
        busy += 1
        most, calls = max(most, busy), calls + 1
        if calls == 1:
            queue.add(key)
            queue.add(key)
        await asyncio.sleep(0.01)
        busy -= 1

    queue: WorkQueue[str] = WorkQueue(handler)
    queue.add("a")
    queue.add("a")
    await _running(queue, 0.2)
    assert (calls, most) == (2, 1)


async def test_a_failure_is_tried_again_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "FIRST_RETRY_SECONDS", 0.01)
    seen: list[str] = []

    async def handler(key: str) -> None:
        seen.append(key)
        if key == "bad" and seen.count("bad") < 3:
            raise RuntimeError("not yet")

    queue: WorkQueue[str] = WorkQueue(handler)
    queue.add("bad")
    queue.add("good")
    await _running(queue, 0.5)
    assert seen.count("bad") == 3 and seen.count("good") == 1


async def test_the_earliest_of_two_delays_counts_and_an_add_comes_before_both() -> None:
    seen: list[float] = []
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def handler(key: str) -> None:
        seen.append(loop.time() - started)

    queue: WorkQueue[str] = WorkQueue(handler)
    queue.add_after("a", 0.05)
    queue.add_after("a", 10)
    await _running(queue, 0.2)
    assert len(seen) == 1 and seen[0] >= 0.05
    queue.add_after("a", 10)
    queue.add("a")
    await _running(queue, 0.1)
    assert len(seen) == 2


async def test_what_passes_by_itself_is_logged_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(key: str) -> None:
        raise ConnectionError("gone for a moment") if key == "known" else ValueError("a bug")

    queue: WorkQueue[str] = WorkQueue(handler, passing=(ConnectionError,))
    queue.add("known")
    queue.add("bug")
    await _running(queue, 0.1)
    by_key = {str(record.args[0]): record for record in caplog.records if record.args}  # type: ignore[index]
    assert by_key["known"].exc_info is None and by_key["bug"].exc_info is not None


async def test_a_key_that_fails_and_is_wanted_again_waits_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "FIRST_RETRY_SECONDS", 0.1)
    calls = 0

    async def handler(key: str) -> None:
        nonlocal calls
        calls += 1
        queue.add(key)
        raise RuntimeError("always")

    queue: WorkQueue[str] = WorkQueue(handler)
    queue.add("hot")
    await _running(queue, 0.25)
    assert calls <= 3, "a resource that fails over its own events must not turn at full speed"


async def test_at_the_end_nothing_is_begun_and_what_is_at_work_is_waited_for() -> None:
    begun: list[str] = []
    done: list[str] = []

    async def handler(key: str) -> None:
        begun.append(key)
        await asyncio.sleep(0.1 if key == "quick" else 60)
        done.append(key)

    queue: WorkQueue[str] = WorkQueue(handler)
    task = asyncio.create_task(queue.run(workers=2))
    queue.add("quick")
    queue.add("slow")
    await asyncio.sleep(0.01)
    queue.add("late")
    await asyncio.wait_for(queue.stop(0.3), 1)
    assert (begun, done) == (["quick", "slow"], ["quick"])
    assert queue.longest_working >= 0.3 and list(queue.waiting) == ["late"]
    task.cancel()
    await asyncio.wait([task])
    assert begun == ["quick", "slow"]
