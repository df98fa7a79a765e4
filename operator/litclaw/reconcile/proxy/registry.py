"""The sessions of one process: found by what identifies a proxy, closed when no route uses them any more."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from datetime import datetime

from litclaw.reconcile.core import intervals
from litclaw.reconcile.proxy.room import Room
from litclaw.reconcile.proxy.session import Connect, Credentials, ProxySession, RouteKey

Close = Callable[[], Awaitable[None]]


class ProxyRegistry:
    """All sessions.

    Args:
        cluster: identifies the cluster in the marks of keys.
        connect: creates a client.
        now: the operator's clock.
        monotonic: see `Cluster`.
        on_observed: see `ProxySession`.
        on_keys_changed: see `ProxySession`.
        own_agents: the uids of the agents that name one of a session's routes.
        all_agents: the uids of all agents.
    """

    def __init__(
        self,
        cluster: str,
        *,
        connect: Connect,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        on_observed: Callable[[ProxySession], None],
        on_keys_changed: Callable[[ProxySession, set[str]], None],
        own_agents: Callable[[ProxySession], Collection[str]],
        all_agents: Callable[[], Collection[str]],
    ) -> None:
        self._cluster = cluster
        self._connect = connect
        self._now = now
        self._monotonic = monotonic
        self._on_observed = on_observed
        self._on_keys_changed = on_keys_changed
        self._own_agents = own_agents
        self._all_agents = all_agents
        self._sessions: dict[tuple[str, str, str], ProxySession] = {}
        self._closing: dict[asyncio.Task[None], Close] = {}

    def __iter__(self) -> Iterator[ProxySession]:
        return iter(list(self._sessions.values()))

    def session_for(self, route: RouteKey, credentials: Credentials, current: ProxySession | None) -> ProxySession:
        """The session of a route's proxy.

        A route that is alone at its proxy and gets other credentials for the same URL keeps its session, and with it the
        key table; this is how the master key of a managed route changes.

        Args:
            current: the session that the route has now. Its URL is the same.

        Raises:
            ssl.SSLError: the certificates are invalid.
        """
        found = self._sessions.get(credentials.identity)
        if found is None and current and current.routes <= {route}:
            self._forget(current)
            try:
                before = current.reconnect(credentials)
            finally:
                self._sessions[current.credentials.identity] = current
            self._close_later(before.close)
            return current
        alone = found is not None and found.routes <= {route}
        if found and found.credentials != credentials and (alone or credentials.master_key_before):
            # Only the route whose master key is being rotated knows the former one.
            self._close_later(found.reconnect(credentials).close)
        if found is None:
            found = self._sessions[credentials.identity] = ProxySession(
                credentials,
                self._cluster,
                connect=self._connect,
                on_observed=self._on_observed,
                on_keys_changed=self._on_keys_changed,
                now=self._now,
                monotonic=self._monotonic,
                room=lambda session: Room(self._own_agents(session), len(self._sessions), self._all_agents()),
            )
            found.start()
        found.routes.add(route)
        return found

    def leave(self, route: RouteKey, session: ProxySession) -> None:
        """Stop a session that its last route has left, and close it after the passes that use it have ended."""
        session.routes.discard(route)
        if session.routes:
            return
        self._forget(session)
        session.stop()  # nothing is sent any more on behalf of a route that is gone
        self._close_later(session.close)

    def _forget(self, session: ProxySession) -> None:
        if self._sessions.get(session.credentials.identity) is session:
            del self._sessions[session.credentials.identity]

    def _close_later(self, close: Close) -> None:
        async def wait() -> None:
            await asyncio.sleep(intervals.CLOSE_LATER)
            await close()

        task = asyncio.ensure_future(wait())
        self._closing[task] = close
        task.add_done_callback(lambda done: self._closing.pop(done, None))

    async def close(self) -> None:
        """Close every session: nothing is asked of any proxy any more."""
        closing = dict(self._closing)
        for task in closing:
            task.cancel()
        for close in closing.values():
            await close()
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
