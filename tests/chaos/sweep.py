"""The sweeps: each fault at each call of each story, many cases at a time."""

import asyncio
import contextlib
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from litclaw.kube.resources import AGENT

from .end_state import difference, seen
from .faults import HALF_DONE, KILLS, KINDS, LITELLM, STALE, Fault
from .process import OperatorProcess
from .stage import SPENT, Object, Stage, token_of
from .stories import STORIES, Story, is_begun
from .world import Call

QUIET_SECONDS = 10.0
_SETTLE_SECONDS = 150.0
_STABLE_SECONDS = 16.0
_LOOK_SECONDS = 2.5
_FELT_SECONDS = 4.0
"""After a fault has struck, what comes of it may not be there yet."""
_MOST_CALLS = 400
_HELD_SECONDS = 25.0
"""For how long calls are held before a kill: the operator gives one up after 30 s."""
_NEXT_SECONDS = 12.0
_POLLED = 2
"""How many of the calls that are made again and again, whatever happens, are struck."""

Say = Callable[[str], None]
Trouble = Callable[[], AbstractAsyncContextManager[None]]
"""What lasts while stories are told; it ends by itself."""


@dataclass(frozen=True)
class Case:
    """A story and the fault that it meets; None: none."""

    story: Story
    fault: Fault | None

    def __str__(self) -> str:
        return f"{self.story.name}:{self.fault or '-'}"

    @classmethod
    def parse(cls, text: str) -> "Case":
        """A case as `str` writes it.

        Raises:
            ValueError: it isn't one.
        """
        story, _, fault = text.partition(":")
        if story not in STORIES:
            raise ValueError(f"no story {story!r}: there are {', '.join(STORIES)}")
        return cls(STORIES[story], None if fault == "-" else Fault.parse(fault))


@dataclass
class Outcome:
    """How a case has ended.

    Attributes:
        case: by which `--case` repeats it, in the groups calls and kills.
        group: one of the campaign's.
        kind: of the fault.
        reached: whether the call came at which the fault was laid.
        wrong: what isn't as it should be; empty: it has survived.
        seconds: from the beginning of the story until all was as without the fault.
    """

    case: str
    group: str
    kind: str
    reached: bool
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    calls: list[str] = field(default_factory=list)


@dataclass
class Recorded:
    """A story without a fault: what it comes to, and its calls, by door and name, with how many there were."""

    state: Object
    calls: Counter[str]
    reads: dict[str, bool]


