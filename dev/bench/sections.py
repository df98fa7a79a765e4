"""The sections of a run, and their order."""

from collections.abc import Callable
from functools import partial

from .cli import command_line
from .crowd import CROWD
from .instant import with_instant
from .proxies import with_hanging_proxy, with_shared_proxy
from .real import with_real
from .run import Run
from .sample import take
from .scale import with_scale


def measure(run: Run) -> None:
    """Run the planned sections."""
    only, plan = run.plan.only, run.plan
    if "cli" in only:
        run.log("the command line")
        run.add(*command_line())
    run.log("the benchmark's pods, and the instant proxy")
    run.stage.set_up()
    run.clean()
    run.log("what the operator does for one agent")
    run.sample = take(run.stage, run.operator)
    sizes = set(plan.real) if "converge-real" in only else set()
    sizes |= {plan.rotate} if "rotate" in only else set()
    if sizes:
        with_real(run, sizes)
    for section in _by_size(run):
        section()


def _by_size(run: Run) -> list[Callable[[], None]]:
    """The sections with the instant proxy, smallest first: an API server that has had ten thousand agents collects garbage
    for minutes."""
    only, plan = run.plan.only, run.plan
    sizes = set(plan.instant) if "converge-instant" in only else set()
    sizes |= {plan.route} if "route" in only else set()
    sizes |= {plan.bare} if "bare" in only else set()
    sizes |= {plan.crowd} if only & CROWD else set()
    found: list[tuple[int, Callable[[], None]]] = [(count, partial(with_instant, run, count)) for count in sizes]
    if "hanging-proxy" in only:
        found.append((plan.hanging, partial(with_hanging_proxy, run)))
    if "shared-proxy" in only:
        found.append((plan.shared, partial(with_shared_proxy, run)))
    if "scale" in only:
        found.append((max(plan.scale), partial(with_scale, run)))
    return [section for _, section in sorted(found, key=lambda each: each[0])]


def end(run: Run) -> None:
    """Delete everything that the run has made. What an interrupted run has left goes with the namespaces, more slowly."""
    try:
        run.clean()
    except RuntimeError as error:
        run.log(f"the agents are left to the operator: {error}")
    run.stage.tear_down()
