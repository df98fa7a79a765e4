"""The sweeps: each fault at each call of each story, many cases at a time."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from litclaw.kube.resources import AGENT

from .calls import LITELLM, Call
from .cases import Case, Outcome
from .end_state import delivered, difference, seen
from .faults import HALF_DONE, KINDS, STALE, Fault, kinds_at
from .lifecycle import POLL_SECONDS, Say, begin, finish, until
from .process import OperatorProcess
from .rest import last_writes, stable
from .stage import SPENT, Object, Stage
from .story import Story

_SETTLE_SECONDS = 300.0
_REPAIR_SECONDS = 60.0
"""A case that has settled may change once more, by the next read of the key table, and settle again."""
_FELT_SECONDS = 4.0
"""The consequences of a fault may come so long after it has struck."""
_MOST_CALLS = 400
_WAITING_SECONDS = 25.0
"""How long calls wait for a kill: the operator gives a call up after 30 s."""
_NEXT_SECONDS = 12.0
_POLLED = 2
"""How many of the calls that the operator repeats all the time are struck."""

Trouble = Callable[[], AbstractAsyncContextManager[None]]
"""A fault that lasts while stories are told, and ends by itself."""


@dataclass
class Recorded:
    """A story without a fault: its end state, and its calls, by door and name, with the number of each."""

    state: Object
    calls: Counter[str]
    reads: dict[str, bool]


class Sweep:
    """Runs cases, in batches, in an operator that runs already.

    Args:
        size: the number of cases at a time.

    Attributes:
        operator: the operator that kills are for; None: there is none.
        recorded: each story without a fault, by its name.
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
        await begin(self._stage, cases)
        for name, story in cases.items():
            self._world.lay(name, None)
            await story.act(self._stage, name)
        states = await stable(self._stage, cases)
        for name, story in cases.items():
            calls = self._world.cases[name].calls
            counts = Counter(f"{call.door}:{call.name.call}" for call in calls)
            reads = {f"{call.door}:{call.name.call}": call.name.reads for call in calls}
            self.recorded[story.name] = Recorded(states[name], counts, reads)
            before, now = f"{name}{story.tenant_before}", f"{name}{story.tenant}"
            kept = story.begin is not None and self._stage.proxies.service(before) == self._stage.proxies.service(now)
            _check_promises(story, states[name], SPENT if kept else 0.0)
        await finish(self._stage, cases, self.say)

    def places(self, story: Story) -> Iterator[tuple[str, str, int, bool]]:
        """The places for faults: door, call, its number, and whether it only reads."""
        recorded = self.recorded[story.name]
        for name, count in sorted(recorded.calls.items()):
            door, _, call = name.partition(":")
            reads = recorded.reads[name]
            for number in range(1, 1 + (min(count, _POLLED) if reads else count)):
                yield door, call, number, reads

    def cases(self, stories: Iterable[Story], kinds: Sequence[str] = KINDS) -> list[Case]:
        """Every fault (see `kinds_at`) at every call of some stories. A call that changes nothing can't be half done."""
        found = []
        for story in stories:
            for place, (door, call, number, reads) in enumerate(self.places(story)):
                for kind in kinds_at(place, kinds, crosses=story.crosses):
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
        """Tell stories during a fault that isn't one call's.

        Args:
            group: of the campaign.
            name: of the trouble.
            trouble: begins before the stories' changes, and ends when it has lasted long enough.
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
        stories = {name: case.story for name, case in named.items()}
        killing = [name for name, case in named.items() if case.is_kill]
        try:
            await begin(self._stage, stories)
        except AssertionError as error:
            await finish(self._stage, stories, self.say)
            return [Outcome(str(case), case.group, case.kind, False, [f"didn't begin: {error}"]) for case in cases]
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
        wrong = await self._look(named)
        outcomes = []
        for name, case in named.items():
            record = self._world.cases[name]
            wrong[name] += record.wrong
            if len(record.calls) > _MOST_CALLS:
                wrong[name].append(f"{len(record.calls)} calls: it loops")
            took = settled.get(name, loop.time()) - begun[name]
            reached = bool(record.struck) or case.fault is None
            outcome = Outcome(str(case), case.group, case.kind, reached, wrong[name], round(took, 1))
            if outcome.wrong:
                outcome.calls = [_line(call, begun[name]) for call in record.calls]
            outcomes.append(outcome)
        left = await finish(self._stage, stories, self.say)
        for outcome, name in zip(outcomes, named, strict=True):
            outcome.wrong += left.get(name, [])
        return outcomes

    async def _kill(self, named: Sequence[str]) -> None:
        """Kill the operator when these cases wait at their calls, or no other comes to its call; and start another."""
        loop = asyncio.get_running_loop()
        last, end, count = loop.time() + _WAITING_SECONDS, float("inf"), -1
        while loop.time() < min(end, last) and len(self._world.waiting) < len(named):
            if len(self._world.waiting) != count:
                count, end = len(self._world.waiting), loop.time() + _NEXT_SECONDS
            await asyncio.sleep(0.1)
        assert self.operator
        await self.operator.end()
        self._disarm(named)  # a call that comes later would wait, and there is no other kill
        self._world.release()
        await self.operator.start()

    def _disarm(self, named: Iterable[str]) -> None:
        """Remove the faults that haven't struck."""
        for name in named:
            if not (record := self._world.cases[name]).struck:
                record.fault = None

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
            await asyncio.sleep(POLL_SECONDS)
        return found

    async def _look(self, named: dict[str, Case]) -> dict[str, list[str]]:
        """What is wrong with each case at the end."""
        self._disarm(named)  # the recovery from a fault that struck now would look like writes where nothing changes
        writes = await last_writes(self._stage, named)
        wrong: dict[str, list[str]] = {}

        async def compare() -> None:
            snapshot = await self._stage.snapshot()
            for name, case in named.items():
                wrong[name] = difference(self.recorded[case.story.name].state, seen(snapshot, name))
            assert not any(wrong.values())

        with contextlib.suppress(AssertionError):
            await until(compare, _REPAIR_SECONDS)
        snapshot = await self._stage.snapshot()
        for name, case in named.items():
            if name in writes:
                wrong[name].append(f"writes where nothing changes: {', '.join(writes[name][:5])}")
            if case.story.accepted is not None and not wrong[name]:
                for secret, key in delivered(snapshot, name).items():
                    accepted = await self._stage.is_accepted(f"{name}{case.story.tenant}", key)
                    if accepted != case.story.accepted:
                        wrong[name].append(f"the key in Secret {secret} is {'accepted' if accepted else 'refused'}")
        return wrong


def _line(call: Call, begun: float) -> str:
    struck = f"  <- {call.fault}" if call.fault else ""
    return f"{call.at - begun:7.3f} {call.door} {call.name.call}{struck}"


def _check_promises(story: Story, state: Object, spent: float) -> None:
    """Check that a story without a fault ends as the documentation promises.

    Args:
        spent: what the agent's key must have spent in the end, in US dollars.

    Raises:
        AssertionError: it doesn't.
    """
    keys = state["keys"]
    assert story.promise(state), (story.name, state)
    if story.accepted is None:
        assert keys == [] or story.loses_database, (story.name, keys)
        return
    live = [key for key in keys if not key["expires"]]
    retiring = 1 if story.name == "rotate-grace" else 0
    assert (len(live), len(keys) - len(live)) == (story.keys, retiring), (story.name, keys)
    for key in live:
        assert key["in the Secret"], (story.name, keys)
        assert key["spend"] == spent, (story.name, keys)
        assert key["blocked"] == (not story.accepted), (story.name, keys)
    for agent in (body for name, body in state.items() if name.startswith(f"{AGENT.kind} ")):
        conditions = {each["type"]: each["status"] for each in agent["status"]["conditions"]}
        assert conditions["Ready"] == "True", (story.name, conditions)