class Sweep:
    """Runs cases, in batches, in an operator that is there already.

    Args:
        size: how many cases at a time.

    Attributes:
        operator: what is killed and started anew, if anything.
        recorded: what each story comes to without a fault, by its name.
    """

    def __init__(self, stage: Stage, say: Say, size: int) -> None:
        self._stage = stage
        self._world = stage.world
        self._size = size
        self._number = itertools.count(1)
        self.say = say
        self.operator: OperatorProcess | None = None
        self.recorded: dict[str, Recorded] = {}

    async def record(self, stories: Iterable[Story]) -> None:
        """Tell each story without a fault."""
        cases = {f"c{next(self._number):03}": story for story in stories}
        await self._begin(cases)
        for name, story in cases.items():
            self._world.lay(name, None)
            await story.act(self._stage, name)
        states = await self._stable(cases)
        for name, story in cases.items():
            calls = self._world.cases[name].calls
            counts = Counter(f"{call.door}:{call.name.call}" for call in calls)
            reads = {f"{call.door}:{call.name.call}": call.name.reads for call in calls}
            self.recorded[story.name] = Recorded(states[name], counts, reads)
            kept = story.there and self._stage.is_one_litellm(name, f"{name}{story.tenant}")
            _see_sane(story, states[name], SPENT if kept else 0.0)
        await self._end(cases)

    def places(self, story: Story) -> Iterator[tuple[str, str, int, bool]]:
        """Where faults can be laid: door, call, its number, whether it only reads."""
        recorded = self.recorded[story.name]
        for name, count in sorted(recorded.calls.items()):
            door, _, call = name.partition(":")
            reads = recorded.reads[name]
            for number in range(1, 1 + (min(count, _POLLED) if reads else count)):
                yield door, call, number, reads

    def cases(self, stories: Iterable[Story], kinds: Sequence[str] = KINDS) -> list[Case]:
        """Every fault at every call of some stories. A call that changes nothing can't be half done."""
        found = []
        for story in stories:
            for door, call, number, reads in self.places(story):
                for kind in kinds:
                    if reads and kind in HALF_DONE:
                        continue
                    found.append(Case(story, Fault(door, call, number, kind)))
                if (door, call) == (LITELLM, "GET /key/list") and kinds is KINDS:
                    found.append(Case(story, Fault(door, call, number, STALE)))
        return found

    async def run(self, cases: Sequence[Case]) -> list[Outcome]:
        """Run cases, a batch at a time."""
        outcomes: list[Outcome] = []
        for at in range(0, len(cases), self._size):
            outcomes += await self._batch(cases[at : at + self._size])
            for outcome in outcomes[at:]:
                if outcome.wrong:
                    self.say(f"{outcome.case}: {outcome.wrong}")
            bad = sum(1 for outcome in outcomes if outcome.wrong)
            self.say(f"{len(outcomes)} of {len(cases)} cases, {bad} failed")
        return outcomes

    async def run_under(self, group: str, name: str, trouble: Trouble, stories: Iterable[Story]) -> list[Outcome]:
        """Tell stories while something goes wrong that isn't one call's.

        Args:
            group: of the campaign.
            name: of the trouble.
            trouble: is begun before the stories, and ended when it has lasted long enough.
        """
        cases, strikes = [Case(story, None) for story in stories], self._world.strikes
        try:
            outcomes = await self._batch(cases, trouble)
        except (AssertionError, TimeoutError) as error:
            await self._stage.clear()
            wrong = f"{type(error).__name__}: {error}"
            outcomes = [Outcome(str(case), group, name, True, [wrong]) for case in cases]
        for outcome in outcomes:
            outcome.group, outcome.kind = group, name
            outcome.reached = self._world.strikes > strikes
            outcome.case = f"{outcome.case.partition(':')[0]}, {name}"
            if outcome.wrong:
                self.say(f"{outcome.case}: {outcome.wrong}")
        return outcomes

    async def _batch(self, cases: Sequence[Case], trouble: Trouble = contextlib.nullcontext) -> list[Outcome]:
        named = {f"c{next(self._number):03}": case for case in cases}
        killing = [name for name, case in named.items() if case.fault and case.fault.kind in KILLS]
        try:
            await self._begin({name: case.story for name, case in named.items()})
        except AssertionError as error:
            await self._end(named)
            return [Outcome(str(case), _group(case), _kind(case), False, [f"didn't begin: {error}"]) for case in cases]
        loop = asyncio.get_running_loop()
        begun = {}
        for name, case in named.items():
            self._world.lay(name, case.fault)
        async with trouble():
            for name, case in named.items():
                begun[name] = loop.time()
                await case.story.act(self._stage, name)
        if killing:
            await self._kill(killing)
        settled = await self._settled(named)
        wrong = await self._look(named, settled)
        outcomes = []
        for name, case in named.items():
            watched = self._world.cases[name]
            wrong[name] += watched.wrong
            if len(watched.calls) > _MOST_CALLS:
                wrong[name].append(f"{len(watched.calls)} calls: it loops")
            took = settled.get(name, loop.time()) - begun[name]
            reached = bool(watched.struck) or case.fault is None
            outcome = Outcome(str(case), _group(case), _kind(case), reached, wrong[name], round(took, 1))
            if outcome.wrong:
                outcome.calls = [_line(call, begun[name]) for call in watched.calls]
            outcomes.append(outcome)
        left = await self._end(named)
        for outcome, name in zip(outcomes, named, strict=True):
            outcome.wrong += left.get(name, [])
        return outcomes

    async def _kill(self, named: Sequence[str]) -> None:
        """Kill the operator when these cases are held at their calls, or no other comes to its; and start another."""
        loop = asyncio.get_running_loop()
        last, end, count = loop.time() + _HELD_SECONDS, float("inf"), -1
        while loop.time() < min(end, last) and len(self._world.waiting) < len(named):
            if len(self._world.waiting) != count:
                count, end = len(self._world.waiting), loop.time() + _NEXT_SECONDS
            await asyncio.sleep(0.1)
        assert self.operator
        await self.operator.end()
        self._disarm(named)  # one that comes later would be held by nobody's kill
        self._world.let_go()
        await self.operator.start()

    def _disarm(self, named: Iterable[str]) -> None:
        """Take away the faults whose calls haven't come."""
        for name in named:
            if not (watched := self._world.cases[name]).struck:
                watched.fault = None

    async def _begin(self, named: dict[str, Story]) -> None:
        stage = self._stage
        for name, story in named.items():
            self._world.cases.pop(name, None)
            await stage.master(name)
            if story.there:
                await stage.apply(stage.route(name, name))
                if story.second:
                    await stage.apply(stage.route(f"{name}-b", f"{name}-b"))
                await stage.apply(stage.agent(name))

        async def begun() -> bool:
            snapshot = await stage.snapshot()
            missing = [name for name, story in named.items() if not is_begun(snapshot, story, name)]
            assert not missing, f"{', '.join(missing)} didn't get ready"
            return True

        await self._until(begun, 240)
        there = [name for name, story in named.items() if story.there]
        for name in there:
            await stage.spend(name, token_of(await stage.key_of(name)))

        async def known() -> bool:
            snapshot = await stage.snapshot()
            agents = snapshot.objects[AGENT.kind]
            missing = [name for name in there if (agents[name].get("status") or {}).get("spend") != f"{SPENT:.2f}"]
            assert not missing, f"the spend of {', '.join(missing)} isn't known"
            return True

        await self._until(known, 120)
        for name, story in named.items():
            if story.prepare:
                await story.prepare(stage, name)
        prepared = {name: story for name, story in named.items() if story.prepare}
        if prepared:
            await self._until(begun, 120)

    async def _until(self, look: Callable[[], Any], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            try:
                if await look():
                    return
            except AssertionError:
                if loop.time() > end:
                    raise
            await asyncio.sleep(_LOOK_SECONDS)

    async def _stable(self, named: dict[str, Story]) -> dict[str, Object]:
        """What cases come to: until nothing has changed for some time."""
        loop = asyncio.get_running_loop()
        last: dict[str, Object] = {}
        since = loop.time()
        while loop.time() < since + _STABLE_SECONDS:
            snapshot = await self._stage.snapshot()
            states = {name: seen(snapshot, name) for name in named}
            if states != last:
                last, since = states, loop.time()
            await asyncio.sleep(_LOOK_SECONDS)
        return last

    async def _settled(self, named: dict[str, Case]) -> dict[str, float]:
        """When each case was as without its fault, by the loop's clock; those that aren't in time are missing."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _SETTLE_SECONDS
        found: dict[str, float] = {}
        while loop.time() < end:
            snapshot = await self._stage.snapshot()
            for name, case in named.items():
                felt = loop.time() > self._world.cases[name].struck_at + _FELT_SECONDS
                if not felt or seen(snapshot, name) != self.recorded[case.story.name].state:
                    found.pop(name, None)
                elif name not in found:
                    found[name] = loop.time()
            reached = all(self._world.cases[name].struck for name, case in named.items() if case.fault)
            if len(found) == len(named) and (reached or loop.time() > max(found.values()) + 14):
                break
            await asyncio.sleep(_LOOK_SECONDS)
        return found

    async def _look(self, named: dict[str, Case], settled: dict[str, float]) -> dict[str, list[str]]:
        """What isn't as it should be when all has come to rest."""
        self._disarm(named)  # one that struck now would have its recovery taken for writes where nothing changes
        await asyncio.sleep(4)  # late requests, and the operator's answer to them
        start = len(self._world.calls)
        await asyncio.sleep(QUIET_SECONDS)
        writes: dict[str, list[str]] = {}
        for call in self._world.calls[start:]:
            if not call.name.reads:
                writes.setdefault(call.name.case, []).append(f"{call.door} {call.name.call}")
        snapshot = await self._stage.snapshot()
        wrong: dict[str, list[str]] = {name: [] for name in named}
        for name, case in named.items():
            wanted = self.recorded[case.story.name].state
            wrong[name] += difference(wanted, seen(snapshot, name))
            if name in writes:
                wrong[name].append(f"writes where nothing changes: {', '.join(writes[name][:5])}")
            if case.story.accepted is not None and not wrong[name]:
                tenant = f"{name}{case.story.tenant}"
                accepted = await self._stage.is_accepted(tenant, await self._stage.key_of(name))
                if accepted != case.story.accepted:
                    wrong[name].append(f"the key is {'accepted' if accepted else 'refused'}")
        return wrong

    async def _end(self, named: Iterable[str]) -> dict[str, list[str]]:
        """Delete cases' agents and then all else; returns what was left of each."""
        names = list(named)
        for name in names:
            self._world.lay(name, None)
            self._world.cases[name].ending = True
            await self._stage.delete(AGENT, name)
        left: dict[str, list[str]] = {}

        async def gone() -> bool:
            snapshot = await self._stage.snapshot()
            left.clear()
            for name in names:
                if rows := snapshot.keys.get(name):
                    left.setdefault(name, []).append(f"{len(rows)} keys are left after the agent's deletion")
                if snapshot.get(AGENT.kind, name):
                    left.setdefault(name, []).append("the agent's deletion hangs")
            assert not left
            return True

        try:
            await self._until(gone, 150)
        except AssertionError:
            self.say(f"left: {json.dumps(left)}")
        await self._stage.clear(names)
        return left


def _group(case: Case) -> str:
    return "kills" if case.fault and case.fault.kind in KILLS else "calls"


def _kind(case: Case) -> str:
    return case.fault.kind if case.fault else "none"


def _line(call: Call, begun: float) -> str:
    struck = f"  <- {call.fault}" if call.fault else ""
    return f"{call.at - begun:7.3f} {call.door} {call.name.call}{struck}"


def _see_sane(story: Story, state: Object, spent: float) -> None:
    """See that a story without a fault comes to what is promised.

    Args:
        spent: what the agent's key has spent in the end.

    Raises:
        AssertionError: it doesn't.
    """
    keys = state["keys"]
    if story.accepted is None:
        assert keys == [], (story.name, keys)
        return
    retiring = 1 if story.name == "rotate-grace" else 0
    assert [key["expires"] for key in keys].count(True) == retiring == len(keys) - 1, (story.name, keys)
    keys = [key for key in keys if not key["expires"]]
    assert keys[0]["in the Secret"], (story.name, keys)
    assert keys[0]["spend"] == spent, (story.name, keys)
    assert keys[0]["blocked"] == (not story.accepted), (story.name, keys)
    conditions = {each["type"]: each["status"] for each in state["OpenClawAgent CASE"]["status"]["conditions"]}
    assert conditions["Ready"] == "True", (story.name, conditions)


def drawn(cases: Sequence[Case], count: int, seed: int) -> list[Case]:
    """Some of the cases, drawn by a seed, with as many of each story and kind as can be."""
    shuffled = list(cases)
    random.Random(seed).shuffle(shuffled)
    taken: list[Case] = []
    had: Counter[str] = Counter()
    while shuffled and len(taken) < count:
        best = min(shuffled, key=lambda case: had[case.story.name] + had[_kind(case)])
        shuffled.remove(best)
        had.update((best.story.name, _kind(best)))
        taken.append(best)
    return taken
