"""The command: a cluster, a real LiteLLM, the world before both, the groups one after the other, and the report."""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from litclaw.kube.client import Kube

from dev.cluster import KUBECONFIG, ROOT, Cluster, sayer, tools, up
from tests.e2e.support import AI, make_main
from tests.e2e.support import Kube as Objects

from . import report, troubles
from .faults import KILLS
from .master_keys import KINDS as MASTER_KEY_KINDS
from .master_keys import MasterKeys
from .process import OperatorProcess
from .stage import NAMESPACE_NAME, Stage
from .stories import STORIES
from .sweep import Case, Outcome, Say, Sweep, drawn
from .troubles import Pair
from .upstream import ApiServer, Proxies
from .world import World

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
SYSTEM = "litclaw-system"
WORKERS = "--workers=64"
"""More than cases at a time, since a worker is held with each call that waits for a kill."""
GROUPS = ("calls", "kills", "watches", "leaders", "clock", "master-keys")
_REPORT = ROOT / "build" / "chaos"
_PAGE = ROOT / "docs" / "faults.md"
_LEFT_SECONDS = 120


@dataclass
class Campaign:
    """What a campaign needs, while it is there.

    Attributes:
        folder: for kubeconfigs, clocks and logs of the operators.
        operators: all that were made.
    """

    stage: Stage
    world: World
    folder: Path
    operators: list[OperatorProcess] = field(default_factory=list)

    async def operator(self, name: str, *options: str) -> OperatorProcess:
        """An operator behind a door of its own, not started yet."""
        door, litellm = await self.world.door(name), f"http://127.0.0.1:{self.world.litellm_port}"
        folder = self.folder / f"{len(self.operators):02}-{name}"
        folder.mkdir()
        made = OperatorProcess(name, door, litellm, folder, options)
        self.operators.append(made)
        return made

    @contextlib.asynccontextmanager
    async def running(self, *options: str) -> AsyncIterator[OperatorProcess]:
        """One operator at work, with nothing left of an earlier one's cases."""
        operator = await self.operator("one", WORKERS, *options)
        await operator.start()
        try:
            await asyncio.wait_for(self.stage.wait_empty(), _LEFT_SECONDS)
            yield operator
        finally:
            if operator.runs:
                await operator.end()

    def said_by_operators(self) -> list[str]:
        """What no operator may have written into its log."""
        wrong = []
        for operator in self.operators:
            where = operator.log.parent.name
            wrong += [f"{where}: {line}" for line in operator.trouble()]
            wrong += [f"{where}: a secret is in the log: {each}" for each in operator.leaks(self.world.secrets)]
        return wrong


@contextlib.asynccontextmanager
async def campaign(cluster: Cluster, service: str, master: str, folder: Path) -> AsyncIterator[Campaign]:
    """The world in front of a cluster and a LiteLLM in it.

    Args:
        service: the LiteLLM's, as ``<namespace>/<name>``.
        master: its master key.
        folder: for logs.
    """
    assert cluster.kubeconfig
    async with (
        await ApiServer.connect(cluster.kubeconfig) as api,
        Proxies(cluster, {"": service}) as proxies,
        await Kube.connect(str(cluster.kubeconfig)) as kube,
        World(api, proxies, NAMESPACE_NAME).open() as world,
    ):
        stage = Stage(kube, proxies, {service: master}, world)
        await stage.open()
        await stage.clear()
        await stage.forget_keys()
        yield Campaign(stage, world, folder)


@contextlib.contextmanager
def installed_operator_away(cluster: Cluster) -> Iterator[None]:
    """Have the operator that is installed in the cluster rest: two would work on the same resources."""
    scale = ("-n", SYSTEM, "scale", "deployment/litclaw")
    pods = ("pod", "-l", "app.kubernetes.io/name=litclaw")
    cluster.run(*scale, "--replicas=0")
    cluster.run("-n", SYSTEM, "wait", "--for=delete", *pods, "--timeout=120s")
    try:
        yield
    finally:
        cluster.run(*scale, "--replicas=2")
        cluster.run("-n", SYSTEM, "rollout", "status", "deployment/litclaw", "--timeout=180s")


def there() -> Cluster:
    """The cluster of an earlier run, as it is."""
    kubectl = tools()[1]
    assert kubectl and KUBECONFIG.exists(), "there is no cluster of an earlier run"
    return Cluster(kubectl, KUBECONFIG)


