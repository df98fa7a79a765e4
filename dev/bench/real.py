"""Agents from nothing to ready and a rotation with a real LiteLLM, beside the same calls by the compiled client."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from . import process, sample
from .figures import at_least, at_most
from .run import AT_A_TIME, Run
from .stage import REAL, REAL_URL

_OF_BARE_CALLS, _OF_BARE_ROTATIONS = 0.9, 0.8


def with_real(run: Run, sizes: set[int]) -> None:
    """Everything that is measured with the real proxy, with each number of agents."""
    run.log("a LiteLLM with PostgreSQL")
    master = run.stage.set_up_real(run.plan.proxy_cpu)
    for count in sorted(sizes):
        run.clean()
        _wait_for_no_keys(run)
        _converge(run, count, master)
        if "rotate" in run.plan.only and count == run.plan.rotate:
            _rotate(run, count, master)
    run.clean()
    _wait_for_no_keys(run)


def _converge(run: Run, count: int, master: str) -> None:
    if "converge-real" not in run.plan.only or count not in run.plan.real:
        run.make(count, "real", REAL)
        return
    with _beside(run, count, master, [], run.sample.making, "keys by bare /key/generate") as bare:
        run.log(f"the operator: {count} agents from nothing to ready, with the real proxy")
        made = run.make(count, "real", REAL)
    section = f"converge, real proxy, {count:,} agents"
    run.add(
        at_least(section, "agents ready", count / made.seconds, "/s", count / sum(bare), _OF_BARE_CALLS),
        at_most(section, "operator's CPU an agent", made.cpu / count * 1000, "ms"),
    )


def _wait_for_no_keys(run: Run) -> None:
    """Wait until the operator has swept the keys of the agents before, so that the sweep is in no measurement."""
    process.wait_for_quiet(run.operator, run.operator.wait_for_leader())
    no_keys = ("--for=jsonpath={.status.keys.live}=0", "--timeout=300s")
    run.stage.cluster.run("-n", REAL, "wait", "litellmroute/real", *no_keys)


@contextlib.contextmanager
def _beside(
    run: Run, count: int, master: str, prepare: list[Any], calls: list[Any], what: str
) -> Iterator[list[float]]:
    """The bare calls, one half before and one after the block; their durations in seconds are there at the end."""
    took: list[float] = []
    for part in (count // 2, count - count // 2):
        run.log(f"the compiled client: {part} {what}, {AT_A_TIME} at a time")
        given = {"url": REAL_URL, "master": master, "count": part, "atATime": AT_A_TIME}
        given |= {"sample": sample.NAME, "keys": run.sample.keys, "cluster": run.sample.cluster}
        took.append(run.stage.client("replay", **given, prepare=prepare, calls=calls)["seconds"])
        if len(took) == 1:
            yield took


def _rotate(run: Run, count: int, master: str) -> None:
    name, section = f"bench-{int(time.time())}", f"rotation, {count:,} keys"
    leader = run.operator.wait_for_leader()
    with _beside(run, count, master, run.sample.making, run.sample.rotating, "rotations by bare calls") as bare:
        before = process.wait_for_quiet(run.operator, leader).use
        run.log(f"the operator: a rotation of {count} keys")
        given = {"name": name, "rotation": sample.rotation_manifest(name, "yes", AT_A_TIME)}
        took: float = run.stage.client("rotate", **run.fleet("agent", count), **given)["seconds"]
        after = process.wait_for_quiet(run.operator, leader).use
    run.stage.cluster.run("delete", "litellmkeyrotation", name)
    run.add(
        at_least(section, "keys rotated", count / took, "/s", count / sum(bare), _OF_BARE_ROTATIONS),
        at_most(section, "operator's CPU a key", (after.cpu - before.cpu) / count * 1000, "ms"),
        at_most(section, "calls to LiteLLM a key, of one that was watched", len(run.sample.rotating), ""),
    )
