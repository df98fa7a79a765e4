"""The beginning of cases, without a fault, and their end."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

from litclaw.kube.resources import AGENT, ROUTE

from .calls import case_of
from .stage import SPENT, Snapshot, Stage, token_of
from .story import Story, is_begun

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
        if story.begin:
            await story.begin(stage, name)

    async def begun() -> None:
        snapshot = await stage.snapshot()
        missing = [name for name in named if not is_begun(snapshot, stage.applied, name)]
        assert not missing, f"{', '.join(missing)} didn't get ready"

    await until(begun, _BEGIN_SECONDS)
    agents = [agent for kind, agent in sorted(stage.applied) if kind == AGENT.kind and case_of(agent) in named]
    for agent in agents:
        tenant = f"{case_of(agent)}{named[case_of(agent)].tenant_before}"
        await stage.spend(tenant, token_of(await stage.key_of(agent)))

    async def known() -> None:
        found = (await stage.snapshot()).objects[AGENT.kind]
        missing = [name for name in agents if (found[name].get("status") or {}).get("spend") != f"{SPENT:.2f}"]
        assert not missing, f"the spend of {', '.join(missing)} isn't known"

    await until(known, _BEGIN_SECONDS)
    for step in range(max((len(story.prepare) for story in named.values()), default=0)):
        for name, story in named.items():
            if step < len(story.prepare):
                await story.prepare[step](stage, name)
        await until(begun, _BEGIN_SECONDS)


async def finish(stage: Stage, named: Mapping[str, Story], say: Say) -> dict[str, list[str]]:
    """Delete the cases' agents, and then everything else.

    Args:
        named: the story of each case, by the case's name.

    Returns:
        What was left of each case.
    """
    snapshot = await stage.snapshot()
    for name, story in named.items():
        stage.world.lay(name, None)
        stage.world.cases[name].ending = True
        for agent in _of(snapshot, AGENT.kind, name):
            await stage.delete(AGENT, agent)
        if story.retains:
            for route in _of(snapshot, ROUTE.kind, name):
                await stage.delete(ROUTE, route)
        if story.loses_database:
            await stage.forget_keys(name)
    left: dict[str, list[str]] = {}

    async def gone() -> None:
        snapshot = await stage.snapshot()
        left.clear()
        for name in named:
            if rows := snapshot.keys.get(name):
                left.setdefault(name, []).append(f"{len(rows)} keys are left after the agent's deletion")
            if _of(snapshot, AGENT.kind, name):
                left.setdefault(name, []).append("the agent's deletion hangs")
        assert not left

    try:
        await until(gone, _END_SECONDS)
    except AssertionError:
        say(f"left: {json.dumps(left)}")
    await stage.clear(named)
    return left


def _of(snapshot: Snapshot, kind: str, case: str) -> list[str]:
    """The names of a case's objects of a kind."""
    return [name for name in snapshot.objects[kind] if case_of(name) == case]
