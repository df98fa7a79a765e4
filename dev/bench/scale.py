"""Whether the operator's costs grow linearly: 50,000 agents beside 10,000, both prepared by the compiled client."""

import time
from dataclasses import dataclass

from . import process
from .figures import at_most, at_most_times
from .run import KEYS_A_CALL, Run, Started
from .stage import INSTANT
from .writes import Counting

_MORE = 500  # agents that the operator makes beside the prepared ones, or fewer in a small run
_IDLE_SECONDS = 60.0
_LINEAR = 1.2
_MEMORY = "2Gi"  # the installed limit of 512Mi is enough for 20,000 agents (docs/install.md)
_FOR_GOALS = 10000  # with fewer agents, the costs of an agent are smaller than the noise


@dataclass(frozen=True)
class _Costs:
    """Costs of one size: of a start and in memory those above an operator without agents, of agents those above an idle one.
    ``idle_ms``: CPU an agent in an hour."""

    started: Started
    rss: float
    idle_writes: int
    idle_ms: float
    start_ms: float
    resident_kb: float
    making_ms: float


def with_scale(run: Run) -> None:
    """Both sizes, one after the other."""
    small, large = run.plan.scale
    more = min(_MORE, small)
    run.clean()
    empty = process.wait_for_quiet(run.operator, run.operator.wait_for_leader()).use
    run.operator.stop()
    with run.operator.with_memory(_MEMORY):
        _compare(run, more, _costs(run, small, 0, more, empty), _costs(run, large, small + more, more, empty))
        run.operator.stop()
        run.stage.wipe()  # with the installed limit it couldn't start beside so many
    run.operator.start()
    run.operator.wait_for_rollout()


def _compare(run: Run, more: int, before: _Costs, now: _Costs) -> None:
    small, large = run.plan.scale
    section, linear = f"scale, {large:,} agents", _LINEAR if small >= _FOR_GOALS else None
    run.add(
        at_most(section, "a start, until in sync", now.started.seconds, "s"),
        at_most(section, "a start, writes", now.started.writes, "", 0),
        at_most(section, "a start, calls about keys", now.started.key_calls, "", -(-large // KEYS_A_CALL)),
        at_most(section, f"writes in an idle time of at least {_IDLE_SECONDS:.0f} s", now.idle_writes, "", 0),
        at_most(section, "resident", now.rss, "MB"),
    )
    section = f"scale, {large:,} agents beside {small:,}"
    run.add(
        at_most_times(section, "CPU of a start, an agent", now.start_ms, "ms", before.start_ms, linear),
        at_most_times(section, "resident, an agent", now.resident_kb, "kB", before.resident_kb, linear),
        at_most_times(section, "CPU of an idle hour, an agent", now.idle_ms, "ms", before.idle_ms, linear),
        at_most_times(section, f"CPU of each of {more} more agents", now.making_ms, "ms", before.making_ms, linear),
    )


def _costs(run: Run, count: int, standing: int, more: int, empty: process.Use) -> _Costs:
    run.operator.stop()
    run.log(f"the compiled client: {count - standing} agents as the operator leaves them")
    run.prepare(count - standing, [INSTANT], f"prepared-{count}")
    run.stage.set_route_counts(count)
    run.log(f"the operator: a start with {count} prepared agents")
    started = run.start(count)
    run.operator.wait_for_rollout()
    counting = Counting(run.stage.cluster)
    run.wait_for_keys_read()
    before, began = process.use(run.operator, started.leader), time.monotonic()
    time.sleep(_IDLE_SECONDS)
    run.wait_for_keys_read()
    after, idle_seconds = process.use(run.operator, started.leader), time.monotonic() - began
    idle_writes = counting.done().total()
    run.log(f"the operator: {more} more agents beside {count}")
    made = run.make(more, prefix=f"more-{count}")
    share = (after.cpu - before.cpu) / idle_seconds  # the periodic reads of all keys go on meanwhile
    return _Costs(
        started,
        after.rss,
        idle_writes,
        idle_ms=share * 3600 / count * 1000,
        start_ms=(started.use.cpu - empty.cpu) / count * 1000,
        resident_kb=(after.rss - empty.rss) / count * 1000,
        making_ms=(made.cpu - share * made.watched) / more * 1000,
    )
