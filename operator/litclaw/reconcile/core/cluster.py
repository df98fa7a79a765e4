"""The Kubernetes cluster as every reconciler uses it: API, cache, clock, and the queue."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from litclaw.kube.cache import Cache, is_trimmed, key_of
from litclaw.kube.client import Kube
from litclaw.kube.objects import is_released
from litclaw.kube.resources import AGENT, BY_KIND
from litclaw.net import cluster_domain
from litclaw.net.address import OUTSIDE, AddressGuard
from litclaw.reconcile.core.event_rate import EventRateLimit
from litclaw.reconcile.core.queue import Request


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Cluster:
    """One operator process and its cluster.

    Attributes:
        cluster: uid of the namespace kube-system, which identifies the cluster in the marks of keys.
        enqueue: reconciles a resource as soon as possible.
        enqueue_after: reconciles a resource after some seconds, unless it is reconciled before.
        now: the clock. Somebody may set it while we run: what is waited for goes by `monotonic`.
        monotonic: seconds since some moment, by a clock that nobody sets.
        own_namespace: the operator's; None outside a cluster.
        namespaces: the namespaces that this operator serves; empty: all.
        guard: refuses addresses of proxies.
        domain: the cluster's, under which its Services have names.
        crash_logs: True if conditions may show the last lines of a crashed container's log.
        events: limits how often an event is emitted.
        attempts: when this process first tried something that is given up after a while, by what it is.
    """

    kube: Kube
    cache: Cache
    cluster: str
    enqueue: Callable[[Request], None]
    enqueue_after: Callable[[Request, float], None]
    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    own_namespace: str | None = None
    namespaces: tuple[str, ...] = ()
    guard: AddressGuard = OUTSIDE
    domain: str = cluster_domain.DEFAULT
    crash_logs: bool = False
    events: EventRateLimit = field(default_factory=EventRateLimit)
    attempts: dict[tuple[str, ...], float] = field(default_factory=dict)

    def seconds_waited(self, moment: datetime, what: tuple[str, ...]) -> float:
        """Seconds since a moment, or since this process first tried something, whichever is later.

        What was due while no operator ran has not been tried in vain yet. A moment in the future is by another clock.
        """
        now = self.monotonic()
        tried = now - self.attempts.setdefault(what, now)
        since = (self.now() - moment).total_seconds()
        return min(tried, since) if since >= 0 else tried

    def forget_attempts(self, *what: str) -> None:
        """Forget when something was first tried: it is done, or its resource is gone."""
        for each in [each for each in self.attempts if each[: len(what)] == what]:
            del self.attempts[each]

    async def write(
        self, manifest: Mapping[str, Any], before: Mapping[str, Any] | None = None, **options: Any
    ) -> dict[str, Any]:
        """Apply a manifest and store the response. The watch event of the write enqueues nothing.

        Args:
            before: see `Cache.store_written`.
            options: of `Kube.apply`.

        Returns:
            The object as it is now.

        Raises:
            ConflictError: another pass writes to the same object.
            KubeError: the API server refuses it or can't be reached.
        """
        with self.cache.writing(key_of(manifest)):
            response = await self.kube.apply(manifest, **options)
            self.cache.store_written(response, before)
        return response

    async def full(self, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """A resource with its whole spec, which the cache doesn't keep where it is large; None if it is gone.

        Raises:
            KubeError: it can't be read.
        """
        if not is_trimmed(body):
            return body
        resource, meta = BY_KIND[body["kind"]], body["metadata"]
        live = await self.kube.get(resource, meta.get("namespace"), meta["name"])
        return {"apiVersion": resource.api_version, "kind": resource.kind, **live} if live else None

    def seconds_since(self, moment: str) -> float:
        """Seconds since a moment in RFC 3339, by our clock; negative if the cluster's is ahead."""
        return (self.now() - datetime.fromisoformat(moment)).total_seconds()

    def serves(self, namespace: str) -> bool:
        """True if a namespace's agents are this operator's; others belong to another operator, or to none."""
        return not self.namespaces or namespace in self.namespaces

    def agents(self) -> dict[str, dict[str, Any]]:
        """The agents that the cache knows, by uid, without those that are released: those have no pass that ends a key."""
        return {body["metadata"]["uid"]: body for body in self.cache.all(AGENT.kind) if not is_released(body)}

    async def living_agents(self) -> set[str]:
        """The uids of the existing agents, read from the API server: the cache may be behind. Released ones aren't among them.

        Raises:
            KubeError: they can't be listed.
        """
        lists = [await self.kube.uids(AGENT, namespace=namespace) for namespace in self.namespaces or (None,)]
        released = {body["metadata"]["uid"] for body in self.cache.all(AGENT.kind) if is_released(body)}
        return {uid for uids, _ in lists for uid in uids} - released

    async def changed_agents(self) -> set[str]:
        """The uids of the agents that have changed since the cache has seen them: the watch of another kind may be faster.

        Raises:
            KubeError: they can't be listed.
        """
        lists = [await self.kube.metadata(AGENT, namespace) for namespace in self.namespaces or (None,)]
        return {body["metadata"]["uid"] for found in lists for body in found if self.cache.is_behind(body)}
