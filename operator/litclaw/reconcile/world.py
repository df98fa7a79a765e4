"""What the reconcilers share: the API, the cache, the queue, and what is known of each route's proxy."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from ..api.route import KeyDefaults
from ..kube.cache import Cache
from ..kube.client import Kube
from ..kube.resources import AGENT, ROUTE
from ..litellm.client import LiteLLM
from ..render.address import Reach
from ..render.openclaw_config import ModelFacts
from .key_table import KeyTable

QueueKey = tuple[str, str, str]
"""Kind, namespace, name."""


@dataclass(slots=True)
class RouteState:
    """A route whose proxy has been reached with its master key, and what was seen there.

    Attributes:
        usable: whether keys can be made there now.
        facts: the models that agents may use, in the route's order.
    """

    client: LiteLLM
    master_key: SecretStr
    table: KeyTable
    reach: Reach
    usable: bool = False
    facts: tuple[ModelFacts, ...] = ()
    key_defaults: KeyDefaults = field(default_factory=KeyDefaults)
    refreshed_at: float = float("-inf")
    refresh_seconds: float = 0.0

    @property
    def url(self) -> str:
        """Root of the proxy."""
        return self.client.url

    def signature(self) -> tuple[object, ...]:
        """What agents depend on: when it changes, they are looked at again."""
        return (self.usable, self.url, self.reach, self.facts, self.key_defaults, id(self.table))


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class World:
    """The shared state of one operator process.

    Attributes:
        cluster: uid of the namespace kube-system, which stands for the cluster.
        wake: has a resource looked at as soon as possible.
        now: the clock.
        connect: makes a client for a proxy.
    """

    kube: Kube
    cache: Cache
    cluster: str
    wake: Callable[[QueueKey], None]
    now: Callable[[], datetime] = utc_now
    connect: Callable[[str, SecretStr], LiteLLM] = LiteLLM
    routes: dict[tuple[str, str], RouteState] = field(default_factory=dict)

    def agents_of(self, route: tuple[str, str]) -> Iterator[Mapping[str, Any]]:
        """The agents that ask for a route, by namespace and name."""
        for body in self.cache.all(AGENT.kind):
            ref = body["spec"]["routeRef"]
            if (ref.get("namespace") or body["metadata"]["namespace"], ref["name"]) == route:
                yield body

    def wake_agents_of(self, route: tuple[str, str]) -> None:
        """Have every agent of a route looked at."""
        for body in self.agents_of(route):
            self.wake((AGENT.kind, body["metadata"]["namespace"], body["metadata"]["name"]))

    def wake_route(self, route: tuple[str, str]) -> None:
        """Have a route looked at."""
        self.wake((ROUTE.kind, *route))
