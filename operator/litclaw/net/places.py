"""Places for what takes long at strangers', such as a lookup of a name. Those who are slow, or unknown, can't take all of them."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

_SLOW_FOR = 300.0
_MOST_REMEMBERED = 1_000
_QUICK = float("-inf")


class Places:
    """Places for many, by name. A quarter is for those who were quick before, and those who were slow share another.

    Args:
        most: how many there are.
        slow: who has a place for longer than so many seconds is slow for five minutes, quick or not meanwhile.
        clock: in seconds.
    """

    def __init__(self, most: int, slow: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._slow = slow
        self._clock = clock
        self._for_all = asyncio.Semaphore(most)
        self._for_unknown = asyncio.Semaphore(max(1, most - most // 4))
        self._for_slow = asyncio.Semaphore(max(1, most // 4))
        self._slow_until: OrderedDict[str, float] = OrderedDict()
        """Of those who had a place: until when they are slow. The one that was quick or slow longest ago is forgotten first."""

    @contextlib.asynccontextmanager
    async def place(self, name: str) -> AsyncIterator[None]:
        """A place, when one is free."""
        async with contextlib.AsyncExitStack() as places:
            for each in self._needed(name):
                await places.enter_async_context(each)
            began = self._clock()
            try:
                yield
            finally:
                self._note(name, self._clock() - began)

    def _needed(self, name: str) -> list[asyncio.Semaphore]:
        until = self._slow_until.get(name)
        if until == _QUICK:
            return [self._for_all]
        slow = until is not None and self._clock() < until
        return [self._for_slow, self._for_unknown, self._for_all] if slow else [self._for_unknown, self._for_all]

    def _note(self, name: str, seconds: float) -> None:
        now, until = self._clock(), self._slow_until.get(name, _QUICK)
        if seconds > self._slow:
            until = now + _SLOW_FOR
        elif until <= now:
            until = _QUICK
        self._slow_until[name] = until
        self._slow_until.move_to_end(name)
        while len(self._slow_until) > _MOST_REMEMBERED:
            self._slow_until.popitem(last=False)
