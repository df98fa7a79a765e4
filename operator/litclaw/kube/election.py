"""Leader election: of several operator processes, the holder of a Lease works. The rules are those of client-go.

The times in the Lease are for people. No process compares its clock with another's: a candidate takes the Lease over when it
has seen it unchanged for the lease duration, by its own clock; the holder stops `RENEW_DEADLINE_SECONDS` after it last
*started* a successful renewal, by its own clock. That is shorter and starts earlier, so the holder has stopped before
another process starts.

The client library has an election too (``kubernetes.aio.leaderelection``). It compares wall clocks, which jump, can't
release a Lease, and knows no fence.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from litclaw.kube.client import Kube
from litclaw.kube.errors import ConflictError, KubeError, NotFoundError
from litclaw.kube.fence import Fence, boot_seconds
from litclaw.kube.resources import LEASE

log = logging.getLogger(__name__)

LEASE_NAME = "litclaw"
LEASE_SECONDS = 15
"""How long the others wait for a dead leader. These three are the values of kube-controller-manager and controller-runtime:
short enough for people, long enough for an API server's restart or an etcd election."""
RENEW_DEADLINE_SECONDS = 10.0
"""How long a leader continues without a renewal. The rest of `LEASE_SECONDS` is for calls in flight."""
RETRY_SECONDS = 2.0
"""How often the leader renews the Lease and the others read it."""

_Spec = dict[str, Any]


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Election:
    """One candidate for the Lease.

    Args:
        fence: opened for as long as the Lease is ours.
        namespace: the Lease's.
        identity: this process's name; unique per start, because a predecessor may still have a call in flight.
        clock: seconds; must count pauses of the process.
    """

    def __init__(
        self,
        kube: Kube,
        fence: Fence,
        *,
        namespace: str,
        identity: str,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self._kube = kube
        self._fence = fence
        self._namespace = namespace
        self._identity = identity
        self._clock = clock
        self._seen: dict[str, Any] | None = None
        self._seen_at = 0.0
        self.trouble = ""
        """Why the last request for the Lease failed; empty: it succeeded."""

    @property
    def holder(self) -> str:
        """The Lease's holder, as last read; empty: none."""
        return str((self._seen or {}).get("spec", {}).get("holderIdentity") or "")

    async def acquire(self) -> None:
        """Wait until the Lease is ours. A failed request is repeated."""
        logged = ""
        while True:
            try:
                taken = await self._try_to_take()
                self.trouble = ""
                if taken:
                    return
                if self.holder and self.holder != logged:
                    logged = self.holder
                    log.info("%s leads; this process stands by", logged)
            except ConflictError:
                log.debug("another process took the lease at the same moment")
            except (KubeError, TimeoutError) as error:
                self._report(error)
            await asyncio.sleep(RETRY_SECONDS * random.uniform(1.0, 1.2))

    async def keep(self) -> None:
        """Renew the Lease until cancelled. If that fails for too long, or another process has it, the fence ends this process."""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            self._fence.check()
            try:
                await self._renew()
                self.trouble = ""
            except (KubeError, TimeoutError) as error:
                self._report(error)
                self._fence.check()

    async def release(self) -> None:
        """Release the Lease, so that the next leader needn't wait. No mutating request may follow."""
        self._fence.shut()
        if self._seen is None or self.holder != self._identity:
            return
        spec = {**self._seen["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time()}
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                await self._kube.replace({**self._seen, "spec": spec})
            log.info("the lease is released")
        except (KubeError, TimeoutError) as error:
            log.warning("the lease can't be released and expires by itself: %s", str(error) or "no response in time")

    def _report(self, error: Exception) -> None:
        self.trouble = f"the lease {self._namespace}/{LEASE_NAME}: {str(error) or 'no response in time'}"
        log.warning("%s; retrying", self.trouble)

    async def _try_to_take(self) -> bool:
        started = self._clock()
        async with asyncio.timeout(RENEW_DEADLINE_SECONDS / 2):
            live = await self._kube.get(LEASE, self._namespace, LEASE_NAME)
            if live is None:
                made = await self._kube.create(self._manifest(None, self._spec(None)))
                self._own(made, started)
                return True
            self._observe(live)
            spec = live.get("spec") or {}
            expired = self._clock() >= self._seen_at + float(spec.get("leaseDurationSeconds") or LEASE_SECONDS)
            if spec.get("holderIdentity") not in (None, "", self._identity) and not expired:
                return False
            started = self._clock()
            taken = await self._kube.replace(self._manifest(live, self._spec(spec)))
        self._own(taken, started)
        return True

    async def _renew(self) -> None:
        assert self._seen is not None
        started = self._clock()
        try:
            async with self._in_time():
                spec = {**self._seen["spec"], "renewTime": _micro_time(), "leaseDurationSeconds": LEASE_SECONDS}
                self._own(await self._kube.replace({**self._seen, "spec": spec}), started)
        except (ConflictError, NotFoundError):
            async with self._in_time():
                await self._after_conflict()

    def _in_time(self) -> asyncio.Timeout:
        return asyncio.timeout(min(RENEW_DEADLINE_SECONDS / 2, self._fence.seconds_left))

    async def _after_conflict(self) -> None:
        """Handle a changed Lease: by an earlier renewal of ours whose response was lost, by a person, or by another holder."""
        live = await self._kube.get(LEASE, self._namespace, LEASE_NAME)
        if live is None or (live.get("spec") or {}).get("holderIdentity") != self._identity:
            self._fence.shut()
            self._fence.check()
            return
        self._observe(live)

    def _own(self, lease: dict[str, Any], started: float) -> None:
        self._seen, self._seen_at = lease, self._clock()
        self._fence.open_until(started + RENEW_DEADLINE_SECONDS)

    def _observe(self, lease: dict[str, Any]) -> None:
        if self._seen is None or self._seen["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"]:
            self._seen_at = self._clock()
        self._seen = lease

    def _spec(self, before: _Spec | None) -> _Spec:
        now = _micro_time()
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": int((before or {}).get("leaseTransitions") or 0) + (before is not None),
        }

    def _manifest(self, live: dict[str, Any] | None, spec: _Spec) -> dict[str, Any]:
        meta = live["metadata"] if live else {"name": LEASE_NAME, "namespace": self._namespace}
        return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": meta, "spec": spec}
