"""What the reconcilers share: the cluster, the proxies, and the rotation runs of this process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from litclaw.kube.resources import AGENT, ROUTE
from litclaw.net.resolver import Resolver
from litclaw.reconcile.core.cluster import Cluster
from litclaw.reconcile.proxy.connection import Connection
from litclaw.reconcile.proxy.registry import ProxyRegistry
from litclaw.reconcile.proxy.session import Connect, ProxySession, RouteKey
from litclaw.reconcile.rotation.run import RotationRun


def _no_client(*_: object) -> Any:
    raise RuntimeError("no way to connect to a proxy was given")


@dataclass(slots=True)
class Context(Cluster):
    """The shared state of one operator process.

    Attributes:
        connect: creates the client of a proxy.
        resolver: looks the names of proxies up.
        routes: the routes whose proxy is known.
        routes_seen: the routes that had a complete pass in this process.
        former: of each route, the sessions of proxies that it has left, by URL.
        runs: the rotations that are running, by name.
        proxies: the sessions.
    """

    connect: Connect = _no_client
    resolver: Resolver = field(default_factory=Resolver)
    routes: dict[RouteKey, Connection] = field(default_factory=dict)
    routes_seen: set[RouteKey] = field(default_factory=set)
    former: dict[RouteKey, dict[str, ProxySession]] = field(default_factory=dict)
    runs: dict[str, RotationRun] = field(default_factory=dict)
    proxies: ProxyRegistry = field(init=False)
    _shown: dict[RouteKey, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.proxies = ProxyRegistry(
            self.cluster,
            connect=lambda credentials, breaker: self.connect(credentials, breaker),
            now=lambda: self.now(),
            monotonic=lambda: self.monotonic(),
            on_observed=self._enqueue_routes,
            on_keys_changed=self._enqueue_agents,
            own_agents=lambda session: {
                body["metadata"]["uid"] for route in session.routes for body in self.agents_of(route)
            },
            all_agents=lambda: {body["metadata"]["uid"] for body in self.cache.all(AGENT.kind)},
        )

    def agents_of(self, route: RouteKey) -> list[dict[str, Any]]:
        """The agents whose spec.routeRef names a route."""
        return self.cache.agents_of(route)

    def routes_at(self, session: ProxySession) -> list[RouteKey]:
        """The routes whose proxy a session is now, in order; not those that have left it."""
        return sorted(key for key in session.routes if key in self.routes and self.routes[key].session is session)

    def sessions(self) -> list[ProxySession]:
        """Every session, of routes as they are now and of proxies that a route has left."""
        found = [connection.session for connection in self.routes.values()]
        found += [session for sessions in self.former.values() for session in sessions.values()]
        return list(dict.fromkeys(found))

    def fail_rotation(self, uid: str, why: str) -> None:
        """Report to the rotation runs that cover a resource that its key can't be rotated."""
        for run in self.runs.values():
            run.mark_failed(uid, why)

    def enqueue_agents_if_changed(self, route: RouteKey, view: object) -> None:
        """Reconcile a route's agents if what they see of the route has changed.

        Args:
            view: compared with ``==``; None: the route is gone.
        """
        if view is not None and self._shown.get(route) == view:
            return
        if view is None:
            self._shown.pop(route, None)
        else:
            self._shown[route] = view
        for body in self.agents_of(route):
            self.enqueue(_request(body))

    def _enqueue_routes(self, session: ProxySession) -> None:
        for namespace, name in sorted(session.routes):
            self.enqueue((ROUTE.kind, namespace, name))

    def _enqueue_agents(self, session: ProxySession, uids: set[str]) -> None:
        for route in session.routes:
            for body in self.agents_of(route):
                if body["metadata"]["uid"] in uids:
                    self.enqueue(_request(body))


def _request(agent: Mapping[str, Any]) -> tuple[str, str, str]:
    return (AGENT.kind, agent["metadata"]["namespace"], agent["metadata"]["name"])