@app.command()
def main(
    case: Annotated[list[str] | None, typer.Option(help="These cases only, as a failure names them.")] = None,
    group: Annotated[list[str] | None, typer.Option(help=f"These groups only: {', '.join(GROUPS)}.")] = None,
    story: Annotated[list[str] | None, typer.Option(help="These stories only.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="These faults only, by the names in the report.")] = None,
    seed: Annotated[int, typer.Option(help="By which cases are drawn, and their order.")] = 1,
    sample: Annotated[int, typer.Option(help="How many cases of each of the groups calls and kills; 0: all.")] = 0,
    size: Annotated[int, typer.Option(help="How many cases at a time.", max=60)] = 24,
    page: Annotated[bool, typer.Option(help="Put the table of all groups' last runs into docs/faults.md.")] = False,
) -> None:
    """Break the world around the operator, call by call. Exits with 1 where something didn't survive."""
    say = sayer()
    os.environ.setdefault("CLUSTER", "litclaw-chaos")
    cluster = there() if os.environ.get("LITCLAW_INSTALL") == "0" else up(say)
    say("a LiteLLM with PostgreSQL")
    master = make_main(Objects(cluster))
    folder = Path(tempfile.mkdtemp(prefix="litclaw-chaos-"))
    plan = Plan(
        tuple(case or ()), tuple(group or GROUPS), tuple(story or STORIES), frozenset(kind or ()), seed, sample, size
    )
    started = time.monotonic()
    with installed_operator_away(cluster):
        outcomes = asyncio.run(_run(cluster, master, folder, plan, say))
    minutes = (time.monotonic() - started) / 60
    failed = report.failures(outcomes)
    print(failed)
    drawn_by = f"seed {seed}, {sample} drawn of the calls and of the kills" if sample else "every one"
    only = f"; of the kinds {', '.join(sorted(plan.kinds))}" if plan.kinds else ""
    said = f"{len(outcomes)} cases in {minutes:.0f} minutes, {os.cpu_count()} cores; {drawn_by}{only}."
    if plan.cases:
        print(report.table(outcomes))
    else:
        found = report.write(outcomes, said, _REPORT)
        print(found)
        if page:
            report.into_page(_PAGE, str(found))
    print(f"{said} Report in {_REPORT}, logs in {folder}")
    sys.exit(1 if failed else 0)


@dataclass(frozen=True)
class Plan:
    """What is to be run; see `main`."""

    cases: tuple[str, ...]
    groups: tuple[str, ...]
    stories: tuple[str, ...]
    kinds: frozenset[str]
    seed: int
    sample: int
    size: int

    def means(self, kind: str) -> bool:
        """Whether a kind of fault is to be tried."""
        return not self.kinds or kind in self.kinds


async def _run(cluster: Cluster, master: str, folder: Path, plan: Plan, say: Say) -> list[Outcome]:
    async with campaign(cluster, f"{AI}/main-litellm", master, folder) as found:
        outcomes = await _single(found, plan, say)
        if "leaders" in plan.groups and not plan.cases:
            outcomes += await _leaders(found, plan, say)
        if "master-keys" in plan.groups and not plan.cases:
            async with found.running() as operator:
                kinds = [kind for kind in MASTER_KEY_KINDS if plan.means(kind)]
                outcomes += await MasterKeys(found.stage, operator, say).run(kinds)
        outcomes.append(Outcome("the operators' logs", report.LOG, "secrets, errors", True, found.said_by_operators()))
        return outcomes


async def _single(found: Campaign, plan: Plan, say: Say) -> list[Outcome]:
    """The groups that need one operator, in one namespace."""
    outcomes: list[Outcome] = []
    stories = [STORIES[name] for name in plan.stories]
    async with found.running(f"--namespaces={NAMESPACE_NAME}") as operator:
        sweep = Sweep(found.stage, operator, say, plan.size)
        if plan.cases:
            wanted = [Case.parse(each) for each in plan.cases]
            await sweep.record({case.story.name: case.story for case in wanted}.values())
            return await sweep.run(wanted)
        if not {"calls", "kills", "watches", "clock"} & {*plan.groups}:
            return outcomes
        await sweep.record(stories)
        say("the stories are told without a fault")
        for group, cases in (("calls", sweep.cases(stories)), ("kills", sweep.cases(stories, KILLS))):
            if group in plan.groups:
                meant = [case for case in cases if plan.means(case.fault.kind if case.fault else "")]
                say(f"{group}: {len(meant)} cases")
                outcomes += await sweep.run(drawn(meant, plan.sample or len(meant), plan.seed))
        if "watches" in plan.groups:
            outcomes += await troubles.watches(sweep, found.world, stories, plan.means)
        if "clock" in plan.groups:
            outcomes += await troubles.clock(sweep, found.stage, operator, stories)
    return outcomes


async def _leaders(found: Campaign, plan: Plan, say: Say) -> list[Outcome]:
    stories = [STORIES[name] for name in plan.stories]
    options = (WORKERS, "--leader-elect", f"--namespaces={NAMESPACE_NAME}")

    async def pair() -> Pair:
        return Pair(found.world, await found.operator("a", *options), await found.operator("b", *options))

    first = await pair()
    await first.start()
    sweep = Sweep(found.stage, None, say, plan.size)
    try:
        await sweep.record(stories)
    finally:
        await first.end()
    return await troubles.leaders(sweep, found.world, pair, stories, plan.means)


__all__ = ["Campaign", "app", "campaign", "installed_operator_away"]
