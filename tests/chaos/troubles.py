"""Faults that aren't one call's: watches that end, calls at a start, two operators, the clock."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

from litclaw.kube.election import LEASE_SECONDS
from litclaw.kube.fence import EXIT_STATUS
from litclaw.kube.resources import AGENT

from .calls import KUBE
from .cases import Outcome
from .faults import EVERY, HALF_DONE, KINDS, Fault, WatchTrouble
from .lifecycle import until
from .process import OperatorProcess
from .stage import Stage
from .story import Story
from .sweep import Sweep
from .world import World

Means = Callable[[str], bool]
"""Whether a fault, by its name, is part of the run."""
_START_SECONDS = 20.0
_TAKE_OVER_SECONDS = LEASE_SECONDS + 120.0
_END_SECONDS = 120.0

WATCHES = {
    "watch cut after each event": WatchTrouble("cut", 1),
    "watch cut after three events": WatchTrouble("cut", 3),
    "watch answered 410": WatchTrouble("gone", 0),
    "watch refused with 429": WatchTrouble("refuse", status=429),
    "watch refused with 503 for longer": WatchTrouble("refuse", status=503, seconds=75.0),
    "stale lists": WatchTrouble("gone", 1, stale=True),
}
"""By name."""


@contextlib.asynccontextmanager
async def _watches(world: World, trouble: WatchTrouble) -> AsyncIterator[None]:
    world.trouble_watches(trouble)
    try:
        yield
        await asyncio.sleep(trouble.seconds)
    finally:
        world.trouble_watches(WatchTrouble())


async def watches(sweep: Sweep, world: World, stories: Sequence[Story], means: Means) -> list[Outcome]:
    """All stories during each fault of watches."""
    found = []
    for name, trouble in WATCHES.items():
        if not means(name):
            continue
        found += await sweep.run_under("watches", name, partial(_watches, world, trouble), stories)
    return found


# Starts

STARTS = tuple(kind for kind in KINDS if kind not in HALF_DONE)
"""The calls that belong to no single case only read, so none of them can be half done."""


@contextlib.asynccontextmanager
async def _start(operator: OperatorProcess, world: World, kind: str) -> AsyncIterator[None]:
    """Kill the operator, tell the stories while none runs, and start another, whose common calls fail."""
    await operator.end()
    yield
    world.trouble_calls([Fault(KUBE, EVERY, nth, kind) for nth in (1, 3)])
    try:
        await operator.start()
        await asyncio.sleep(_START_SECONDS)
    finally:
        world.trouble_calls(())


async def starts(
    sweep: Sweep, world: World, operator: OperatorProcess, stories: Sequence[Story], means: Means
) -> list[Outcome]:
    """All stories told to an operator whose start meets each fault, at the first and third call of each name."""
    found = []
    for kind in STARTS:
        name = f"a start's calls: {kind}"
        if means(name):
            found += await sweep.run_under("starts", name, partial(_start, operator, world, kind), stories)
    return found


# Two operators

Lease = Callable[[str, int], str]


def _always(kind: str) -> Lease:
    return lambda operator, number: kind if operator == "a" else ""


def _now_and_then(operator: str, number: int) -> str:
    """Every fourth lease call of the leader fails, each in another way; it goes on leading."""
    kinds = ("drop-request", "drop-answer", "409", "429", "500", "503", "504-done", "late")
    return kinds[number // 4 % len(kinds)] if operator == "a" and number % 4 == 3 else ""


LEASES: dict[str, Lease] = {
    "lease requests dropped": _always("drop-request"),
    "lease answers dropped": _always("drop-answer"),
    "lease calls answered late": _always("slow"),
    "lease calls answered 500": _always("500"),
}
"""The faults that cost the leader its lease, by name."""


class Pair:
    """Two operators, of which one leads: ``a`` at first."""

    def __init__(self, world: World, a: OperatorProcess, b: OperatorProcess) -> None:
        self._world = world
        self._a, self._b = a, b

    async def start(self) -> None:
        """Start the first, and the other once the first leads."""
        self._world.lease = lambda operator, number: ""
        await self._a.start()
        await self._leads("a", _TAKE_OVER_SECONDS)
        await self._b.start()
        await asyncio.sleep(3)

    async def end(self) -> None:
        """End both."""
        for each in (self._a, self._b):
            if each.runs:
                each.tell(signal.SIGCONT)
                await each.end(signal.SIGTERM)

    async def _leads(self, name: str, seconds: float) -> None:
        world, loop = self._world, asyncio.get_running_loop()
        start, end = len(world.calls), loop.time() + seconds
        while loop.time() < end:
            if any(
                call.operator == name and not call.name.reads and _is_work(call.name.call)
                for call in world.calls[start:]
            ):
                return
            if '"this process leads"' in (self._a if name == "a" else self._b).log.read_text():
                return
            await asyncio.sleep(0.3)
        raise AssertionError(f"{name} doesn't lead")

    def overlap(self, since: int) -> list[str]:
        """Writes of the first operator after the other had begun to write; there must be none."""
        calls = [call for call in self._world.calls[since:] if not call.name.reads and _is_work(call.name.call)]
        begun = min((call.at for call in calls if call.operator == "b"), default=None)
        late = [call for call in calls if call.operator == "a" and begun is not None and call.at > begun]
        return [f"a writes after b has begun: {call.door} {call.name.call}" for call in late[:5]]

    @contextlib.asynccontextmanager
    async def lease_trouble(self, lease: Lease) -> AsyncIterator[None]:
        """The leader's lease calls fail while the stories are told, and the other takes over."""
        self._world.lease = lease
        yield
        await self._lost()

    @contextlib.asynccontextmanager
    async def partition(self) -> AsyncIterator[None]:
        """The leader can't reach the API server any more, and the other takes over."""
        yield
        with self._world.cut_off("a"):
            await self._lost()

    async def _lost(self) -> None:
        status = await self._a.wait(_END_SECONDS)
        assert status == EXIT_STATUS, f"the leader that lost its lease ended with {status}"
        await self._leads("b", _TAKE_OVER_SECONDS)

    @contextlib.asynccontextmanager
    async def flaky(self) -> AsyncIterator[None]:
        """Single lease calls fail, and the leader goes on leading."""
        self._world.lease = _now_and_then
        yield
        await asyncio.sleep(70)
        assert self._a.runs, "the leader has ended"

    @contextlib.asynccontextmanager
    async def pause(self) -> AsyncIterator[None]:
        """The leader is paused in the middle of its work for longer than the lease, and then resumed."""
        yield
        self._a.tell(signal.SIGSTOP)
        self._world.strikes += 1
        await self._leads("b", _TAKE_OVER_SECONDS)
        await asyncio.sleep(2)
        self._a.tell(signal.SIGCONT)
        status = await self._a.wait(_END_SECONDS)
        assert status == EXIT_STATUS, f"the leader that was paused ended with {status}"

    @contextlib.asynccontextmanager
    async def leave(self) -> AsyncIterator[None]:
        """The leader receives SIGTERM in the middle of its work."""
        yield
        self._a.tell(signal.SIGTERM)
        self._world.strikes += 1
        assert await self._a.wait(_END_SECONDS) == 0
        await self._leads("b", _TAKE_OVER_SECONDS)


