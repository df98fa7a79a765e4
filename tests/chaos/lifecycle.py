"""The beginning of cases, without a fault, and their end."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping

from litclaw.kube.resources import AGENT

from .stage import SPENT, Stage, token_of
from .stories import Story, is_begun

POLL_SECONDS = 2.5
_BEGIN_SECONDS = 300.0
_END_SECONDS = 300.0
Say = Callable[[str], None]


async def until(look: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Wait until a check passes.

    Raises:
        AssertionError: it doesn't pass in time.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        try:
            return await look()
        except AssertionError:
            if loop.time() > end:
                raise
        await asyncio.sleep(POLL_SECONDS)


async def begin(stage: Stage, named: Mapping[str, Story]) -> None:
    """Set up the beginning of each case's story.

    Args:
        named: the story of each case, by the case's name.

    Raises:
        AssertionError: not in time.
    """
    for name, story in named.items():
        stage.world.cases.pop(name, None)
        await stage.master(name)
        if story.there:
            await stage.apply(stage.route(name, name))
            if story.second:
                await stage.apply(stage.route(f"{name}-b", f"{name}-b"))
            await stage.apply(stage.agent(name))

    async def begun() -> None:
        snapshot = await stage.snapshot()
        missing = [name for name, story in named.items() if not is_begun(snapshot, story, name)]
        assert not missing, f"{', '.join(missing)} didn't get ready"

    await until(begun, _BEGIN_SECONDS)
    there = [name for name, story in named.items() if story.there]
    for name in there:
        await stage.spend(name, token_of(await stage.key_of(name)))

    async def known() -> None:
        agents = (await stage.snapshot()).objects[AGENT.kind]
        missing = [name for name in there if (agents[name].get("status") or {}).get("spend") != f"{SPENT:.2f}"]
        assert not missing, f"the spend of {', '.join(missing)} isn't known"

    await until(known, _BEGIN_SECONDS)
    prepared = [(name, story.prepare) for name, story in named.items() if story.prepare]
    for name, prepare in prepared:
        await prepare(stage, name)
    if prepared:
        await until(begun, _BEGIN_SECONDS)


async def finish(stage: Stage, named: Iterable[str], say: Say) -> dict[str, list[str]]:
    """Delete the cases' agents, and then everything else; returns what was left of each case."""
    names = list(named)
    for name in names:
        stage.world.lay(name, None)
        stage.world.cases[name].ending = True
        await stage.delete(AGENT, name)
    left: dict[str, list[str]] = {}

    async def gone() -> None:
        snapshot = await stage.snapshot()
        left.clear()
        for name in names:
            if rows := snapshot.keys.get(name):
                left.setdefault(name, []).append(f"{len(rows)} keys are left after the agent's deletion")
            if snapshot.get(AGENT.kind, name):
                left.setdefault(name, []).append("the agent's deletion hangs")
        assert not left

    try:
        await until(gone, _END_SECONDS)
    except AssertionError:
        say(f"left: {json.dumps(left)}")
    await stage.clear(names)
    return left
