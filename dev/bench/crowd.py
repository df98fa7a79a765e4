"""Memory, latencies, an idle hour and a start with many agents that the operator has made."""

import time

from . import process
from .figures import at_most, quantile
from .run import KEYS_A_CALL, Run
from .writes import Counting

CROWD = {"memory", "latency", "idle", "start"}
"""The sections that need the many agents."""
_LEADER, _STANDBY = "the one at work", "the one that stands by"
_P99_SECONDS, _MEMORY_MB, _START_SECONDS = 1.0, 300.0, 60.0
_WHOLE_CROWD = 10000  # agents that the goal for memory is about


def with_crowd(run: Run, count: int) -> None:
    """The sections in question, with the agents as they are."""
    only, agents = run.plan.only, f"{count:,} agents"
    leader = run.operator.wait_for_leader()
    before = process.wait_for_quiet(run.operator, leader).use
    if "latency" in only:
        _latencies(run, count)
    if "idle" in only:
        _idle(run, count, leader)
    if "start" in only:
        _start(run, count)
    if "memory" in only:
        after = process.use(run.operator, run.operator.wait_for_leader())
        goal = _MEMORY_MB if count >= _WHOLE_CROWD else None
        section = f"memory, {agents}"
        run.add(
            at_most(section, "resident, after they were made", before.rss, "MB", goal),
            at_most(section, "resident, now", after.rss, "MB", goal),
            at_most(section, "at most, while they were made", before.peak, "MB"),
        )


def _latencies(run: Run, count: int) -> None:
    for what, text in (("budget", "a budget changed → status"), ("secret", "a Secret deleted → a new key in it")):
        run.log(f"the operator: one of {count} agents changed, {run.plan.changes} times ({what})")
        given = {**run.fleet("agent", count), "changes": run.plan.changes, "what": what}
        took = run.stage.client("latency", **given)["seconds"]
        section = f"one of {count:,} agents changed"
        run.add(
            at_most(section, f"{text}, p50", quantile(took, 0.5), "s"),
            at_most(section, f"{text}, p99", quantile(took, 0.99), "s", _P99_SECONDS),
        )


def _idle(run: Run, count: int, leader: str) -> None:
    seconds, section = run.plan.idle, f"an idle hour, {count:,} agents"
    pods = {name: _LEADER if name == leader else _STANDBY for name in run.operator.pods()}
    run.log(f"the operator: {count} idle agents, for {seconds:.0f} s")
    time.sleep(60)  # spend and counts of the changes before are found by periodic reads, and written
    before = {name: process.use(run.operator, name).cpu for name in pods}
    run.stage.instant("forget")
    counting, started = Counting(run.stage.cluster), time.monotonic()
    time.sleep(seconds)
    hours = (time.monotonic() - started) / 3600
    writes, calls = counting.done().total(), run.calls()
    for name, which in pods.items():
        used = process.use(run.operator, name).cpu - before[name]
        run.add(at_most(section, f"CPU, {which}", used / hours, "s"))
    run.add(
        at_most(section, "writes", writes / hours, "", 0),
        at_most(section, "calls to LiteLLM", sum(calls.values()) / hours, ""),
    )


def _start(run: Run, count: int) -> None:
    run.log(f"the operator: a start with {count} agents")
    run.operator.stop()
    started, section = run.start(count), f"start, {count:,} agents"
    run.add(
        at_most(section, "until in sync", started.seconds, "s", _START_SECONDS),
        at_most(section, "CPU", started.use.cpu, "s"),
        at_most(section, "writes", started.writes, "", 0),
        at_most(section, "calls about keys", started.key_calls, "", -(-count // KEYS_A_CALL)),
        at_most(section, "other calls to LiteLLM", started.other_calls, ""),
    )
