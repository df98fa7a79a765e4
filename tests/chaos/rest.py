"""Waiting until cases are at rest: nothing of them changes any more, or nothing of them is written.

Time alone isn't enough: on a busy machine the operator is slow. So a state counts as final only when the operator has
handled every change and has read the key tables again.
"""

import asyncio
from collections import Counter
from collections.abc import Collection

from litclaw.api.names import route_workload
from litclaw.kube.resources import AGENT, ROUTE

from .calls import case_of
from .end_state import seen
from .lifecycle import POLL_SECONDS
from .stage import NAMESPACE_NAME, Object, Snapshot, Stage

QUIET_SECONDS = 15.0
"""Longer than the pause between two reads of a key table (`under_test.SHORTER`), so that a write at each is seen."""
_RESTLESS_SECONDS = 120.0
_STABLE_SECONDS = 16.0
_TABLE_READS = 2
"""A second read has begun when everything that the first one showed has been handled."""
_RECORD_SECONDS = 900.0
_ROTATE = "litclaw.dev/rotate"


async def stable(stage: Stage, names: Collection[str]) -> dict[str, Object]:
    """The final states of cases without a fault.

    Raises:
        AssertionError: they don't come to rest.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + _RECORD_SECONDS
    last: dict[str, Object] = {}
    restless: list[str] = []
    since, reads = loop.time(), Counter(stage.world.table_reads)
    while loop.time() < end:
        snapshot = await stage.snapshot()
        states = {name: seen(snapshot, name) for name in names}
        if moving := [name for name in names if states[name] != last.get(name) or not is_handled(snapshot, name)]:
            restless, last, since, reads = moving, states, loop.time(), Counter(stage.world.table_reads)
        tenants = [tenant for name in names for tenant in tenants_of(snapshot, name)]
        read_again = all(stage.world.table_reads[each] >= reads[each] + _TABLE_READS for each in tenants)
        if read_again and loop.time() >= since + _STABLE_SECONDS:
            return last
        await asyncio.sleep(POLL_SECONDS)
    seconds = loop.time() - since
    raise AssertionError(
        f"the stories without a fault don't come to rest within {_RECORD_SECONDS:.0f} s: nothing has changed for {seconds:.0f} s, "
        f"before that {', '.join(restless)}; reads of keys: {dict(stage.world.table_reads)}, before {dict(reads)}"
    )


def is_handled(snapshot: Snapshot, case: str) -> bool:
    """Whether the operator has handled every change of a case's resources, by their status."""
    for kind in (AGENT.kind, ROUTE.kind):
        for name, body in snapshot.objects[kind].items():
            if case_of(name) != case:
                continue
            meta, status = body["metadata"], body.get("status") or {}
            if status.get("observedGeneration") != meta["generation"]:
                return False
            asked = (meta.get("annotations") or {}).get(_ROTATE, "")
            if asked and status.get("lastHandledRotation") != asked:
                return False
    return True


def tenants_of(snapshot: Snapshot, case: str) -> list[str]:
    """The LiteLLMs that a case's routes have now, as the faulty world names them."""
    routes = [body for name, body in snapshot.objects[ROUTE.kind].items() if case_of(name) == case]
    return [_tenant_of(body) for body in routes]


def _tenant_of(route: Object) -> str:
    if external := route["spec"].get("external"):
        return str(external["url"]).rpartition("/")[2]
    return f"{route_workload(route['metadata']['name'])}.{NAMESPACE_NAME}"


async def last_writes(stage: Stage, names: Collection[str]) -> dict[str, list[str]]:
    """Wait until nothing of the cases has been written for some time.

    A write that the operator repeats late, because the machine is busy, only makes this wait longer.

    Returns:
        By case, the latest writes of those that go on writing; empty: all are at rest.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    while True:
        await asyncio.sleep(POLL_SECONDS)
        now, found = loop.time(), dict[str, list[str]]()
        for name in names:
            late = [call for call in stage.world.cases[name].calls if call.at > now - QUIET_SECONDS]
            if writes := [f"{call.door} {call.name.call}" for call in late if not call.name.reads]:
                found[name] = writes
        if now > start + (_RESTLESS_SECONDS if found else QUIET_SECONDS):
            return found
