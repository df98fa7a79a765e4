"""A session of a fake proxy that runs, and what it reports."""

import contextlib
from collections.abc import AsyncIterator

from litclaw.reconcile.proxy.session import ProxySession

from .handled import Handler
from .proxies import Clock, FakeProxy
from .scenes import URL, Proxies, key_of_agent, session_of, until

SHORT = {"OBSERVE": 0.02, "READ_KEYS_SHARE": 0.0, "HURRY": 0.01}
"""Intervals with which a session observes the proxy and reads its keys 50 times a second."""
LONG = 60.0


class Running:
    """A session that runs, and what it has reported."""

    def __init__(self, handler: Handler, clock: Clock) -> None:
        self.proxies = Proxies({URL: handler})
        self.observed = 0
        self.changed: list[set[str]] = []
        self.session = session_of(
            handler,
            clock,
            connect=self.proxies.connect,
            on_observed=self._on_observed,
            on_keys_changed=lambda session, uids: self.changed.append(uids),
        )

    def _on_observed(self, session: ProxySession) -> None:
        assert session is self.session
        self.observed += 1


@contextlib.asynccontextmanager
async def running(handler: Handler, clock: Clock) -> AsyncIterator[Running]:
    found = Running(handler, clock)
    found.session.start()
    try:
        yield found
    finally:
        await found.session.close()


def create(proxy: FakeProxy, key: str, uid: str = "u") -> str:
    """Put a key of an agent into the proxy, as another process does; returns its token."""
    row = key_of_agent(key, uid)
    assert row.mark
    proxy.rows[row.token] = {"token": row.token, "key_alias": key, "metadata": row.marked(row.mark)}
    return row.token


async def observed_again(proxy: FakeProxy) -> None:
    """Wait for a few more observations."""
    before = proxy.counts["/health/readiness"]
    await until(lambda: proxy.counts["/health/readiness"] >= before + 3)
