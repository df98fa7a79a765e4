"""Places that strangers share: those who are slow or unknown leave some to the others."""

import asyncio
import contextlib

import pytest
from litclaw.net import places
from litclaw.net.places import Places


class Room:
    """Four places by a clock of the test's."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.places = Places(4, 3.0, lambda: self.now)
        self.inside: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def visit(self, name: str, seconds: float) -> None:
        """Have a place for some seconds."""
        async with self.places.place(name):
            self.now += seconds

    async def come(self, *names: str) -> None:
        """Ask for a place, and stay there."""
        for name in names:
            self._leave[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._stay(name))
        await self._settle()

    async def leave(self, *names: str) -> None:
        """Leave it, or stop waiting for it."""
        for name in names:
            if name in self.inside:
                self._leave[name].set()
            else:
                self._tasks[name].cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tasks[name]
        await self._settle()

    async def _stay(self, name: str) -> None:
        async with self.places.place(name):
            self.inside.append(name)
            await self._leave[name].wait()
            self.inside.remove(name)

    async def _settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


async def test_those_who_were_slow_share_one_place() -> None:
    room = Room()
    slow = [f"slow-{number}" for number in range(12)]
    for name in slow:
        await room.visit(name, 9.5)
    await room.come(*slow)
    assert room.inside == ["slow-0"]
    await room.come("new", "another", "third")
    assert room.inside == ["slow-0", "new", "another"], "and strangers don't have all either"


async def test_a_place_is_left_for_those_who_were_quick() -> None:
    room = Room()
    await room.visit("quick", 0.1)
    await room.come(*(f"new-{number}" for number in range(12)))
    assert room.inside == ["new-0", "new-1", "new-2"]
    await room.come("quick")
    assert room.inside[-1] == "quick"
    await room.leave("new-5", "new-0")
    assert room.inside == ["new-1", "new-2", "quick", "new-3"], "who stops waiting takes no place"


async def test_who_is_slow_now_and_then_counts_as_slow() -> None:
    room = Room()
    await room.visit("mine", 9.5)
    await room.visit("mine", 0.0)
    await room.visit("other", 9.5)
    await room.come("other", "mine")
    assert room.inside == ["other"]
    await room.leave("other", "mine")
    room.now += 301
    await room.come("other", "mine")
    assert room.inside == ["other", "mine"]


async def test_who_was_slow_does_not_count_as_quick_because_time_has_passed() -> None:
    room = Room()
    await room.visit("good", 0.1)
    slow = [f"slow-{number}" for number in range(12)]
    for name in slow:
        await room.visit(name, 9.5)
    room.now += 301
    await room.come(*slow)
    await room.come("good")
    assert "good" in room.inside
    await room.leave("good", *slow)


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_MOST_REMEMBERED", 10)
    room = Room()
    await room.visit("used", 0.1)
    for number in range(100):
        await room.visit(f"new-{number}", 0.1)
        await room.visit("used", 0.1)
    assert len(room.places._slow_until) == 10 and "used" in room.places._slow_until
