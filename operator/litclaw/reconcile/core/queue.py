"""A work queue of keys: each is worked on by one worker at a time, and never lost.

A key that is added while it waits is one key; a key that is added while it is worked on is worked on once more
afterwards. A failure comes back after a delay that doubles, with jitter, so that a thousand agents don't return to a
recovering proxy in one instant.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

Handler = Callable[[K], Awaitable[float | None]]
"""Reconciles one request; returns the seconds after which to call it again, or None."""

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 60.0


def jittered(seconds: float) -> float:
    """A delay between 75 % and 125 % of what is asked."""
    return seconds * random.uniform(0.75, 1.25)


class WorkQueue(Generic[K]):
    """Keys that want to be worked on.

    Args:
        handler: what is done with a key. An exception that it lets out is logged and the key retried.
        passing: exceptions that need no traceback, because they say that something else isn't there just now.
        scope: what a key is worked on in, such as the field of a log line that names it.
    """

    def __init__(
        self,
        handler: Handler[K],
        *,
        passing: tuple[type[Exception], ...] = (),
        scope: Callable[[K], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._handler = handler
        self._passing = passing
        self._scope = scope
        self._stopping = False
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: dict[K, float] = {}
        self._working: dict[K, float] = {}
        self._dirty: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._working)

    def add(self, key: K) -> None:
        """Have a key worked on as soon as a worker is free."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._working:
            self._dirty.add(key)
        elif key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().time()
            self._ready.put_nowait(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Have a key worked on after a delay, unless it is worked on before."""
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if (timer := self._timers.get(key)) is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._fire, key)

    def _fire(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def run(self, workers: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def stop(self, seconds: float) -> None:
        """Begin nothing more, and wait for what is worked on, at most for some seconds."""
        self._stopping = True
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._working and loop.time() < end:
            await asyncio.sleep(0.02)

    @property
    def waiting(self) -> Iterable[K]:
        """The keys that no worker has taken yet."""
        return self._waiting.keys()

    @property
    def failing(self) -> Iterable[K]:
        """The keys whose last pass has failed, and that are tried again."""
        return self._failures.keys()

    @property
    def longest_waiting(self) -> float:
        """For how many seconds the oldest key that waits has waited."""
        return self._oldest(self._waiting)

    @property
    def longest_working(self) -> float:
        """For how many seconds the pass that began first has run."""
        return self._oldest(self._working)

    def _oldest(self, since: dict[K, float]) -> float:
        return max(0.0, asyncio.get_running_loop().time() - min(since.values())) if since else 0.0

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            if self._stopping:
                return
            self._waiting.pop(key, None)
            self._working[key] = asyncio.get_running_loop().time()
            try:
                with self._scope(key):
                    requeue_after = await self._run(key)
            finally:
                self._working.pop(key, None)
            dirty = key in self._dirty
            self._dirty.discard(key)
            if dirty and key not in self._failures:
                self.add(key)
            elif requeue_after is not None:
                self.add_after(key, requeue_after)

    async def _run(self, key: K) -> float | None:
        try:
            requeue_after = await self._handler(key)
        except Exception as error:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            requeue_after = jittered(min(FIRST_RETRY_SECONDS * 2.0 ** min(failures, 16), LAST_RETRY_SECONDS))
            if isinstance(error, self._passing):
                log.warning("reconcile of %s: %s; next try in %.1f s", key, error, requeue_after)
            else:
                log.exception("reconcile of %s failed; next try in %.1f s", key, requeue_after)
        else:
            self._failures.pop(key, None)
        return requeue_after
