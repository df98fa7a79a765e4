"""The session of a proxy: it observes the proxy and reads its keys by itself, and reports what changes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from litclaw.litellm.errors import NotLiteLLMError, UnavailableError, UnreachableError
from litclaw.litellm.transport import Response
from litclaw.reconcile.core import intervals
from litclaw.reconcile.proxy.session import Credentials, ProxySession, expected_read

from .handled import MASTER, Handler, Request, answer
from .proxies import Clock, FakeProxy
from .scenes import URL, Proxies, key_of_agent, session_of, until

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


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def proxy(clock: Clock) -> FakeProxy:
    found = FakeProxy(clock)
    found.models["m"] = {}
    return found


@pytest.fixture(autouse=True)
def intervals_of_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short ones: a session that isn't given others observes and reads 50 times a second."""
    for name, seconds in (
        ("OBSERVE", 0.02),
        ("READ_KEYS_SHARE", 0.0),
        ("HURRY", 0.01),
    ):
        monkeypatch.setattr(intervals, name, seconds)


def create(proxy: FakeProxy, key: str, uid: str = "u") -> str:
    """Put a key of an agent into the proxy, as another process does; returns its token."""
    row = key_of_agent(key, uid)
    assert row.mark
    proxy.rows[row.token] = {"token": row.token, "key_alias": key, "metadata": row.marked(row.mark)}
    return row.token


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
        await _observed_again(proxy)
        assert found.observed == 2
        proxy.models["other"] = {}
        await _observed_again(proxy)
        assert found.observed == 3
        del proxy.models["m"]
        await _observed_again(proxy)
        assert found.observed == 4 and not found.changed


async def _observed_again(proxy: FakeProxy) -> None:
    before = proxy.counts["/health/readiness"]
    await until(lambda: proxy.counts["/health/readiness"] >= before + 3)


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
        await _observed_again(proxy)
        assert found.session.observation and isinstance(found.session.observation.error, UnavailableError)
        assert found.observed == before + 1
        proxy.failing.clear()
        await _observed_again(proxy)
        assert found.session.observation.error is None and found.observed == before + 2


# Reading the keys


def _gaps(took: list[float]) -> list[float]:
    """The times between the beginnings of reads that take as long as given, where nothing else decides."""
    expected, gaps = 0.0, []
    for each in took:
        expected = expected_read(expected, each)
        gaps.append(max(20.0 * expected, 30.0))
    return gaps


def test_a_large_table_is_read_less_often() -> None:
    assert _gaps([6.0, 6.0, 6.0]) == [120.0, 120.0, 120.0]


def test_one_slow_read_is_no_large_table() -> None:
    assert _gaps([0.1, 30.0, 0.1]) == [30.0, 30.0, 30.0]


def test_a_table_that_has_grown_is_noticed() -> None:
    assert _gaps([0.1, *[12.0] * 10])[-1] == 240.0


async def _reads(
    proxy: FakeProxy,
    clock: Clock,
    seconds: Callable[[int], float],
    count: int,
    before: Callable[[Running], Awaitable[None]],
) -> list[float]:
    """When the keys are read, where each read takes some seconds."""
    when: list[float] = []

    async def listing(request: Request) -> Response:
        if request.path == "/key/list":
            when.append(asyncio.get_running_loop().time())
            await asyncio.sleep(seconds(len(when)))
        return await proxy.answer(request)

    async with running(listing, clock) as found:
        await before(found)
        await until(lambda: len(when) >= count, seconds=20)
    return when


async def _nothing(_: Running) -> None:
    return


async def test_keys_are_read_for_their_share_of_the_time_at_most(
    proxy: FakeProxy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "READ_KEYS_SHARE", 10.0)
    when = await _reads(proxy, clock, lambda number: 0.03, 4, _nothing)
    assert all(after - begun >= 0.3 for begun, after in pairwise(when)), "from the first read on"


async def test_a_read_that_fails_at_once_does_not_make_the_table_small(
    proxy: FakeProxy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "READ_KEYS_SHARE", 10.0)

    def seconds(number: int) -> float:
        proxy.failing = {"/key/list"} if number == 2 else set()
        return 0.0 if number == 2 else 0.03

    first, failed, *others = await _reads(proxy, clock, seconds, 5, _nothing)
    assert failed - first >= 0.3 and all(after - begun >= 0.3 for begun, after in pairwise(others))


async def test_keys_are_read_more_often_while_somebody_hurries(
    proxy: FakeProxy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "OBSERVE", LONG)
    async with running(proxy.answer, clock) as found:
        await until(lambda: found.session.keys_read)
        found.session.hurry(30)
        await until(lambda: proxy.counts["/key/list"] >= 4)
        clock.pass_(31)
        await asyncio.sleep(0.05)
        lists = proxy.counts["/key/list"]
        await asyncio.sleep(0.1)
        assert proxy.counts["/key/list"] <= lists + 1, "its time is over"


async def test_even_then_a_large_table_has_its_pauses(
    proxy: FakeProxy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "OBSERVE", LONG)
    monkeypatch.setattr(intervals, "READ_KEYS_SHARE", 10.0)

    async def hurry(found: Running) -> None:
        await until(lambda: found.session.keys_read)
        found.session.hurry(LONG)

    when = await _reads(proxy, clock, lambda number: 0.02, 4, hurry)
    assert all(after - begun >= 0.2 for begun, after in pairwise(when))


@pytest.mark.parametrize("keys_read", [True, False])
async def test_an_error_of_a_read_is_reported_once_and_tried_again_soon(
    keys_read: bool, proxy: FakeProxy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "OBSERVE", LONG)
    if not keys_read:
        proxy.failing.add("/key/list")
    async with running(proxy.answer, clock) as found:
        await until(lambda: found.observed == 2)
        proxy.failing.add("/key/list")
        found.session.hurry(0)
        await until(lambda: found.session.read_error)
        assert isinstance(found.session.read_error, UnavailableError) and found.session.keys_read is keys_read
        reported, lists = found.observed, proxy.counts["/key/list"]
        await until(lambda: proxy.counts["/key/list"] >= lists + 3)
        assert found.observed == reported, "the same error is no news"
        proxy.failing.clear()
        await until(lambda: found.session.read_error is None and found.observed == reported + 1)
        assert found.session.keys_read


async def test_a_list_of_keys_that_hangs_is_given_up_and_delays_no_observation(
    proxy: FakeProxy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "READ_KEYS_LIMIT", 0.3)
    proxy.hanging.add("/key/list")
    async with running(proxy.answer, clock) as found:
        await until(lambda: found.observed == 1)
        assert found.session.reads_first_keys
        await _observed_again(proxy)
        await until(lambda: found.session.read_error)
        assert isinstance(found.session.read_error, UnreachableError) and not found.session.reads_first_keys
        assert "doesn't list its keys within 0.3 s" in str(found.session.read_error)
        await _observed_again(proxy)
        proxy.hanging.clear()
        await until(lambda: found.session.keys_read)


async def test_keys_are_read_as_soon_as_the_proxy_is_usable_again(
    proxy: FakeProxy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.database = False
    async with running(proxy.answer, clock) as found:
        await until(lambda: found.observed == 1)
        monkeypatch.setattr(intervals, "OBSERVE", LONG)
        proxy.database = True
        found.session.request_observation()
        await until(lambda: found.session.keys_read)


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
