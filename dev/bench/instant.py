"""Agents from nothing to ready with the instant proxy, and a route's change, beside the same writes by the compiled client.

And the same agents made ready by a bare kopf operator, which the operator's CPU is compared with.
"""

import time
from dataclasses import dataclass, field

from . import process, sample
from .crowd import CROWD, with_crowd
from .figures import at_least, at_most, at_most_times
from .run import AT_A_TIME, Made, Run
from .sample import agent_spec
from .stage import HOME, INSTANT
from .writes import Counting

_MOST_RAW = 2000  # agents of the compiled client, which are enough for a rate
_OF_RAW_WRITES, _OF_BARE_CPU = 0.5, 0.75


@dataclass
class Raw:
    """The compiled client's writes: how many agents, and for how many seconds it made them and changed their ConfigMaps."""

    agents: int = 0
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])

    @property
    def making(self) -> float:
        """Agents a second."""
        return self.agents / self.seconds[0]

    @property
    def changing(self) -> float:
        """ConfigMaps a second."""
        return self.agents / self.seconds[1]


@dataclass(frozen=True)
class _Changed:
    seconds: float
    cpu: float
    writes: int


@dataclass
class Bare:
    """The bare kopf operator's work: how many agents, its seconds, its CPU in seconds, its memory in MB."""

    agents: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    rss: float = 0.0

    @property
    def cpu_ms(self) -> float:
        """CPU an agent, in ms."""
        return self.cpu / self.agents * 1000


def with_instant(run: Run, count: int) -> None:
    """Everything that is measured with a number of agents at the instant proxy."""
    only, plan = run.plan.only, run.plan
    converging = "converge-instant" in only and count in plan.instant
    changing = "route" in only and count == plan.route
    compared = "bare" in only and count == plan.bare
    raw, bare = Raw(), Bare()
    with run.operator.stopped():
        run.stage.wipe()
        if compared:
            _make_by_bare_operator(run, count // 2, bare)
        if converging or changing:
            _write_raw(run, min(count, _MOST_RAW) // 2, raw)
    run.log(f"the operator: {count} agents from nothing to ready, with the instant proxy")
    made = run.make(count)
    changed = _change_route(run, count) if changing else None
    if only & CROWD and count == plan.crowd:
        with_crowd(run, count)
    if converging or changing or compared:
        with run.operator.stopped():
            run.stage.wipe()
            run.stage.restore_route()
            if converging or changing:
                _write_raw(run, min(count, _MOST_RAW) // 2, raw)
            if compared:
                _make_by_bare_operator(run, count // 2, bare)
    if compared:
        _add_bare(run, count, bare)
    if converging:
        _add_made(run, count, made, raw)
    if changed:
        section = f"a route's change, {count:,} agents"
        run.add(
            at_least(section, "agents' configurations changed", count / changed.seconds, "/s", raw.changing),
            at_most(section, "operator's CPU an agent", changed.cpu / count * 1000, "ms"),
            at_most(section, "writes an agent", changed.writes / count, ""),
        )


def _make_by_bare_operator(run: Run, count: int, bare: Bare) -> None:
    """The CPU of a kopf operator that does as little as possible: a slower machine changes it as it changes ours."""
    run.log(f"a bare kopf operator: {count} agents from nothing to ready, without keys")
    with process.bare_operator(run.stage.cluster) as started:
        before = process.use_at_rest(started)
        took = run.create(count)
        after = process.use_at_rest(started)
    run.stage.wipe()
    bare.agents += count
    bare.seconds += took["seconds"]
    bare.cpu += after.cpu - before.cpu
    bare.rss = max(bare.rss, after.rss)


def _add_bare(run: Run, count: int, bare: Bare) -> None:
    run.bare_cpu_ms = bare.cpu_ms
    section = f"a bare kopf operator, {count:,} agents"
    run.add(
        at_most(section, "agents ready", bare.agents / bare.seconds, "/s"),
        at_most(section, "CPU an agent", bare.cpu_ms, "ms"),
        at_most(section, "resident", bare.rss, "MB"),
    )


def _add_made(run: Run, count: int, made: Made, raw: Raw) -> None:
    section, cpu_ms = f"converge, instant proxy, {count:,} agents", made.cpu / count * 1000
    run.add(
        at_least(section, "agents ready", count / made.seconds, "/s", raw.making, _OF_RAW_WRITES),
        at_most(section, "operator's CPU an agent", cpu_ms, "ms"),
    )
    if run.bare_cpu_ms is not None:
        name, times = "the same, beside a bare kopf operator's", _OF_BARE_CPU if count == run.plan.bare else None
        run.add(at_most_times(section, name, cpu_ms, "ms", run.bare_cpu_ms, times))
    run.add(
        at_most(section, "writes an agent", made.writes / count, ""),
        at_most(section, "calls to LiteLLM an agent", made.calls / count, ""),
        at_most(section, "of that time, agents were being created for", made.creating, "s"),
    )


def _write_raw(run: Run, count: int, raw: Raw) -> None:
    """The operator's writes by the compiled client, while nothing else writes."""
    run.log(f"the compiled client: the same writes for {count} agents, {AT_A_TIME} at a time")
    passes = [run.sample.requests, run.sample.reconfiguring]
    given = {"spec": agent_spec(INSTANT), "sample": sample.NAME, "uid": run.sample.uid, "passes": passes}
    took = run.stage.client("raw", **run.fleet("raw", count), **given)["seconds"]
    run.stage.wipe()
    raw.agents += count
    raw.seconds = [before + now for before, now in zip(raw.seconds, took, strict=True)]


def _change_route(run: Run, count: int) -> _Changed:
    run.log(f"the operator: a change of the route that all {count} agents use")
    leader = run.operator.wait_for_leader()
    before = process.wait_for_quiet(run.operator, leader)
    counting = Counting(run.stage.cluster, ("APPLY", "litellmroutes"))
    name = f"GPT-4o of {int(time.time())}"
    took = run.stage.client(
        "route",
        **run.fleet("agent", count),
        route=f"/apis/litclaw.dev/v1alpha1/namespaces/{HOME}/litellmroutes/{INSTANT}",
        patch={"spec": {"models": [{"name": "gpt-4o", "openclaw": {"displayName": name}}]}},
        marker=name,
    )
    after = process.wait_for_quiet(run.operator, leader)
    return _Changed(took["seconds"], after.use.cpu - before.use.cpu, counting.done().total())
