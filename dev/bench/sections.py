"""The sections of the benchmark: what is done, in which order, and what comes of it."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..cluster import Cluster
from . import process, sample
from .figures import Figure, at_least, at_most
from .plan import Plan
from .stage import AGENTS, HOME, REAL, REAL_URL, Object, Operator, Stage
from .writes import Counting

_CROWD = {"memory", "latency", "idle", "start"}
_AT_A_TIME = 16  # as many as the operator has workers
_MOST_RAW = 2000  # agents whose writes are made by the compiled client: a rate needs no more
_LONG = 7200.0
_MADE_BY_US = ("POST", "openclawagents")
_OF_A_ROLLOUT = (("APPLY", "deployments/scale"), ("POST", "events"), ("APPLY", "events"))
"""What Kubernetes and the benchmark write while pods start. The operator's own events are in its own count."""
_LEADER, _STANDBY = "the one at work", "the one that stands by"

# The goals.
_OF_RAW_WRITES, _OF_BARE_CALLS, _OF_BARE_ROTATIONS = 0.5, 0.9, 0.8
_CPU_MS, _P99_SECONDS, _MEMORY_MB, _START_SECONDS, _KEYS_A_CALL = 6.0, 1.0, 300.0, 60.0, 100


@dataclass
class Rates:
    """What the compiled client did, in agents and in seconds."""

    agents: int = 0
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def rate(self, which: int) -> float:
        """Agents a second."""
        return self.agents / self.seconds[which]


