"""One proxy with many routes, and a healthy proxy beside one that hangs."""

import time

from . import process
from .figures import at_most, at_most_times, quantile
from .run import Run
from .stage import HANGING, INSTANT

_CALLS_SECONDS = 60.0
_HALF_A_PERIOD = 15.0  # of the operator's passes over a route, every 30 s
_HANGING_SECONDS = 180.0
_SHARED, _P50_TIMES, _P99_SECONDS = 1.1, 1.2, 1.0


def with_shared_proxy(run: Run) -> None:
    """The same agents with one route, and spread over many routes to the same proxy."""
    plan = run.plan
    run.clean()
    one = _idle_costs(run, plan.shared, [INSTANT])
    run.clean()
    many = _idle_costs(run, plan.shared, run.stage.add_routes(plan.routes))
    run.clean()
    run.stage.remove_routes()
    section = f"{plan.routes} routes to one proxy beside one route, {plan.shared:,} agents"
    run.add(
        at_most_times(section, "calls to LiteLLM a minute, idle", many[0], "", one[0], _SHARED),
        at_most_times(section, "resident, after a start", many[1], "MB", one[1], _SHARED),
    )


def _idle_costs(run: Run, count: int, routes: list[str]) -> tuple[float, float]:
    """Calls to the proxy a minute, and resident memory in MB."""
    run.operator.stop()
    run.log(f"the compiled client: {count} agents as the operator leaves them, with {len(routes)} routes")
    run.prepare(count, routes)
    run.log(f"the operator: a start with {count} agents, and an idle minute")
    leader = run.start(count).leader
    run.wait_for_keys_read()
    time.sleep(_HALF_A_PERIOD)
    run.stage.instant("forget")
    began = time.monotonic()
    time.sleep(_CALLS_SECONDS)
    minutes, calls = (time.monotonic() - began) / 60, sum(run.calls().values())
    return calls / minutes, process.use(run.operator, leader).rss


def with_hanging_proxy(run: Run) -> None:
    """Latencies at a healthy proxy's agents, before and while another proxy accepts requests and never answers."""
    count, changes = run.plan.hanging, run.plan.changes
    run.clean()
    run.stage.set_up_hanging()
    run.create(count)
    run.create(count, HANGING, prefix="hanging")
    given = {**run.fleet("agent", count), "changes": changes, "what": "budget"}
    run.log(f"the operator: one of {count} agents changed, {changes} times, beside a proxy that answers")
    without = run.stage.client("latency", **given)["seconds"]
    run.stage.instant("hang", HANGING)
    run.log(f"the operator: the same beside a proxy that hangs, whose {count} agents change too")
    beside = run.fleet("hanging", count)
    took = run.stage.client("latency", **{**given, "seconds": _HANGING_SECONDS, "beside": beside})["seconds"]
    run.stage.instant("answer", HANGING)
    run.clean()
    run.stage.remove_hanging()
    section = f"a hanging proxy beside a healthy one, {count} agents each"
    text = "a budget changed at the healthy one → status"
    p50, p50_without = (quantile(each, 0.5) * 1000 for each in (took, without))
    p99, p99_without = (quantile(each, 0.99) for each in (took, without))
    run.add(
        at_most_times(section, f"{text}, p50", p50, "ms", p50_without, _P50_TIMES),
        at_most(section, f"{text}, p99", p99, "s", _P99_SECONDS, p99_without),
    )
