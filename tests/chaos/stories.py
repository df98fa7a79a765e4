"""The stories: changes to an agent or its route, made while something fails, and those that cross objects."""

from typing import Final

from litclaw.kube.resources import AGENT, ROUTE

from .crossings import CROSSINGS, move, with_second_route
from .stage import Stage
from .story import Story, with_route


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


async def _readdress(stage: Stage, case: str) -> None:
    await stage.apply(stage.route(case, f"{case}-x"))


STORIES: Final = {
    story.name: story
    for story in (
        Story("create", with_route, begin=None),
        Story("limits", _limits),
        Story("models", _models),
        Story("route-models", _models_of_the_route),
        Story("rotate", _rotate),
        Story("rotate-grace", _rotate_with_grace),
        Story("suspend", _suspend, accepted=False),
        Story("resume", _resume, prepare=(_suspend,)),
        Story("delete", _delete, accepted=None),
        Story("delete-route", _delete_route, accepted=None),
        Story("move", move, begin=with_second_route, tenant="-b"),
        Story("readdress", _readdress, tenant="-x"),
        *CROSSINGS,
    )
}
