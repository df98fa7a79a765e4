"""The session of a proxy: it observes the proxy by itself, and reports what changes."""

import asyncio
from dataclasses import replace

import pytest
from litclaw.litellm.errors import NotLiteLLMError, UnavailableError, UnreachableError
from litclaw.litellm.transport import Response
from litclaw.reconcile.core import intervals
from litclaw.reconcile.proxy.session import Credentials, ProxySession
from pydantic import SecretStr

from .handled import MASTER, Request, answer
from .proxies import Clock, FakeProxy
from .running_session import LONG, SHORT, create, observed_again, running
from .scenes import URL, session_of, until


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def proxy(clock: Clock) -> FakeProxy:
    found = FakeProxy(clock)
    found.models["m"] = {}
    return found


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in SHORT.items():
        monkeypatch.setattr(intervals, name, seconds)


# Observing


async def test_it_observes_the_proxy_and_reads_its_keys_by_itself(proxy: FakeProxy, clock: Clock) -> None:
    token = create(proxy, "sk-a-key-of-an-agent")
    async with running(proxy.answer, clock) as found:
        session = found.session
        assert session.observation is None and not session.keys_read
        await until(lambda: session.keys_read)
        assert session.observation and session.observation.error is None and session.observation.database
        assert (session.observation.release, dict(session.observation.models)) == ("1.106.2", {"m": {}})
        assert session.table.get(token)
        readiness, lists = proxy.counts["/health/readiness"], proxy.counts["/key/list"]
        await until(lambda: proxy.counts["/health/readiness"] > readiness + 2 and proxy.counts["/key/list"] > lists + 2)


async def test_only_a_change_is_reported(proxy: FakeProxy, clock: Clock) -> None:
    async with running(proxy.answer, clock) as found:
        await until(lambda: found.session.keys_read)
        assert found.observed == 2, "the first observation, and the first read of the keys"
        await observed_again(proxy)
        assert found.observed == 2
        proxy.models["other"] = {}
        await observed_again(proxy)
        assert found.observed == 3
        del proxy.models["m"]
        await observed_again(proxy)
        assert found.observed == 4 and not found.changed


async def test_agents_whose_keys_somebody_else_has_changed_are_reported(proxy: FakeProxy, clock: Clock) -> None:
    create(proxy, "sk-there-from-the-start", "first")
    async with running(proxy.answer, clock) as found:
        await until(lambda: found.session.keys_read)
        assert found.changed == [], "at the start the observation is reported, and nothing has changed"
        token = create(proxy, "sk-created-by-hand", "second")
        await until(lambda: found.changed)
        del proxy.rows[token]
        await until(lambda: len(found.changed) == 2)
        assert found.changed == [{"second"}, {"second"}]


async def test_a_fresh_observation_is_made_at_once_where_one_is_wanted_and_reported_though_nothing_changed(
    proxy: FakeProxy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "OBSERVE", LONG)
    async with running(proxy.answer, clock) as found:
        await until(lambda: found.observed == 2)
        now = asyncio.get_running_loop().time()
        assert found.session.observed_since(float("-inf")) is found.session.observation, "any counts"
        assert found.session.observed_since(now) is None
        await until(lambda: found.observed == 3)
        observation = found.session.observed_since(now)
        assert observation and observation.begun >= now
        await asyncio.sleep(0.05)
        assert found.observed == 3 and proxy.counts["/health/readiness"] == 2


async def test_an_observation_that_began_before_the_moment_does_not_count(proxy: FakeProxy, clock: Clock) -> None:
    started = asyncio.Event()

    async def slow(request: Request) -> Response:
        response = await proxy.answer(request)
        started.set()
        await asyncio.sleep(0.05)
        return response

    async with running(slow, clock) as found:
        await started.wait()
        wanted = asyncio.get_running_loop().time()
        assert found.session.observed_since(wanted) is None
        await until(lambda: found.observed == 1)
        assert found.session.observed_since(wanted) is None, "it began before"
        await until(lambda: found.session.observed_since(wanted))
        assert found.observed >= 2


