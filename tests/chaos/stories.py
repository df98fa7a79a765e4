"""The stories: changes to an agent or its route, made while something fails."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from litclaw.kube.resources import AGENT, ROUTE

from .stage import Snapshot, Stage

Act = Callable[[Stage, str], Awaitable[None]]


@dataclass(frozen=True)
class Story:
    """One story.

    Attributes:
        act: the change.
        there: whether the story begins with a route and an agent that has a key; otherwise only with the master key.
        second: whether there is a second route at the beginning.
        prepare: an earlier change, made without a fault.
        accepted: whether the key must be accepted in the end; None: the agent has no key then.
        tenant: the suffix of the case's name that gives the tenant whose LiteLLM the agent has in the end.
    """

    name: str
    act: Act
    there: bool = True
    second: bool = False
    prepare: Act | None = None
    accepted: bool | None = True
    tenant: str = ""


async def _create(stage: Stage, case: str) -> None:
    await stage.apply(stage.route(case, case))
    await stage.apply(stage.agent(case))


async def _limits(stage: Stage, case: str) -> None:
    await stage.change(stage.agent(case), {"key": {"maxBudget": "70", "rpmLimit": 60}})


async def _models(stage: Stage, case: str) -> None:
    await stage.change(stage.agent(case), {"models": ["gpt-4o"], "defaultModel": "gpt-4o"})


async def _models_of_the_route(stage: Stage, case: str) -> None:
    await stage.apply(stage.route(case, case, models=[{"name": "gpt-4o"}]))


async def _rotate(stage: Stage, case: str) -> None:
    await stage.annotate(stage.agent(case), rotate="now")


async def _rotate_with_grace(stage: Stage, case: str) -> None:
    manifest = stage.agent(case, key={"rotation": {"gracePeriod": "1h"}})
    await stage.annotate(manifest, rotate="now")


async def _suspend(stage: Stage, case: str) -> None:
    await stage.change(stage.agent(case), {"suspend": True})


async def _resume(stage: Stage, case: str) -> None:
    await stage.change(stage.agent(case), {"suspend": False})


async def _delete(stage: Stage, case: str) -> None:
    stage.world.cases[case].ending = True
    await stage.delete(AGENT, case)


async def _delete_route(stage: Stage, case: str) -> None:
    stage.world.cases[case].ending = True
    await stage.delete(ROUTE, case)


async def _move(stage: Stage, case: str) -> None:
    await stage.change(stage.agent(case), {"routeRef": {"name": f"{case}-b"}})


async def _readdress(stage: Stage, case: str) -> None:
    await stage.apply(stage.route(case, f"{case}-x"))


STORIES: Final = {
    story.name: story
    for story in (
        Story("create", _create, there=False),
        Story("limits", _limits),
        Story("models", _models),
        Story("route-models", _models_of_the_route),
        Story("rotate", _rotate),
        Story("rotate-grace", _rotate_with_grace),
        Story("suspend", _suspend, accepted=False),
        Story("resume", _resume, prepare=_suspend),
        Story("delete", _delete, accepted=None),
        Story("delete-route", _delete_route, accepted=None),
        Story("move", _move, second=True, tenant="-b"),
        Story("readdress", _readdress, tenant="-x"),
    )
}


def is_begun(snapshot: Snapshot, story: Story, case: str) -> bool:
    """Whether the beginning of a story is set up."""
    routes = [case, f"{case}-b"] if story.second else [case]
    if not story.there:
        return True
    if not all(is_ready(snapshot, ROUTE.kind, name) for name in routes):
        return False
    return is_ready(snapshot, AGENT.kind, case)


def is_ready(snapshot: Snapshot, kind: str, name: str) -> bool:
    """Whether a resource is ready, by the status of its current generation."""
    body = snapshot.get(kind, name)
    status = (body or {}).get("status") or {}
    if body is None or status.get("observedGeneration") != body["metadata"]["generation"]:
        return False
    ready = [each["status"] for each in status.get("conditions", []) if each["type"] == "Ready"]
    return ready == ["True"]
