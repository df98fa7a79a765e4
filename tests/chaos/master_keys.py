"""Rotations of a managed route's master key; in each, the n-th call of every name fails or kills the operator.

All use one route: a route for each call, as the other stories have, would need a LiteLLM for each.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from litclaw.api import names
from litclaw.kube.client import Kube
from litclaw.kube.resources import DEPLOYMENT, ROTATION

from . import member
from .calls import KUBE, case_of
from .cases import Outcome
from .faults import EVERY, KILLS, Fault
from .faults import KINDS as OF_CALLS
from .member import MEMBER, NAMESPACE, ROUTE, SERVICE, TEAM, TENANT, kill_if_waiting, master_key_secret
from .process import OperatorProcess
from .rest import last_writes
from .stage import MANAGER, Object, Stage

KINDS = (*OF_CALLS, *KILLS)
DEPTH = 3
"""The first so many calls of each name fail, one in each rotation."""
_SECONDS = 600.0


class MasterKeys:
    """Rotations of one route's master key.

    Args:
        operator: an operator of the whole cluster that runs already.
    """

    def __init__(self, stage: Stage, operator: OperatorProcess, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._kube: Kube = stage.kube
        self._world = stage.world
        self._operator = operator
        self._say = say

    async def run(self, kinds: Sequence[str]) -> list[Outcome]:
        """A rotation for each of some kinds of fault, and each of the first calls."""
        for left in await self._kube.objects(ROTATION):  # of a campaign that was ended
            if case_of(left["metadata"]["name"]) == ROUTE:
                await self._kube.delete(ROTATION, None, left["metadata"]["name"], uid=left["metadata"]["uid"])
        await member.join(self._stage)
        found = []
        for kind in kinds:
            for nth in range(1, DEPTH + 1):
                outcome = await self._rotate(kind, nth)
                end = (outcome.wrong or "survived") if outcome.reached else "there is no such call"
                self._say(f"{outcome.case}: {end} ({outcome.seconds:.0f} s)")
                if outcome.reached or outcome.wrong:
                    found.append(outcome)
        await member.leave(self._stage)
        return found

    async def _rotate(self, kind: str, nth: int) -> Outcome:
        # Its name begins like the route's, so its own calls belong to the case too.
        name, case = f"{ROUTE}-{kind}-{nth}", f"master-key, {kind} at call {nth} of each name"
        old, key = (await master_key_secret(self._stage))[names.MASTER_KEY], await self._stage.key_of(MEMBER, TEAM)
        generation = await self._generation()
        self._world.lay(ROUTE, Fault(KUBE, EVERY, nth, kind))
        started = time.monotonic()
        manifest = {"apiVersion": "litclaw.dev/v1alpha1", "kind": "LiteLLMKeyRotation", "metadata": {"name": name}}
        spec = {"what": ["MasterKeys"], "routeRef": {"name": ROUTE, "namespace": NAMESPACE}}
        await self._kube.apply({**manifest, "spec": spec}, manager=MANAGER)
        wrong = []
        try:
            await self._finished(name)
        except TimeoutError:
            wrong.append(f"not completed within {_SECONDS:.0f} s: {await self._phase(name)}")
        took = time.monotonic() - started
        record = self._world.cases[ROUTE]
        reached, calls = bool(record.struck), member.calls_of(self._world)
        wrong += record.wrong
        self._world.lay(ROUTE, None)
        await kill_if_waiting(self._world, self._operator)
        wrong += await self._look(old, generation)
        wrong += await member.changes(self._stage, key)
        if rotation := await self._kube.get(ROTATION, None, name):
            await self._kube.delete(ROTATION, None, name, uid=rotation["metadata"]["uid"])
        return Outcome(case, "master-keys", kind, reached, wrong, round(took, 1), calls if wrong else [])

    async def _finished(self, name: str) -> None:
        async with asyncio.timeout(_SECONDS):
            while (await self._phase(name)) not in ("Completed", "Failed", "Stopped"):
                await asyncio.sleep(1)
                await kill_if_waiting(self._world, self._operator)

    async def _phase(self, name: str) -> str:
        found = await self._kube.get(ROTATION, None, name)
        return str(((found or {}).get("status") or {}).get("phase", ""))

    async def _look(self, old: str, generation: int) -> list[str]:
        """What is wrong after a rotation."""
        secret = await master_key_secret(self._stage)
        new = secret.get(names.MASTER_KEY, "")
        wrong = []
        if new == old:
            wrong.append("the master key is the old one")
        if names.MASTER_KEY_BEFORE in secret:
            wrong.append("the old master key is still in the Secret")
        if (made := await self._generation()) > generation + 2:
            wrong.append(f"the Deployment was changed {made - generation} times")
        for key, accepted in ((new, True), (old, False)):
            status, _ = await self._stage.litellm(TENANT, "GET", "/key/list?size=1", key=key)
            if (status == 200) != accepted:
                wrong.append(f"LiteLLM answers {status} to the {'new' if accepted else 'old'} master key")
        for writes in (await last_writes(self._stage, [ROUTE])).values():
            wrong.append(f"writes where nothing changes: {writes[:5]}")
        return wrong

    async def _generation(self) -> int:
        found: Object = await self._kube.get(DEPLOYMENT, NAMESPACE, SERVICE) or {}
        return int(found["metadata"]["generation"])
