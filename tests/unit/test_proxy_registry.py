"""The sessions of a process: routes to one proxy share one, and it is closed when no route uses it any more."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.cache import Cache
from litclaw.litellm.breaker import Breaker
from litclaw.litellm.client import LiteLLM
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.core.queue import Request
from litclaw.reconcile.proxy.registry import ProxyRegistry
from litclaw.reconcile.proxy.session import Credentials, ProxySession
from litclaw.reconcile.route.connect import connect, disconnect, read_credentials
from litclaw.render.metadata import encode
from pydantic import SecretStr

from .handled import MASTER
from .proxies import Clock, FakeProxy
from .scenes import (
    URL,
    FakeKube,
    Proxies,
    agent_body,
    context_of,
    key_of_agent,
    master_key_body,
    route_body,
    until,
)

ONE, TWO, THREE = ("n", "one"), ("n", "two"), ("n", "three")
GIVEN = Credentials(URL, MASTER)
OTHER = Credentials(URL, SecretStr("sk-another-master-key-of-this-proxy"))


class Registered:
    """A registry over one fake proxy, and what its sessions have reported."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.proxy = FakeProxy(self.clock)
        self.proxies = Proxies({URL: self.proxy.answer})
        self.invalid = False
        self.observed: list[set[tuple[str, str]]] = []
        self.registry = ProxyRegistry(
            "c",
            connect=self.connect,
            now=self.clock,
            monotonic=self.clock.monotonic,
            on_observed=lambda session: self.observed.append(set(session.routes)),
            on_keys_changed=lambda session, uids: None,
            own_agents=lambda session: (),
            all_agents=tuple,
        )

    def connect(self, credentials: Credentials, breaker: Breaker) -> LiteLLM:
        """A client, unless the certificates are invalid."""
        if self.invalid:
            raise ssl.SSLError("no certificates")
        return self.proxies.connect(credentials, breaker)

    @property
    def closed(self) -> list[bool]:
        """Of each client, whether its connections are closed."""
        return [each.closed for each in self.proxies.connections]

    async def read(self, session: ProxySession) -> None:
        """Wait until a session has read its keys."""
        await until(lambda: session.keys_read)


@pytest.fixture
async def found(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Registered]:
    monkeypatch.setattr(intervals, "CLOSE_LATER", 0.05)
    made = Registered()
    yield made
    await made.registry.close()


async def test_two_routes_to_one_proxy_share_one_session_and_its_calls(found: Registered) -> None:
    first = found.registry.session_for(ONE, GIVEN, None)
    await found.read(first)
    assert found.registry.session_for(TWO, Credentials(URL, MASTER), None) is first
    assert found.registry.session_for(ONE, GIVEN, first) is first and list(found.registry) == [first]
    assert first.routes == {ONE, TWO} and len(found.proxies.connections) == 1
    await asyncio.sleep(0.02)
    assert found.proxy.counts["/key/list"] == found.proxy.counts["/health/readiness"] == 1
    first.request_observation()
    found.proxy.models["new"] = {}
    await until(lambda: found.observed[-1] == {ONE, TWO})


@pytest.mark.parametrize(
    "other",
    [OTHER, Credentials(URL, MASTER, "-----BEGIN CERTIFICATE-----"), Credentials("http://10.0.0.2:4000", MASTER)],
)
async def test_another_master_key_certificate_or_url_is_another_session(found: Registered, other: Credentials) -> None:
    found.proxies.handlers[other.url] = found.proxy.answer
    first, second = found.registry.session_for(ONE, GIVEN, None), found.registry.session_for(TWO, other, None)
    assert first is not second and set(found.registry) == {first, second}


async def test_a_route_alone_keeps_its_session_and_table_when_the_master_key_changes(found: Registered) -> None:
    session = found.registry.session_for(ONE, GIVEN, None)
    await found.read(session)
    session.table.put(key_of_agent("sk-the-key-of-an-agent"))
    assert found.registry.session_for(ONE, OTHER, session) is session
    assert session.credentials == OTHER and len(session.table) == 1 and list(found.registry) == [session]
    assert found.closed == [False, False], "a running pass may use the former client"
    await until(lambda: found.closed == [True, False])
    assert found.registry.session_for(TWO, OTHER, None) is session, "it is found by the new master key"
    assert found.registry.session_for(THREE, GIVEN, None) is not session, "and not by the former one"


async def test_a_former_master_key_that_comes_or_goes_is_the_same_session(found: Registered) -> None:
    session = found.registry.session_for(ONE, GIVEN, None)
    rotated = Credentials(URL, MASTER, master_key_before=OTHER.master_key)
    assert found.registry.session_for(ONE, rotated, session) is session and session.credentials == rotated
    assert found.registry.session_for(ONE, GIVEN, session) is session and session.credentials == GIVEN
    await until(lambda: found.closed == [True, True, False])


async def test_a_route_that_is_not_alone_moves_to_another_session(found: Registered) -> None:
    session = found.registry.session_for(ONE, GIVEN, None)
    found.registry.session_for(TWO, GIVEN, None)
    moved = found.registry.session_for(ONE, OTHER, session)
    found.registry.leave(ONE, session)
    assert moved is not session and (session.routes, moved.routes) == ({TWO}, {ONE})
    assert session.credentials == GIVEN and set(found.registry) == {session, moved}
    await asyncio.sleep(0.1)
    assert found.closed == [False, False], "the other route stays"
    assert found.registry.session_for(TWO, OTHER, session) is moved, "the other route follows"
    found.registry.leave(TWO, session)
    assert list(found.registry) == [moved] and moved.routes == {ONE, TWO}


