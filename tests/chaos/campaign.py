"""The command: a cluster, real LiteLLMs, the faulty world in front of both, the groups in order, and the report."""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from litclaw.kube.client import Kube

from dev.cluster import KUBECONFIG, ROOT, Cluster, sayer, tools, up
from dev.page import commit
from tests.e2e.kube import Kube as Objects
from tests.e2e.main_route import make_main
from tests.e2e.resources import AI, managed_route

from . import report, troubles
from .cases import Case, Outcome, drawn
from .faults import KILLS, KINDS
from .lifecycle import Say
from .master_keys import KINDS as MASTER_KEY_KINDS
from .master_keys import MasterKeys
from .process import OperatorProcess
from .roll_outs import KINDS as ROLL_OUT_KINDS
from .roll_outs import RollOuts
from .stage import NAMESPACE_NAME, Stage
from .stories import STORIES
from .sweep import Sweep
from .troubles import Pair
from .upstream import ApiServer, Proxies
from .world import World

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
SYSTEM = "litclaw-system"
WORKERS = "--workers=100"
"""More than there are cases at a time, because a call that waits for a kill occupies a worker."""
GROUPS = ("calls", "kills", "watches", "starts", "leaders", "clock", "roll-outs", "master-keys")
WITHOUT_STORIES = ("roll-outs", "master-keys")
"""Groups about the real managed route."""
_REPORT = ROOT / "build" / "chaos"
_LEFT_SECONDS = 300


@dataclass(frozen=True)
class LiteLLM:
    """A real LiteLLM.

    Attributes:
        service: as ``<namespace>/<name>``.
        master: its master key.
    """

    service: str
    master: str


@dataclass
class Campaign:
    """The parts of a campaign that runs.

    Attributes:
        folder: for kubeconfigs, clocks and logs of the operators.
        operators: all that were made.
        reported: the lines of their logs that were reported already.
    """

    stage: Stage
    world: World
    folder: Path
    operators: list[OperatorProcess] = field(default_factory=list)
    reported: set[str] = field(default_factory=set)

    async def operator(self, name: str, *options: str) -> OperatorProcess:
        """An operator with a door of its own, not started yet."""
        door, litellm = await self.world.door(name), f"http://127.0.0.1:{self.world.litellm_port}"
        folder = self.folder / f"{len(self.operators):02}-{name}"
        folder.mkdir()
        made = OperatorProcess(name, door, litellm, folder, options)
        self.operators.append(made)
        return made

    @contextlib.asynccontextmanager
    async def running(self, *options: str) -> AsyncIterator[OperatorProcess]:
        """One running operator, after the cases of an earlier one are gone."""
        operator = await self.operator("one", WORKERS, *options)
        await operator.start()
        try:
            await asyncio.wait_for(self.stage.wait_empty(), _LEFT_SECONDS)
            yield operator
        finally:
            if operator.runs:
                await operator.end()

    async def log_violations(self) -> list[str]:
        """What may not be in an operator's log, and wasn't reported yet: unexpected errors, secrets."""
        await self.stage.collect_secrets()
        wrong = []
        for operator in self.operators:
            where = operator.log.parent.name
            wrong += [f"{where}: {line}" for line in operator.trouble()]
            wrong += [f"{where}: a secret is in the log: {each}" for each in operator.leaks(self.world.secrets)]
        new = [line for line in dict.fromkeys(wrong) if line not in self.reported]
        self.reported.update(new)
        return new


@contextlib.asynccontextmanager
async def campaign(cluster: Cluster, litellms: Mapping[str, LiteLLM], folder: Path) -> AsyncIterator[Campaign]:
    """A campaign on a cluster and the LiteLLMs in it.

    Args:
        litellms: by the end of their tenants' names; the empty end is for all others.
        folder: for logs.
    """
    assert cluster.kubeconfig
    services = {end: each.service for end, each in litellms.items()}
    masters = {each.service: each.master for each in litellms.values()}
    async with (
        await ApiServer.connect(cluster.kubeconfig) as api,
        Proxies(cluster, services, masters) as proxies,
        await Kube.connect(str(cluster.kubeconfig)) as kube,
        World(api, proxies, NAMESPACE_NAME).open() as world,
    ):
        stage = Stage(kube, proxies, world)
        await stage.open()
        await stage.clear()
        await stage.forget_keys()
        yield Campaign(stage, world, folder)


