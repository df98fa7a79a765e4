"""A work queue of requests: each is reconciled by one worker at a time, and none is lost.

A request that is enqueued while it waits is one request; one that is enqueued while it is reconciled is reconciled once
more afterwards. A failed one comes back after a delay that doubles, with jitter, so that a thousand agents don't return to
a recovering proxy at the same instant.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

from litclaw.net.backoff import retry_delay
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.rate_limit import RateLimit

log = logging.getLogger(__name__)

Request = tuple[str, str, str]
"""A resource to reconcile: kind, namespace, name."""
K = TypeVar("K", bound=Hashable)

Handler = Callable[[K], Awaitable[float | None]]
"""Reconciles one request; returns the seconds after which to reconcile it again, or None."""
Limits = Sequence[tuple[Hashable, int]]
"""Groups that a request belongs to, each with the number of workers that the group may occupy."""


_URGENT = object()


class WorkQueue(Generic[K]):
    """Requests that wait for a worker.

    Args:
        handler: reconciles a request. An exception that it lets out is logged, and the request is retried.
        transient: exceptions that are logged without a traceback, because something else isn't available just now.
        scope: a context in which a request is reconciled, such as the fields of its log lines.
        urgent: requests that overtake the others.
        share: whom a request that isn't urgent belongs to. A free worker takes one of those for whom the fewest work.
        limits: the groups of a request, read when a worker is about to take it. A group at its limit makes its requests
            wait, and only them. They wait parked, until a pass of the group ends. A place that is offered to one of them
            and that it doesn't need any more is offered to the next, or the others would wait for ever.
        pace: how often one request is reconciled; None: as often as it is enqueued. A resource may change all the time.
    """

    def __init__(
        self,
        handler: Handler[K],
        *,
        transient: tuple[type[Exception], ...] = (),
        scope: Callable[[K], AbstractContextManager[object]] = nullcontext,
        urgent: Callable[[K], bool] = lambda request: False,
        share: Callable[[K], Hashable] = lambda request: None,
        limits: Callable[[K], Limits] = lambda request: (),
        pace: RateLimit | None = None,
    ) -> None:
        self._handler = handler
        self._transient = transient
        self._scope = scope
        self._urgent = urgent
        self._share = share
        self._limits = limits
        self._pace = pace
        self._stopping = False
        self._urgent_ready: deque[K] = deque()
        self._ready: dict[Hashable, deque[K]] = {}
        self._busy: Counter[Hashable] = Counter()
        self._parked: dict[Hashable, deque[K]] = {}
        self._released: dict[K, Hashable] = {}
        self._occupied: Counter[Hashable] = Counter()
        self._available = asyncio.Semaphore(0)
        self._waiting: dict[K, float] = {}
        self._working: dict[K, float] = {}
        self._dirty: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._working)

    def enqueue(self, request: K) -> None:
        """Reconcile a request as soon as a worker is free, or its pace allows it."""
        is_new = request not in self._working and request not in self._waiting
        if is_new and self._pace and (pause := self._pace.wait(request)):
            self.enqueue_after(request, pause)
            return
        if timer := self._timers.pop(request, None):
            timer.cancel()
        if request in self._working:
            self._dirty.add(request)
        elif is_new:
            self._waiting[request] = asyncio.get_running_loop().time()
            self._make_ready(request)

    def enqueue_after(self, request: K, seconds: float) -> None:
        """Reconcile a request after a delay, unless it is reconciled before."""
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if (timer := self._timers.get(request)) is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[request] = loop.call_at(when, self._fire, request)

    def _fire(self, request: K) -> None:
        self._timers.pop(request, None)
        self.enqueue(request)

    def _make_ready(self, request: K) -> None:
        ready = self._urgent_ready if self._urgent(request) else self._ready.setdefault(self._share(request), deque())
        ready.append(request)
        self._available.release()

    def _next(self) -> tuple[K, Hashable]:
        """The request that is next, and its share. Equal shares take turns."""
        if self._urgent_ready:
            return self._urgent_ready.popleft(), _URGENT
        share = min(self._ready, key=lambda each: self._busy[each])
        requests = self._ready.pop(share)
        request = requests.popleft()
        if requests:
            self._ready[share] = requests
        return request, share

    async def run(self, workers: int) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def stop(self, seconds: float) -> None:
        """Begin nothing more, and wait for the passes that run, at most for some seconds."""
        self._stopping = True
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._working and loop.time() < end:
            await asyncio.sleep(0.02)

    @property
    def waiting(self) -> Iterable[K]:
        """The requests that no worker has taken yet."""
        return self._waiting.keys()

    @property
    def failing(self) -> Iterable[K]:
        """The requests whose last pass failed and that are retried."""
        return self._failures.keys()

    @property
    def longest_waiting(self) -> float:
        """For how many seconds the oldest waiting request has waited."""
        return self._oldest(self._waiting)

    @property
    def longest_working(self) -> float:
        """For how many seconds the oldest running pass has run."""
        return self._oldest(self._working)

    def _oldest(self, since: dict[K, float]) -> float:
        return max(0.0, asyncio.get_running_loop().time() - min(since.values())) if since else 0.0

    async def _work(self) -> None:
        while True:
            await self._available.acquire()
            if self._stopping:
                return
            request, share = self._next()
            limits = self._limits(request)
            groups = {group for group, _ in limits}
            offered = {self._released.pop(request)} if request in self._released else set()
            if full := next((group for group, most in limits if self._occupied[group] >= most), None):
                self._parked.setdefault(full, deque()).append(request)
                self._release((groups | offered) - {full})  # others may have its places there
                continue
            self._waiting.pop(request, None)
            self._working[request] = asyncio.get_running_loop().time()
            if self._pace:
                self._pace.count(request)
            self._occupied.update(groups)
            self._busy[share] += 1
            self._release(offered - groups)  # the request's groups have changed since it was released
            try:
                with self._scope(request):
                    requeue_after = await self._run(request)
            finally:
                self._working.pop(request, None)
                self._busy[share] -= 1
                if not self._busy[share]:
                    del self._busy[share]
                self._leave(limits)
            dirty = request in self._dirty
            self._dirty.discard(request)
            if dirty and request not in self._failures:
                self.enqueue(request)
            elif requeue_after is not None:
                self.enqueue_after(request, requeue_after)

    def _leave(self, limits: Limits) -> None:
        """Give a pass's places back."""
        for group, _ in limits:
            self._occupied[group] -= 1
            if not self._occupied[group]:
                del self._occupied[group]
        self._release(group for group, _ in limits)

    def limits_changed(self, groups: Iterable[Hashable]) -> None:
        """Consider again which of the groups' parked requests have a place. Limits that fall need no call."""
        for group in groups:
            for request in self._parked.pop(group, ()):
                self._make_ready(request)

    def _release(self, groups: Iterable[Hashable]) -> None:
        """Make ready as many parked requests of each group as there are places now."""
        for group in groups:
            parked, taken = self._parked.get(group), self._occupied[group]
            while parked:
                most = next((most for each, most in self._limits(parked[0]) if each == group), None)
                if most is not None:
                    if taken >= most:
                        break
                    taken += 1
                self._released[parked[0]] = group
                self._make_ready(parked.popleft())
            if parked is not None and not parked:
                del self._parked[group]

    async def _run(self, request: K) -> float | None:
        try:
            requeue_after = await self._handler(request)
        except Exception as error:
            failures = self._failures.get(request, 0)
            self._failures[request] = failures + 1
            requeue_after = retry_delay(failures, intervals.FIRST_RETRY, intervals.LAST_RETRY)
            if isinstance(error, self._transient):
                log.warning("reconcile of %s: %s; next try in %.1f s", request, error, requeue_after)
            else:
                log.exception("reconcile of %s failed; next try in %.1f s", request, requeue_after)
        else:
            self._failures.pop(request, None)
        return requeue_after
