"""The command: a cluster, the real LiteLLMs, the world, the groups one after the other, and the report."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from litclaw.kube.client import Kube

from dev.cluster import KUBECONFIG, Cluster, sayer, tools, up
from tests.e2e.support import AI, make_main
from tests.e2e.support import Kube as Objects

from .process import OperatorProcess
from .stage import NAMESPACE_NAME, Stage
from .stories import STORIES
from .sweep import Case, Outcome, Sweep, drawn
from .upstream import ApiServer, Proxies
from .world import World

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
WORKERS = "--workers=64"
"""As many as cases are held at a time."""


@dataclass
class Campaign:
    """What a campaign needs, while it is there."""

    stage: Stage
    world: World
    folder: Path

    async def operator(self, name: str, *options: str) -> OperatorProcess:
        """An operator behind a door of its own, not started yet."""
        door = await self.world.door(name)
        return OperatorProcess(name, door, f"http://127.0.0.1:{self.world.litellm_port}", self.folder, options)


@contextlib.asynccontextmanager
async def campaign(cluster: Cluster, masters: dict[str, str], folder: Path) -> AsyncIterator[Campaign]:
    """The world in front of a cluster and its LiteLLMs.

    Args:
        masters: the master key of each LiteLLM, by what its tenants' names end with and its Service.
        folder: for logs.
    """
    assert cluster.kubeconfig
    services = {end: service for end, service in (each.split("=") for each in masters)}
    keys = {service: masters[f"{end}={service}"] for end, service in services.items()}
    async with (
        await ApiServer.connect(cluster.kubeconfig) as api,
        Proxies(cluster, services) as proxies,
        await Kube.connect(str(cluster.kubeconfig)) as kube,
        World(api, proxies, NAMESPACE_NAME).open() as world,
    ):
        stage = Stage(kube, proxies, keys, world)
        await stage.open()
        await stage.clear()
        await stage.forget_keys()
        yield Campaign(stage, world, folder)


@contextlib.contextmanager
def installed_operator_away(cluster: Cluster) -> "contextlib.Iterator[None]":
    """Have the operator that is installed in the cluster rest: two would work on the same resources."""
    scale = ("-n", "litclaw-system", "scale", "deployment/litclaw")
    cluster.run(*scale, "--replicas=0")
    cluster.run(
        "-n", "litclaw-system", "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=litclaw", "--timeout=60s"
    )
    try:
        yield
    finally:
        cluster.run(*scale, "--replicas=2")


def there() -> Cluster:
    """The cluster of an earlier run, as it is."""
    kubectl = tools()[1]
    assert kubectl and KUBECONFIG.exists(), "there is no cluster of an earlier run"
    return Cluster(kubectl, KUBECONFIG)


@app.command()
def main(
    case: Annotated[list[str] | None, typer.Option(help="Run these cases only, as a failure names them.")] = None,
    seed: Annotated[int, typer.Option(help="By which the order is drawn.")] = 1,
    sample: Annotated[int, typer.Option(help="How many cases of the sweeps; 0: all.")] = 0,
    story: Annotated[list[str] | None, typer.Option(help="These stories only.")] = None,
    size: Annotated[int, typer.Option(help="How many cases at a time.")] = 30,
) -> None:
    """Break the world around the operator, call by call."""
    say = sayer()
    cluster = there() if os.environ.get("LITCLAW_INSTALL") == "0" else up(say)
    say("a LiteLLM with PostgreSQL")
    master = make_main(Objects(cluster))
    folder = Path(tempfile.mkdtemp(prefix="litclaw-chaos-"))
    with installed_operator_away(cluster):
        outcomes = asyncio.run(
            _run(cluster, {f"={AI}/main-litellm": master}, folder, case, seed, sample, story, size, say)
        )
    print(json.dumps([vars(outcome) for outcome in outcomes if outcome.wrong], indent=1))
    bad = sum(1 for outcome in outcomes if outcome.wrong)
    missed = sum(1 for outcome in outcomes if not outcome.reached)
    print(f"{len(outcomes)} cases, {bad} failed, {missed} not reached; logs in {folder}")
    sys.exit(1 if bad else 0)


async def _run(cluster, masters, folder, case, seed, sample, story, size, say) -> list[Outcome]:
    async with campaign(cluster, masters, folder) as found:
        operator = await found.operator("a", WORKERS, f"--namespaces={NAMESPACE_NAME}")
        await operator.start()
        await asyncio.wait_for(found.stage.wait_empty(), 90)
        try:
            sweep = Sweep(found.stage, operator, say, size)
            wanted = [Case.parse(each) for each in case or []]
            stories = {each.story.name: each.story for each in wanted} or STORIES
            if story:
                stories = {name: STORIES[name] for name in story}
            await sweep.record(stories.values())
            say("recorded")
            cases = wanted or sweep.cases(stories.values())
            if not wanted:
                cases = drawn(cases, sample or len(cases), seed)
            outcomes = await sweep.run(cases)
            if trouble := operator.trouble():
                outcomes.append(Outcome("log", "none", True, trouble[:10]))
            if leaks := operator.leaks(found.world.secrets):
                outcomes.append(Outcome("log", "none", True, [f"a secret is in the log: {leaks}"]))
            return outcomes
        finally:
            await operator.end()