@contextlib.contextmanager
def installed_operator_away(cluster: Cluster) -> Iterator[None]:
    """Scale the installed operator to zero: two operators would work on the same resources."""
    scale = ("-n", SYSTEM, "scale", "deployment/litclaw")
    pods = ("pod", "-l", "app.kubernetes.io/name=litclaw")
    cluster.run(*scale, "--replicas=0")
    cluster.run("-n", SYSTEM, "wait", "--for=delete", *pods, "--timeout=300s")
    try:
        yield
    finally:
        cluster.run(*scale, "--replicas=2")
        cluster.run("-n", SYSTEM, "rollout", "status", "deployment/litclaw", "--timeout=300s")


def existing() -> Cluster:
    """The cluster of an earlier run, unchanged."""
    kubectl = tools()[1]
    assert kubectl and KUBECONFIG.exists(), "there is no cluster of an earlier run"
    return Cluster(kubectl, KUBECONFIG)


def litellms(cluster: Cluster) -> dict[str, LiteLLM]:
    """Two real LiteLLMs with PostgreSQL in a cluster.

    The second is for the routes that agents move to (`stories`). It has two workers, as a large installation has.
    """
    kube = Objects(cluster)
    found = {"": LiteLLM(f"{AI}/main-litellm", make_main(kube))}
    managed = {"database": {"embedded": {"storage": "1Gi"}}, "env": [{"name": "NUM_WORKERS", "value": "2"}]}
    kube.apply(managed_route("other", managed=managed))
    kube.wait_ready("litellmroute", AI, "other", timeout=600)
    return {**found, "-b": LiteLLM(f"{AI}/other-litellm", kube.secret(AI, "other-master-key")["LITELLM_MASTER_KEY"])}


@app.command()
def main(
    case: Annotated[list[str] | None, typer.Option(help="Run only these cases, as a failure names them.")] = None,
    group: Annotated[list[str] | None, typer.Option(help=f"Run only these groups: {', '.join(GROUPS)}.")] = None,
    story: Annotated[list[str] | None, typer.Option(help="Run only these stories.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Run only these faults, by their names in the report.")] = None,
    seed: Annotated[int, typer.Option(help="The seed that cases are drawn with.")] = 1,
    sample: Annotated[int, typer.Option(help="The number of cases of each of the groups calls and kills; 0: all.")] = 0,
    size: Annotated[int, typer.Option(help="The number of cases at a time.", max=60)] = 60,
    add: Annotated[bool, typer.Option(help="Add to the results of earlier runs of a group.")] = False,
    page: Annotated[bool, typer.Option(help="Write the table of all groups' last runs into docs/faults.md.")] = False,
) -> None:
    """Inject faults around the operator, call by call. Exits with 1 if a case failed."""
    for given, known in ((group, GROUPS), (story, STORIES)):
        if unknown := {*(given or ())} - {*known}:
            raise typer.BadParameter(f"no {', '.join(unknown)}: there are {', '.join(known)}")
    groups = tuple(name for name in GROUPS if name in (group or GROUPS))
    plan = Plan(tuple(case or ()), groups, tuple(story or STORIES), frozenset(kind or ()), seed, sample, size)
    if page and not (plan.has_each_fault or add):
        raise typer.BadParameter("--page is for every story and fault: leave --case, --story and --kind out, or --add")
    say = sayer()
    os.environ.setdefault("CLUSTER", "litclaw-chaos")
    cluster = existing() if os.environ.get("LITCLAW_INSTALL") == "0" else up(say)
    say("two LiteLLMs with PostgreSQL")
    found = litellms(cluster)
    folder = Path(tempfile.mkdtemp(prefix="litclaw-chaos-"))
    with installed_operator_away(cluster):
        failed = asyncio.run(_run(cluster, found, folder, plan, Keeping(add, page), say))
    print(f"Report in {_REPORT}, logs in {folder}")
    sys.exit(1 if failed else 0)


@dataclass(frozen=True)
class Plan:
    """The cases to run; see `main`."""

    cases: tuple[str, ...]
    groups: tuple[str, ...]
    stories: tuple[str, ...]
    kinds: frozenset[str]
    seed: int
    sample: int
    size: int

    def means(self, kind: str) -> bool:
        """Whether a kind of fault is part of the run."""
        return not self.kinds or kind in self.kinds

    @property
    def is_whole(self) -> bool:
        """Whether its groups are complete."""
        return self.has_each_fault and not self.sample

    @property
    def has_each_fault(self) -> bool:
        """Whether every story and every kind of fault is part of its groups, if only by cases that are drawn."""
        return not (self.cases or self.kinds or set(self.stories) != set(STORIES))

    def __str__(self) -> str:
        """The part of its groups that is run, in words."""
        if self.is_whole:
            return "every case"
        if self.cases:
            return f"{len(self.cases)} by name"
        parts = [f"{self.sample} cases drawn by seed {self.seed}"] if self.sample else []
        parts += [f"stories {', '.join(self.stories)}"] if set(self.stories) != set(STORIES) else []
        parts += [f"faults {', '.join(sorted(self.kinds))}"] if self.kinds else []
        return "; ".join(parts)