def _is_work(call: str) -> bool:
    return "leases" not in call


MakePair = Callable[[], Awaitable[Pair]]


def _lease_trouble(lease: Lease, pair: Pair) -> AbstractAsyncContextManager[None]:
    return pair.lease_trouble(lease)


OF_LEADERS: dict[str, Callable[[Pair], AbstractAsyncContextManager[None]]] = {
    **{name: partial(_lease_trouble, lease) for name, lease in LEASES.items()},
    "single lease calls fail": Pair.flaky,
    "leader cut off from the API server": Pair.partition,
    "leader paused past its lease": Pair.pause,
    "leader told to stop": Pair.leave,
}
"""By name."""


async def leaders(sweep: Sweep, world: World, make: MakePair, stories: Sequence[Story], means: Means) -> list[Outcome]:
    """The stories with two operators, of which the first loses the lease in each possible way, or keeps it."""
    found: list[Outcome] = []
    for name, trouble in OF_LEADERS.items():
        if not means(name):
            continue
        pair, since = await make(), len(world.calls)
        try:
            await pair.start()
            outcomes = await sweep.run_under("leaders", name, partial(trouble, pair), stories)
            if overlap := pair.overlap(since):
                sweep.say(f"{name}: {overlap}")
                outcomes[0].wrong += overlap
            found += outcomes
        except AssertionError as error:
            found.append(Outcome(name, "leaders", name, False, [str(error)]))
        finally:
            await pair.end()
    return found


# The clock

_AHEAD = 40 * 86_400.0
"""In seconds: more than a month, the period of the agents' budgets."""
_LOOKED_AT_SECONDS = 85.0
"""Each agent is reconciled within this time, whatever the clock was at the last pass (`under_test.SHORTER`)."""
_ROTATED_SECONDS = 180.0


async def _interval(stage: Stage, case: str) -> None:
    await stage.change(stage.agent(case), {"key": {"rotation": {"interval": "24h"}}})


AGEING = Story("interval", _interval)
"""An agent whose key is rotated once a day."""


@contextlib.asynccontextmanager
async def _set(stage: Stage, operator: OperatorProcess, ahead: float, generation: int) -> AsyncIterator[None]:
    """Set the clock in the middle of the stories.

    Args:
        generation: of the key that an agent with an interval must have afterwards.
    """
    yield
    await asyncio.sleep(3)
    operator.set_clock(ahead)
    stage.world.strikes += 1
    await asyncio.sleep(_LOOKED_AT_SECONDS)

    async def rotated() -> None:
        agents = (await stage.snapshot()).objects[AGENT.kind].values()
        ageing = [body for body in agents if "interval" in body["spec"]["key"].get("rotation", {})]
        found = [body["status"]["key"]["generation"] for body in ageing]
        assert found == [generation], f"an agent with an interval has a key of generation {found}"

    await until(rotated, _ROTATED_SECONDS)


async def clock(sweep: Sweep, stage: Stage, operator: OperatorProcess, stories: Sequence[Story]) -> list[Outcome]:
    """The stories while the operator's clock is set 40 days forward, and while it is set back."""
    told = [*stories, AGEING]
    found = await sweep.run_under("clock", "clock set 40 days forward", partial(_set, stage, operator, _AHEAD, 2), told)
    return found + await sweep.run_under(
        "clock", "clock set back by 40 days", partial(_set, stage, operator, 0.0, 1), told
    )
