"""Roll-outs of the real managed route while an agent calls it: in each, the first call of every name meets a fault.

A pod in the cluster calls the route's Service all the time, each call by a connection of its own. None may be refused.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from litclaw.api import names
from litclaw.kube.resources import DEPLOYMENT, POD
from litclaw.kube.resources import ROUTE as ROUTES

from dev.cluster import ROOT, Cluster, images
from tests.e2e.kube import Kube as Objects
from tests.e2e.pods import pod

from . import member
from .calls import KUBE
from .cases import Outcome
from .faults import EVERY, KILLS, Fault
from .faults import KINDS as OF_CALLS
from .member import MEMBER, NAMESPACE, ROUTE, SERVICE, TEAM
from .process import OperatorProcess
from .rest import last_writes
from .stage import Object, Stage

KINDS = (*OF_CALLS, *KILLS)
CALLER = "main-caller"
_SCRIPT = ROOT / "tests" / "e2e" / "servers" / "caller.py"
_PYTHON = "/opt/litclaw/bin/python"
_LABELS = f"{names.LABEL_INSTANCE}={ROUTE},{names.LABEL_COMPONENT}=proxy"
_SECONDS = 600.0
_MORE_CALLS = 20
"""The caller must have made so many calls after the last old pod has gone."""


class RollOuts:
    """Roll-outs of one route.

    Args:
        operator: an operator of the whole cluster that runs already.
    """

    def __init__(self, stage: Stage, cluster: Cluster, operator: OperatorProcess, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._world = stage.world
        self._objects = Objects(cluster)
        self._operator = operator
        self._say = say

    async def run(self, kinds: Sequence[str]) -> list[Outcome]:
        """A roll-out for each of some kinds of fault."""
        await member.join(self._stage)
        found = []
        for kind in kinds:
            outcome = await self._roll_out(kind)
            self._say(f"{outcome.case}: {outcome.wrong or 'survived'} ({outcome.seconds:.0f} s)")
            found.append(outcome)
        await member.leave(self._stage)
        return found

    @contextlib.asynccontextmanager
    async def _caller(self) -> AsyncIterator[None]:
        """A pod with the agent's Secret that calls."""
        url = f"http://{SERVICE}.{NAMESPACE}.svc.cluster.local:4000"
        path = Path("/key") / names.API_KEY
        body = pod(CALLER, images()["operator"], [_PYTHON, "-c", _SCRIPT.read_text(), str(path), url], 65534, TEAM)
        [container] = body["spec"]["containers"]
        container["volumeMounts"] = [{"name": "key", "mountPath": str(path.parent)}]
        body["spec"]["volumes"] = [{"name": "key", "secret": {"secretName": names.agent_secret(MEMBER)}}]
        await self._delete_caller()
        await asyncio.to_thread(self._objects.apply, body)
        try:
            async with asyncio.timeout(_SECONDS):
                while (await self._counts())["calls"] < _MORE_CALLS:
                    await asyncio.sleep(1)
            yield
        finally:
            await self._delete_caller()

    async def _delete_caller(self) -> None:
        await asyncio.to_thread(self._objects.delete, "pod", TEAM, CALLER, "--grace-period=1")

    async def _counts(self) -> dict[str, Any]:
        """The caller's counts: calls, failed ones, the first failures."""
        done = await asyncio.to_thread(self._objects.run, "-n", TEAM, "logs", CALLER, "--tail=1", check=False)
        return counts_in(done.stdout)

    async def _roll_out(self, kind: str) -> Outcome:
        """A roll-out while an agent calls. What the calls cost is written to the status, so writes are counted after the last."""
        key = await self._stage.key_of(MEMBER, TEAM)
        async with self._caller():
            before, old, started = await self._counts(), await self._pods(), time.monotonic()
            self._world.lay(ROUTE, Fault(KUBE, EVERY, 1, kind))
            wrong = await self._change_and_wait(old)
            took = time.monotonic() - started
            record = self._world.cases[ROUTE]
            reached, calls = bool(record.struck), member.calls_of(self._world)
            wrong += record.wrong
            self._world.lay(ROUTE, None)
            await member.kill_if_waiting(self._world, self._operator)
            wrong += await self._refused(before)
        for writes in (await last_writes(self._stage, [ROUTE])).values():
            wrong.append(f"writes where nothing changes: {writes[:5]}")
        wrong += await member.changes(self._stage, key)
        case = f"roll-out, {kind} at the first call of each name"
        return Outcome(case, "roll-outs", kind, reached, wrong, round(took, 1), calls if wrong else [])

    async def _change_and_wait(self, old: Sequence[Object]) -> list[str]:
        """Change a setting, another value each time. It matters only for models that fail."""
        settings = {"routerSettings": {"cooldown_time": int(time.time())}}
        await asyncio.to_thread(self._objects.patch, ROUTES.plural, NAMESPACE, ROUTE, {"spec": settings})
        try:
            async with asyncio.timeout(_SECONDS):
                while not await self._is_replaced(old):
                    await asyncio.sleep(1)
                    await member.kill_if_waiting(self._world, self._operator)
        except TimeoutError:
            return [f"not rolled out within {_SECONDS:.0f} s"]
        return []

    async def _refused(self, before: dict[str, Any]) -> list[str]:
        """The calls that failed since, after some more have been made."""
        now = await self._counts()
        try:
            async with asyncio.timeout(_SECONDS):
                enough = now["calls"] + _MORE_CALLS
                while now["calls"] < enough:
                    await asyncio.sleep(1)
                    now = await self._counts()
        except TimeoutError:
            return ["the caller doesn't call any more"]
        failed = now["failed"] - before["failed"]
        return [f"{failed} of {now['calls'] - before['calls']} calls failed: {now['failures'][-3:]}"] if failed else []

    async def _pods(self) -> list[Object]:
        """The proxy's pods, also those that end."""
        return await self._stage.kube.select(POD, NAMESPACE, labels=_LABELS)

    async def _is_replaced(self, old: Sequence[Object]) -> bool:
        deployment = await self._stage.kube.get(DEPLOYMENT, NAMESPACE, SERVICE) or {}
        return is_replaced(deployment, old, await self._pods())


def counts_in(log: str) -> dict[str, Any]:
    """The counts in the last whole line of the caller's log."""
    found: dict[str, Any] = {"calls": 0, "failed": 0, "failures": []}
    for line in log.splitlines():
        with contextlib.suppress(ValueError):
            found = json.loads(line)
    return found


def is_replaced(deployment: Object, old: Sequence[Object], now: Sequence[Object]) -> bool:
    """Whether no pod is left of those from before, and those of now are all ready."""
    wanted = deployment["spec"]["replicas"]
    counts = [deployment["status"].get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
    left = {pod["metadata"]["uid"] for pod in old} & {pod["metadata"]["uid"] for pod in now}
    return not left and counts == [wanted] * 3 and len(now) == wanted
