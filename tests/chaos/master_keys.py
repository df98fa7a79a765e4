"""Rotation of a managed route's master key, each of whose calls fails once; and with the operator killed at each write."""

import asyncio
import base64
import time
from collections.abc import Callable, Sequence

from litclaw.api import names
from litclaw.kube.client import Kube
from litclaw.kube.resources import DEPLOYMENT, ROTATION, SECRET

from .faults import EVERY, Fault
from .process import OperatorProcess
from .stage import MANAGER, Object, Stage
from .sweep import Outcome

ROUTE, NAMESPACE = "main", "ai"
SERVICE = f"{ROUTE}-litellm"
TENANT = f"{SERVICE}.{NAMESPACE}"
KINDS = ("drop-answer", "kill-after", "503", "kill-before", "late", "409", "drop-request", "504-done")
_SECONDS = 420.0
_QUIET_SECONDS = 15.0


class MasterKeys:
    """Rotations of one route's master key.

    Args:
        operator: one that works in the whole cluster, started already.
    """

    def __init__(self, stage: Stage, operator: OperatorProcess, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._kube: Kube = stage.kube
        self._world = stage.world
        self._operator = operator
        self._say = say

    async def run(self, kinds: Sequence[str]) -> list[Outcome]:
        """A rotation for each of some kinds of fault."""
        found = []
        for kind in kinds:
            outcome = await self._rotate(kind)
            self._say(f"master key, {kind}: {outcome.wrong or 'survived'} ({outcome.seconds:.0f} s)")
            found.append(outcome)
        return found

    async def _rotate(self, kind: str) -> Outcome:
        name = f"chaos-{kind}"
        old = (await self._held())[names.MASTER_KEY]
        generation = await self._generation()
        self._world.lay(ROUTE, Fault("kube", EVERY, 1, kind))
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
        reached = bool(self._world.cases[ROUTE].struck)
        self._world.lay(ROUTE, None)
        wrong += await self._look(old, generation)
        if rotation := await self._kube.get(ROTATION, None, name):
            await self._kube.delete(ROTATION, None, name, uid=rotation["metadata"]["uid"])
        return Outcome(f"master-key, {kind}", "master-keys", kind, reached, wrong, round(took, 1))

    async def _finished(self, name: str) -> None:
        async with asyncio.timeout(_SECONDS):
            while (await self._phase(name)) not in ("Completed", "Failed", "Stopped"):
                await asyncio.sleep(1)
                if self._world.waiting:
                    await self._operator.end()
                    self._world.let_go()
                    await self._operator.start()

    async def _phase(self, name: str) -> str:
        found = await self._kube.get(ROTATION, None, name)
        return str(((found or {}).get("status") or {}).get("phase", ""))

    async def _look(self, old: str, generation: int) -> list[str]:
        """What isn't as it should be after a rotation."""
        held = await self._held()
        new = held.get(names.MASTER_KEY, "")
        wrong = []
        if new == old:
            wrong.append("the master key is the old one")
        if names.MASTER_KEY_BEFORE in held:
            wrong.append("the old master key is still in the Secret")
        if (made := await self._generation()) > generation + 2:
            wrong.append(f"the Deployment was changed {made - generation} times")
        for key, accepted in ((new, True), (old, False)):
            status, _ = await self._stage.litellm(TENANT, "GET", "/key/list?size=1", key=key)
            if (status == 200) != accepted:
                wrong.append(f"LiteLLM answers {status} to the {'new' if accepted else 'old'} master key")
        start = len(self._world.calls)
        await asyncio.sleep(_QUIET_SECONDS)
        writes = [call for call in self._world.calls[start:] if not call.name.reads]
        if writes:
            wrong.append(f"writes where nothing changes: {[call.name.call for call in writes[:5]]}")
        return wrong

    async def _held(self) -> dict[str, str]:
        found = await self._kube.get(SECRET, NAMESPACE, names.route_master_key(ROUTE))
        held = {key: base64.b64decode(value).decode() for key, value in ((found or {}).get("data") or {}).items()}
        self._world.secrets.update(held.values())
        return held

    async def _generation(self) -> int:
        found: Object = await self._kube.get(DEPLOYMENT, NAMESPACE, SERVICE) or {}
        return int(found["metadata"]["generation"])