async def test_a_proxy_that_hangs_is_unreachable_after_the_limit(
    proxy: FakeProxy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "OBSERVE_LIMIT", 0.3)
    proxy.hanging.add("/model/info")
    async with running(proxy.answer, clock) as found:
        await until(lambda: found.observed)
        observation = found.session.observation
        assert observation and isinstance(observation.error, UnreachableError)
        assert "doesn't answer within 0.3 s" in str(observation.error)
        assert observation.database and observation.release, "as far as it got"
        assert not found.session.keys_read and proxy.counts["/key/list"] == 0, "no keys are read of such a proxy"
        proxy.hanging.clear()
        await until(lambda: found.session.keys_read)
        assert found.session.observation and found.session.observation.error is None


async def test_an_error_is_reported_once_and_so_is_its_end(proxy: FakeProxy, clock: Clock) -> None:
    async with running(proxy.answer, clock) as found:
        await until(lambda: found.session.keys_read)
        before = found.observed
        proxy.failing.add("/model/info")
        await observed_again(proxy)
        assert found.session.observation and isinstance(found.session.observation.error, UnavailableError)
        assert found.observed == before + 1
        proxy.failing.clear()
        await observed_again(proxy)
        assert found.session.observation.error is None and found.observed == before + 2


# What must not end it


def _errors(session: ProxySession) -> list[Exception]:
    """What is wrong with the proxy, and with the last read of its keys."""
    return [each for each in (session.observation and session.observation.error, session.read_error) if each]


@pytest.mark.parametrize(
    ("path", "where"), [("/model/info", "the observation of"), ("/key/list", "the read of the keys of")]
)
async def test_an_unexpected_exception_does_not_end_it(
    path: str, where: str, proxy: FakeProxy, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    odd: set[str] = set()
    text = "what a proxy answers may be secret"

    async def sometimes(request: Request) -> Response:
        if request.path in odd:
            raise KeyError(text)
        return await proxy.answer(request)

    async with running(sometimes, clock) as found:
        await until(lambda: found.session.keys_read)
        odd.add(path)
        await until(lambda: _errors(found.session))
        [error] = _errors(found.session)
        assert isinstance(error, NotLiteLLMError) and "KeyError" in str(error)
        assert f"KeyError in {where} {URL}" in caplog.text and text not in f"{caplog.text}{error}"
        odd.clear()
        await until(lambda: not _errors(found.session))


async def test_keys_that_are_none_are_an_error_of_the_read(proxy: FakeProxy, clock: Clock) -> None:
    async def lists_odd_keys(request: Request) -> Response:
        odd = {"keys": [{"token": "t", "spend": "much"}], "total_pages": 1}
        return answer(200, odd) if request.path == "/key/list" else await proxy.answer(request)

    async with running(lists_odd_keys, clock) as found:
        await until(lambda: found.session.read_error)
        assert isinstance(found.session.read_error, NotLiteLLMError)


async def test_after_its_end_nothing_is_asked_of_the_proxy(proxy: FakeProxy, clock: Clock) -> None:
    proxy.hanging.add("/key/list")
    async with running(proxy.answer, clock) as found:
        await until(lambda: proxy.counts["/key/list"])
    calls = len(proxy.calls)
    await asyncio.sleep(0.1)
    assert len(proxy.calls) == calls and found.proxies.connections[0].closed
    await found.session.close()  # a second time is no error


async def test_other_credentials_of_the_same_proxy_are_tried_at_once(
    proxy: FakeProxy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "OBSERVE", LONG)
    async with running(proxy.answer, clock) as found:
        await until(lambda: found.session.keys_read)
        before, readiness = found.session.client, proxy.counts["/health/readiness"]
        other = replace(found.session.credentials, master_key_before=MASTER)
        assert found.session.reconnect(other) is before and found.session.client is not before
        assert found.session.credentials == other == Credentials(URL, MASTER, master_key_before=MASTER)
        await until(lambda: proxy.counts["/health/readiness"] > readiness)
        assert not found.proxies.connections[0].closed, "the caller closes it, after the passes that use it"


async def test_nothing_is_remembered_of_keys_that_are_gone(proxy: FakeProxy, clock: Clock) -> None:
    token = create(proxy, "sk-a-key-of-an-agent")
    session = session_of(proxy.answer, clock)
    for uid, each in (("lives", token), ("gone", "t" * 64)):
        session.undelivered[uid] = (each, SecretStr("sk-the-value"))
        session.ends_moved_up[each] = 0.0
    await session.read_keys()
    assert session.undelivered.keys() == {"lives"} and session.ends_moved_up.keys() == {token}