async def test_invalid_certificates_change_nothing(found: Registered) -> None:
    session = found.registry.session_for(ONE, GIVEN, None)
    found.invalid = True
    with pytest.raises(ssl.SSLError):
        found.registry.session_for(ONE, OTHER, session)
    with pytest.raises(ssl.SSLError):
        found.registry.session_for(TWO, OTHER, None)
    assert list(found.registry) == [session] and session.credentials == GIVEN
    assert found.registry.session_for(ONE, GIVEN, session) is session


async def test_the_last_route_to_leave_closes_the_session_later(found: Registered) -> None:
    session = found.registry.session_for(ONE, GIVEN, None)
    found.registry.session_for(TWO, GIVEN, None)
    found.registry.leave(ONE, session)
    assert list(found.registry) == [session]
    found.registry.leave(TWO, session)
    assert list(found.registry) == [] and found.closed == [False], "a running pass may use it"
    await until(lambda: found.closed == [True])
    assert found.registry.session_for(ONE, GIVEN, None) is not session


async def test_a_proxy_is_not_called_any_more_when_its_last_route_has_left(
    found: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "CLOSE_LATER", 60.0)
    monkeypatch.setattr(intervals, "OBSERVE", 0.01)
    session = found.registry.session_for(ONE, GIVEN, None)
    await found.read(session)
    found.registry.leave(ONE, session)
    await asyncio.sleep(0.01)
    calls = len(found.proxy.calls)
    await asyncio.sleep(0.1)
    assert len(found.proxy.calls) == calls, "not on behalf of a route that is gone"
    assert found.closed == [False], "passes that run may still use its client"


async def test_at_the_end_everything_is_closed_at_once(found: Registered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "CLOSE_LATER", 60.0)
    left = found.registry.session_for(ONE, GIVEN, None)
    found.registry.leave(ONE, left)
    kept = found.registry.session_for(TWO, GIVEN, None)
    found.registry.session_for(TWO, OTHER, kept)
    await found.registry.close()
    assert found.closed == [True, True, True] and list(found.registry) == []
    calls = len(found.proxy.calls)
    await asyncio.sleep(0.05)
    assert len(found.proxy.calls) == calls


# A route's connection


async def test_a_key_whose_delivery_has_an_unknown_outcome_moves_with_its_route(found: Registered) -> None:
    cache = Cache()
    cache.store(agent_body("a", "u", route="one"))
    context = context_of(cache=cache, clock=found.clock, connect=found.proxies.connect)
    before = connect(context, ONE, GIVEN).session
    connect(context, TWO, GIVEN)
    row = key_of_agent("sk-the-key-of-an-agent", "u")
    before.table.put(row)
    before.undelivered["u"] = (row.token, SecretStr("sk-the-key-of-an-agent"))
    before.undelivered["of another route"] = ("t", SecretStr("sk-x"))
    connection = connect(context, ONE, OTHER)
    assert connection is context.routes[ONE] and connection.session is not before and before.routes == {TWO}
    assert connection.session.undelivered.keys() == {"u"} and before.undelivered.keys() == {"of another route"}
    assert connection.session.table.get(row.token) == row
    await context.proxies.close()


async def test_a_route_that_is_gone_leaves_its_session_and_its_agents_are_reconciled(found: Registered) -> None:
    cache = Cache()
    enqueued: list[Request] = []
    cache.store(agent_body("a", "u", route="one"))
    context = context_of(cache=cache, clock=found.clock, connect=found.proxies.connect, enqueue=enqueued.append)
    connect(context, ONE, GIVEN)
    context.routes_seen.add(ONE)
    disconnect(context, ONE)
    assert not context.routes and not context.routes_seen and list(context.proxies) == []
    assert enqueued == [("OpenClawAgent", "n", "a")]
    await until(lambda: found.closed == [True])


@pytest.mark.parametrize("url", ["https://10.0.0.1:4000", "http://10.0.0.1:4000"])
async def test_a_certificate_that_is_cut_off_is_refused_before_it_reaches_agents(url: str) -> None:
    """Nothing parses the certificates of a proxy without TLS."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    key = "-----BEGIN PRIVATE KEY-----\nYg==\n-----END PRIVATE KEY-----"
    bundle = f"{begin}\nYQ==\n{key}\n{begin}\nYQ==\n{end}\n"
    meta = {"namespace": "n", "name": "ca", "uid": "ca", "resourceVersion": "1"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encode({"ca.crt": bundle})}
    body = route_body(url=url)
    body["spec"]["external"]["caBundleSecretRef"] = {"name": "ca", "key": "ca.crt"}
    route = LiteLLMRoute.model_validate(body)
    assert route.spec.external
    with pytest.raises(Blocked, match="InvalidCertificates"):
        await read_credentials(context_of(FakeKube(master_key_body(), secret)), route, route.spec.external, url)


async def test_invalid_certificates_are_the_route_s_condition(found: Registered) -> None:
    found.invalid = True
    context = context_of(clock=found.clock, connect=found.connect)
    with pytest.raises(Blocked, match="InvalidCertificates"):
        connect(context, ONE, GIVEN)
    assert not context.routes
