"""What the reconcilers share: the API, the cache, the queue, and what is known of each route's proxy."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from litclaw.api.quantity import format_usd
from litclaw.api.route import KeyDefaults
from litclaw.kube.cache import Cache, key_of
from litclaw.kube.client import Kube
from litclaw.kube.resources import AGENT
from litclaw.litellm.client import LiteLLM
from litclaw.net.address import Reach
from litclaw.reconcile.core.event_rate import EventRateLimit
from litclaw.reconcile.proxy.key_table import KeyTable
from litclaw.reconcile.rotation.run import RotationRun
from litclaw.render.openclaw.config import ModelFacts
from litclaw.render.proxy_peer import ANYWHERE, ProxyPeer

_CLOSE_SECONDS = 60.0
_LONG_AGO = datetime.fromtimestamp(0, UTC)

Request = tuple[str, str, str]
"""Kind, namespace, name."""


@dataclass(slots=True)
class RouteState:
    """A route whose proxy has been reached with its master key, and what was seen there.

    Attributes:
        secrets: what the client was made with: the master key, certificates in PEM, the master key before.
        peer: what agents' NetworkPolicies open.
        blocks_spread: whether the proxy's replicas learn of a blocked key sooner than of a deleted one.
        usable: whether keys can be made there now.
        facts: the models that agents may use, in the route's order.
        limited: whether the proxy serves more models than the route gives away.
        moved_up: of old keys whose end was moved up, by token, in how many seconds it was then to come.
        hurry_until: until when the keys are read more often, because an old one waits for the use of a new one.
        making: how many keys are being made there just now.
        undelivered: by agent, the token and value of a key whose write into the Secret has come to no known end.
    """

    client: LiteLLM
    secrets: tuple[SecretStr, str, SecretStr | None]
    table: KeyTable
    peer: ProxyPeer = ANYWHERE
    reach: Reach = Reach.PRIVATE
    blocks_spread: bool = True
    usable: bool = False
    facts: tuple[ModelFacts, ...] = ()
    limited: bool = False
    key_defaults: KeyDefaults = field(default_factory=KeyDefaults)
    moved_up: dict[str, float] = field(default_factory=dict)
    hurry_until: datetime = _LONG_AGO
    making: int = 0
    undelivered: dict[str, tuple[str, SecretStr]] = field(default_factory=dict)
    refreshed_at: float = float("-inf")
    refresh_seconds: float = 0.0

    @property
    def authorities(self) -> str:
        """Certificates, in PEM, that the proxy's own is checked against; empty: the usual ones."""
        return self.secrets[1]

    @property
    def seen(self) -> bool:
        """Whether the proxy's keys have been read."""
        return self.refreshed_at > float("-inf")

    @property
    def spend_text(self) -> str:
        """What the keys have spent together, in US dollars."""
        return format_usd(self.table.spend)

    @property
    def url(self) -> str:
        """Root of the proxy."""
        return self.client.url

    def now(self, context: "Context") -> datetime:
        """The time by the proxy's own clock, by which its keys end and their budgets start anew."""
        return self.client.now(context.now())

    def signature(self) -> tuple[object, ...]:
        """What agents depend on: when it changes, they are looked at again."""
        seen = (self.reach, self.facts, self.limited, self.key_defaults, self.authorities, self.peer)
        return (self.usable, self.url, id(self.client), *seen)


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Context:
    """The shared state of one operator process.

    Attributes:
        cluster: uid of the namespace kube-system, which stands for the cluster.
        own_namespace: where the operator runs; None outside of the cluster.
        namespaces: where it acts; empty: in the whole cluster.
        wake: has a resource looked at as soon as possible.
        enqueue_after: has a resource looked at after some seconds, if it isn't before.
        now: the clock.
        connect: makes a client for a proxy.
        events: keeps an event from being told in a loop.
    """

    kube: Kube
    cache: Cache
    cluster: str
    wake: Callable[[Request], None]
    enqueue_after: Callable[[Request, float], None]
    now: Callable[[], datetime] = utc_now
    connect: Callable[[str, SecretStr, str, SecretStr | None], LiteLLM] = LiteLLM
    own_namespace: str | None = None
    namespaces: tuple[str, ...] = ()
    routes: dict[tuple[str, str], RouteState] = field(default_factory=dict)
    runs: dict[str, RotationRun] = field(default_factory=dict)
    events: EventRateLimit = field(default_factory=EventRateLimit)
    _shown: dict[tuple[str, str], object] = field(default_factory=dict)
    _closing: dict[asyncio.Task[None], LiteLLM] = field(default_factory=dict)

    async def write(self, manifest: Mapping[str, Any], before: Mapping[str, Any] | None = None, **how: Any) -> None:
        """Apply a manifest, and know it by the answer; nobody is woken by it.

        Args:
            before: see `Cache.wrote`.
            how: as `Kube.apply` takes it.

        Raises:
            KubeError: the API server refuses it or can't be reached.
        """
        with self.cache.writing(key_of(manifest)):
            self.cache.wrote(await self.kube.apply(manifest, **how), before)

    def acts_in(self, namespace: str) -> bool:
        """Whether a namespace's agents are this operator's; those of others are another operator's, or nobody's."""
        return not self.namespaces or namespace in self.namespaces

    async def living_agents(self) -> set[str]:
        """The uids of the agents that there are, by the API server, not by what the cache has seen of it."""
        if not self.namespaces:
            return (await self.kube.uids(AGENT))[0]
        lists = [await self.kube.uids(AGENT, namespace=namespace) for namespace in self.namespaces]
        return {uid for uids, _ in lists for uid in uids}

    def agents_of(self, route: tuple[str, str]) -> Iterator[Mapping[str, Any]]:
        """The agents that ask for a route, by namespace and name."""
        for body in self.cache.all(AGENT.kind):
            ref = body["spec"]["routeRef"]
            if (ref.get("namespace") or body["metadata"]["namespace"], ref["name"]) == route:
                yield body

    def fail_rotation(self, uid: str, why: str) -> None:
        """Tell the rotations whose turn it is with a resource that its key can't be rotated."""
        for run in self.runs.values():
            run.settle(uid, why)

    def enqueue_agents_if_changed(self, route: tuple[str, str], view: object) -> None:
        """Have the agents of a route looked at when what they see of it has changed."""
        if view is not None and self._shown.get(route) == view:
            return
        if view is None:
            self._shown.pop(route, None)
        else:
            self._shown[route] = view
        for body in self.agents_of(route):
            self.wake((AGENT.kind, body["metadata"]["namespace"], body["metadata"]["name"]))

    def retire(self, client: LiteLLM, last: Callable[[], Awaitable[None]] | None = None) -> None:
        """Close a client when those who still use it are done.

        Args:
            last: what is done with it before it is closed.
        """
        task = asyncio.ensure_future(_close_later(client, last))
        self._closing[task] = client
        task.add_done_callback(lambda done: self._closing.pop(done, None))

    async def close(self) -> None:
        """Close every client: no proxy is asked for anything any more."""
        retired = dict(self._closing)
        for task in retired:
            task.cancel()
        for client in (*retired.values(), *(state.client for state in self.routes.values())):
            await client.close()


async def _close_later(client: LiteLLM, last: Callable[[], Awaitable[None]] | None) -> None:
    await asyncio.sleep(_CLOSE_SECONDS)
    try:
        if last:
            await last()
    finally:
        await client.close()