@dataclass(frozen=True)
class Keeping:
    """Where the results go; see `main`."""

    add: bool
    page: bool


async def _run(
    cluster: Cluster, litellms: Mapping[str, LiteLLM], folder: Path, plan: Plan, keeping: Keeping, say: Say
) -> bool:
    """Run the groups, and report each at its end; returns whether a case failed."""
    failed = False
    async with campaign(cluster, litellms, folder) as found:
        groups = Groups(found, cluster, plan, say)
        for name in ("cases",) if plan.cases else plan.groups:
            started = time.monotonic()
            outcomes = await groups.run(name)
            log = await found.log_violations()
            minutes = (time.monotonic() - started) / 60
            run = f"{plan}, commit {commit()}, {minutes:.0f} minutes, {os.cpu_count()} cores"
            table = report.text({name: report.summary(outcomes, run, log)})
            print("\n".join([table, report.failures(outcomes), *log]), flush=True)
            failed = failed or bool(log) or any(outcome.wrong for outcome in outcomes)
            if not plan.cases:
                kept = report.keep(name, outcomes, run, log, _REPORT, add=keeping.add)
                if keeping.page:
                    report.into_page(kept)
    return failed


class Groups:
    """The campaign's groups, each with operators of its own."""

    def __init__(self, found: Campaign, cluster: Cluster, plan: Plan, say: Say) -> None:
        self._found = found
        self._cluster = cluster
        self._plan = plan
        self._say = say
        self._stories = [STORIES[name] for name in plan.stories]
        self._sweep = Sweep(found.stage, say, plan.size)

    async def _record(self) -> None:
        """Tell each story without a fault."""
        stories = [*self._stories, troubles.AGEING]
        if self._plan.cases:
            stories = list({case.story.name: case.story for case in map(Case.parse, self._plan.cases)}.values())
        async with self._one():
            await self._sweep.record(stories)
        self._say("the stories are told without a fault")

    async def run(self, name: str) -> list[Outcome]:
        """Run one of `GROUPS`, or ``cases``: those that the plan names."""
        sweep, world, means = self._sweep, self._found.world, self._plan.means
        if not sweep.recorded and name not in WITHOUT_STORIES:
            await self._record()
        if name == "leaders":
            return await troubles.leaders(sweep, world, self._pair, self._stories, means)
        if name == "master-keys":
            async with self._found.running() as operator:
                kinds = [kind for kind in MASTER_KEY_KINDS if means(kind)]
                return await MasterKeys(self._found.stage, operator, self._say).run(kinds)
        if name == "roll-outs":
            async with self._found.running() as operator:
                kinds = [kind for kind in ROLL_OUT_KINDS if means(kind)]
                return await RollOuts(self._found.stage, self._cluster, operator, self._say).run(kinds)
        async with self._one() as operator:
            if name == "cases":
                return await sweep.run([Case.parse(each) for each in self._plan.cases])
            if name == "watches":
                return await troubles.watches(sweep, world, self._stories, means)
            if name == "starts":
                return await troubles.starts(sweep, world, operator, self._stories, means)
            if name == "clock":
                return await troubles.clock(sweep, self._found.stage, operator, self._stories)
            every = sweep.cases(self._stories, KILLS if name == "kills" else KINDS)
            cases = [case for case in every if case.fault and means(case.fault.kind)]
            self._say(f"{name}: {len(cases)} cases")
            return await sweep.run(drawn(cases, self._plan.sample or len(cases), self._plan.seed))

    @contextlib.asynccontextmanager
    async def _one(self) -> AsyncIterator[OperatorProcess]:
        """One operator, in one namespace."""
        async with self._found.running(f"--namespaces={NAMESPACE_NAME}") as operator:
            self._sweep.operator = operator
            yield operator

    async def _pair(self) -> Pair:
        """Two operators, of which one leads."""
        options = (WORKERS, "--leader-elect", f"--namespaces={NAMESPACE_NAME}")
        self._sweep.operator = None
        one, other = await self._found.operator("a", *options), await self._found.operator("b", *options)
        return Pair(self._found.world, one, other)