class Bench:
    """One run."""

    def __init__(self, cluster: Cluster, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan = plan
        self._say = say
        self.stage = Stage(cluster)
        self.operator = Operator(cluster)
        self.figures: list[Figure] = []
        self.sample = sample.Sample()
        self._bare_cpu_ms: float | None = None

    def run(self) -> None:
        """All that is planned."""
        self._say("the benchmark's pods, and the proxy that answers at once")
        self.stage.set_up()
        self._clean()
        self._say("what the operator does for one agent")
        self.sample = sample.take(self.stage, self.operator)
        only = self.plan.only
        sizes = set(self.plan.real) if "converge-real" in only else set()
        sizes |= {self.plan.rotate} if "rotate" in only else set()
        if sizes:
            self._say("a LiteLLM with PostgreSQL")
            master = self.stage.set_up_real(self.plan.proxy_cpu)
            for count in sorted(sizes):
                self._with_real(count, master)
            self._clean()
            self._wait_for_no_keys()
        if "bare" in only:
            self._bare(self.plan.bare)
        # At last, because an API server that has held ten thousand agents collects garbage for minutes.
        sizes = set(self.plan.instant) if "converge-instant" in only else set()
        sizes |= {self.plan.route} if "route" in only else set()
        sizes |= {self.plan.crowd} if only & _CROWD else set()
        for count in sorted(sizes):
            self._with_instant(count)

    def end(self) -> None:
        """Take away all that was made. What an interrupted run has left goes with the namespaces, more slowly."""
        try:
            self._clean()
        except RuntimeError as error:
            self._say(f"the agents are left to the operator: {error}")
        self.stage.tear_down()

    def _clean(self) -> None:
        with self.operator.stopped():
            self.stage.wipe()

    def _add(self, *figures: Figure) -> None:
        self.figures += figures
        for each in figures:
            self._say("   " + " · ".join(part for part in each.row() if part))

    # Without Litclaw

    def _bare(self, count: int) -> None:
        """What kopf costs by itself: the measure for CPU, which a slower machine changes as it does ours."""
        self._say(f"a bare kopf operator: {count} agents from nothing to ready, without keys")
        with self.operator.stopped():
            self.stage.wipe()
            with process.bare_operator(self.stage.cluster) as bare:
                before = process.use_at_rest(bare)
                took = self._made_ready(count, "instant", HOME)
                after = process.use_at_rest(bare)
            self.stage.wipe()
        self._bare_cpu_ms = (after.cpu - before.cpu) / count * 1000
        section = f"a bare kopf operator, {count:,} agents"
        self._add(
            at_most(section, "agents ready", count / took["seconds"], "/s"),
            at_most(section, "CPU an agent", self._bare_cpu_ms, "ms"),
            at_most(section, "resident", after.rss, "MB"),
        )

    # With the proxy that answers at once

    def _with_instant(self, count: int) -> None:
        only, plan = self.plan.only, self.plan
        converging = "converge-instant" in only and count in plan.instant
        changing = "route" in only and count == plan.route
        rates = Rates()
        with self.operator.stopped():
            self.stage.wipe()
            if converging or changing:
                self._raw(min(count, _MOST_RAW) // 2, rates)
        self._say(f"the operator: {count} agents from nothing to ready, with the proxy that answers at once")
        found = self._converge(count, "instant", HOME)
        took = self._change_route(count) if changing else None
        if only & _CROWD and count == plan.crowd:
            self._crowd(count)
        if converging or changing:
            with self.operator.stopped():
                self.stage.wipe()
                self._raw(min(count, _MOST_RAW) // 2, rates)
        if converging:
            section = f"converge, instant proxy, {count:,} agents"
            self._add(at_least(section, "agents ready", count / found["seconds"], "/s", rates.rate(0), _OF_RAW_WRITES))
            cpu_ms = found["cpu"] / count * 1000
            self._add(at_most(section, "operator's CPU an agent", cpu_ms, "ms", _CPU_MS))
            if self._bare_cpu_ms is not None:
                name = "the same, beside a bare kopf operator's"
                self._add(Figure(section, name, cpu_ms, "ms", self._bare_cpu_ms))
            self._add(
                at_most(section, "writes an agent", found["writes"] / count, ""),
                at_most(section, "calls to LiteLLM an agent", found["calls"] / count, ""),
                at_most(section, "of that time, agents were being created for", found["creating"], "s"),
            )
        if took:
            section = f"a route's change, {count:,} agents"
            self._add(
                at_least(section, "agents' configurations changed", count / took["seconds"], "/s", rates.rate(1)),
                at_most(section, "operator's CPU an agent", took["cpu"] / count * 1000, "ms"),
                at_most(section, "writes an agent", took["writes"] / count, ""),
            )

    def _raw(self, count: int, rates: Rates) -> None:
        """The writes of the operator by the compiled client, beside nobody."""
        self._say(f"the compiled client: the same writes for {count} agents, {_AT_A_TIME} at a time")
        passes = [self.sample.requests, self.sample.reconfiguring]
        given = {"spec": self._spec("instant", HOME), "sample": sample.NAME, "uid": self.sample.uid, "passes": passes}
        took = self.stage.client("raw", **self._fleet("raw", count), **given)["seconds"]
        self.stage.wipe()
        rates.agents += count
        rates.seconds = [before + now for before, now in zip(rates.seconds, took, strict=True)]

    def _spec(self, route: str, namespace: str) -> Object:
        return {"routeRef": {"name": route, "namespace": namespace}, "key": {"maxBudget": "5"}}

    def _fleet(self, prefix: str, count: int) -> Object:
        return {"namespace": AGENTS, "prefix": prefix, "count": count, "atATime": _AT_A_TIME, "seconds": _LONG}

    def _made_ready(self, count: int, route: str, namespace: str) -> dict[str, float]:
        """Make agents, and wait until whoever is at work has made them ready: seconds."""
        given = {**self._fleet("agent", count), "labels": {"bench": "yes"}, "spec": self._spec(route, namespace)}
        took: dict[str, float] = self.stage.client("converge", **given)
        return took

    def _converge(self, count: int, route: str, namespace: str) -> dict[str, float]:
        """Agents from nothing to ready: seconds, the operator's CPU in seconds, writes and calls."""
        leader = self.operator.wait_for_leader()
        before = process.wait_for_quiet(self.operator, leader)
        self.stage.instant("forget")
        counting = Counting(self.stage.cluster, _MADE_BY_US)
        took = self._made_ready(count, route, namespace)
        after = process.wait_for_quiet(self.operator, leader, passes=count)
        counts: dict[str, int] = self.stage.instant("counts")["counts"]
        calls = sum(times for path, times in counts.items() if " /key/" in path and "/key/list" not in path)
        cpu = after.use.cpu - before.use.cpu
        return {**took, "cpu": cpu, "writes": counting.done().total(), "calls": calls}

    def _change_route(self, count: int) -> dict[str, float]:
        self._say(f"the operator: a change of the route that all {count} agents use")
        leader = self.operator.wait_for_leader()
        before = process.wait_for_quiet(self.operator, leader)
        counting = Counting(self.stage.cluster, ("APPLY", "litellmroutes"))
        name = f"GPT-4o of {int(time.time())}"
        took: dict[str, float] = self.stage.client(
            "route",
            **self._fleet("agent", count),
            route=f"/apis/litclaw.dev/v1alpha1/namespaces/{HOME}/litellmroutes/instant",
            patch={"spec": {"models": [{"name": "gpt-4o", "openclaw": {"displayName": name}}]}},
            marker=name,
        )
        after = process.wait_for_quiet(self.operator, leader)
        return {**took, "cpu": after.use.cpu - before.use.cpu, "writes": counting.done().total()}

    # With many agents

    def _crowd(self, count: int) -> None:
        only, where = self.plan.only, f"{count:,} agents"
        leader = self.operator.wait_for_leader()
        before = process.wait_for_quiet(self.operator, leader).use
        if "latency" in only:
            self._latencies(count, where)
        if "idle" in only:
            self._idle(count, leader, where)
        if "start" in only:
            self._start(count, where)
        if "memory" in only:
            after = process.use(self.operator, self.operator.wait_for_leader())
            goal = _MEMORY_MB if count >= 10000 else None
            section = f"memory, {where}"
            self._add(
                at_most(section, "resident, after they were made", before.rss, "MB", goal),
                at_most(section, "resident, now", after.rss, "MB", goal),
                at_most(section, "at most, while they were made", before.peak, "MB"),
            )

    def _latencies(self, count: int, where: str) -> None:
        for what, text in (("budget", "a budget changed → status"), ("secret", "a Secret deleted → a new key in it")):
            self._say(f"the operator: one of {count} agents changed, {self.plan.changes} times ({what})")
            given = {**self._fleet("agent", count), "changes": self.plan.changes, "what": what}
            took = self.stage.client("latency", **given)["seconds"]
            section = f"one of {where} changed"
            self._add(
                at_most(section, f"{text}, p50", quantile(took, 0.5), "s"),
                at_most(section, f"{text}, p99", quantile(took, 0.99), "s", _P99_SECONDS),
            )

    def _idle(self, count: int, leader: str, where: str) -> None:
        seconds, section = self.plan.idle, f"an idle hour, {where}"
        pods = {name: _LEADER if name == leader else _STANDBY for name in self.operator.pods()}
        self._say(f"the operator: {count} idle agents, for {seconds:.0f} s")
        time.sleep(60)  # what the changes before have left: spend and counts that the next looks see
        before = {name: process.use(self.operator, name).cpu for name in pods}
        self.stage.instant("forget")
        counting, started = Counting(self.stage.cluster), time.monotonic()
        time.sleep(seconds)
        hours = (time.monotonic() - started) / 3600
        writes, counts = counting.done().total(), self.stage.instant("counts")["counts"]
        for name, which in pods.items():
            used = process.use(self.operator, name).cpu - before[name]
            self._add(at_most(section, f"CPU, {which}", used / hours, "s"))
        self._add(
            at_most(section, "writes", writes / hours, "", 0),
            at_most(section, "calls to LiteLLM", sum(counts.values()) / hours, ""),
        )

    def _start(self, count: int, where: str) -> None:
        self._say(f"the operator: a start with {count} agents")
        self.operator.stop()
        self.stage.instant("forget")
        counting, began = Counting(self.stage.cluster, *_OF_A_ROLLOUT), time.time()
        leader = self.operator.start()
        quiet = process.wait_for_quiet(self.operator, leader, passes=count)
        counts: dict[str, int] = self.stage.instant("counts")["counts"]
        keys = sum(times for path, times in counts.items() if " /key/" in path)
        section = f"start, {where}"
        self._add(
            at_most(section, "until in sync", quiet.since - began, "s", _START_SECONDS),
            at_most(section, "CPU", quiet.use.cpu, "s"),
            at_most(section, "writes", max(counting.done().total(), quiet.writes), "", 0),
            at_most(section, "calls about keys", keys, "", -(-count // _KEYS_A_CALL)),
            at_most(section, "other calls to LiteLLM", sum(counts.values()) - keys, ""),
        )

    # With the real proxy

    def _with_real(self, count: int, master: str) -> None:
        only, plan = self.plan.only, self.plan
        self._clean()
        self._wait_for_no_keys()
        if "converge-real" in only and count in plan.real:
            with self._beside(count, master, [], self.sample.making, "keys by bare /key/generate") as bare:
                self._say(f"the operator: {count} agents from nothing to ready, with the real proxy")
                found = self._converge(count, "real", REAL)
            section = f"converge, real proxy, {count:,} agents"
            rate = count / found["seconds"]
            self._add(
                at_least(section, "agents ready", rate, "/s", count / sum(bare), _OF_BARE_CALLS),
                at_most(section, "operator's CPU an agent", found["cpu"] / count * 1000, "ms", _CPU_MS),
            )
        else:
            self._converge(count, "real", REAL)
        if "rotate" in only and count == plan.rotate:
            self._rotate(count, master)

    def _wait_for_no_keys(self) -> None:
        """What a fleet has left at the proxy is the operator's to sweep; it is done before anything is measured."""
        leader = self.operator.wait_for_leader()
        process.wait_for_quiet(self.operator, leader)
        self.stage.cluster.run(
            *("-n", REAL, "wait", "litellmroute/real", "--for=jsonpath={.status.keys.live}=0", "--timeout=300s"),
        )

    @contextlib.contextmanager
    def _beside(
        self, count: int, master: str, prepare: list[Any], calls: list[Any], what: str
    ) -> Iterator[list[float]]:
        """The bare calls, one half before and one after what is measured; the seconds are there at the end."""
        took: list[float] = []
        for part in (count // 2, count - count // 2):
            self._say(f"the compiled client: {part} {what}, {_AT_A_TIME} at a time")
            given = {"url": REAL_URL, "master": master, "count": part, "atATime": _AT_A_TIME}
            given |= {"sample": sample.NAME, "keys": self.sample.keys, "cluster": self.sample.cluster}
            took.append(self.stage.client("replay", **given, prepare=prepare, calls=calls)["seconds"])
            if len(took) == 1:
                yield took

    def _rotate(self, count: int, master: str) -> None:
        name, section = f"bench-{int(time.time())}", f"rotation, {count:,} keys"
        leader = self.operator.wait_for_leader()
        with self._beside(count, master, self.sample.making, self.sample.rotating, "rotations by bare calls") as bare:
            before = process.wait_for_quiet(self.operator, leader).use
            self._say(f"the operator: a rotation of {count} keys")
            given = {"name": name, "rotation": sample.rotation_manifest(name, "yes", _AT_A_TIME)}
            took: float = self.stage.client("rotate", **self._fleet("agent", count), **given)["seconds"]
            after = process.wait_for_quiet(self.operator, leader).use
        self.stage.cluster.run("delete", "litellmkeyrotation", name)
        self._add(
            at_least(section, "keys rotated", count / took, "/s", count / sum(bare), _OF_BARE_ROTATIONS),
            at_most(section, "operator's CPU a key", (after.cpu - before.cpu) / count * 1000, "ms"),
            at_most(section, "calls to LiteLLM a key, of one that was watched", len(self.sample.rotating), ""),
        )


def quantile(ordered: list[float], share: float) -> float:
    """The value that a share of the values doesn't exceed (nearest rank)."""
    return ordered[max(1, math.ceil(len(ordered) * share)) - 1]
