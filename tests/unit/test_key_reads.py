"""How a session reads the keys of its proxy: in a task of its own, for a share of the time, sooner where somebody hurries."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise

import pytest
from litclaw.litellm.errors import UnavailableError, UnreachableError
from litclaw.litellm.transport import Response
from litclaw.reconcile.core import intervals
from litclaw.reconcile.proxy.read_pace import ReadPace, expected_read

from .handled import Request, answer
from .proxies import Clock, FakeProxy
from .running_session import LONG, SHORT, Running, observed_again, running
from .scenes import until


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


@pytest.fixture
def usual_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "READ_KEYS_SHARE", 20.0)


def _share(reads: Iterable[tuple[float, bool]]) -> tuple[float, float]:
    """The share of the time in which keys are read, and the longest pause, where reads take so long, and succeed or fail."""
    pace, now, busy, longest = ReadPace(), 1_000.0, 0.0, 0.0
    for took, complete in reads:
        pace.note(now, now + took, complete=complete)
        begins = max(pace.earliest, now + took, now + 5.0)
        busy, longest, now = busy + took, max(longest, begins - now - took), begins
    return busy / (now - 1_000.0), longest


@pytest.mark.parametrize(
    "reads",
    [
        pytest.param([(20.0, False)] * 50, id="fail on the last page"),
        pytest.param([(0.1, True), (20.0, False)] * 50, id="every second one fails"),
        pytest.param([(0.1, True), (20.0, True)] * 50, id="every second one is long"),
    ],
)
def test_reads_that_fail_take_no_more_of_the_time_than_others(
    usual_share: None, reads: list[tuple[float, bool]]
) -> None:
    share, _ = _share(reads)
    assert share < 0.09, "a twentieth, and the half minute that is forgiven"


def test_a_read_that_failed_late_is_tried_again_soon(usual_share: None) -> None:
    for usual in (0.5, 60.0):
        assert _share([(usual, True), (usual, False)])[1] <= 20 * usual
        pace = ReadPace()
        pace.note(0.0, usual, complete=True)
        pace.note(20 * usual, 21 * usual, complete=False)
        assert pace.earliest <= 40 * usual


def test_a_proxy_that_was_slow_for_hours_is_read_within_ten_minutes(usual_share: None) -> None:
    assert _share([(600.0, False)] * 20)[1] <= intervals.READ_KEYS_LIMIT


async def test_a_list_that_breaks_again_and_again_has_pauses(
    proxy: FakeProxy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "READ_KEYS_SHARE", 10.0)
    monkeypatch.setattr(intervals, "READ_KEYS_FORGIVEN", 0.0)
    when: list[float] = []

    async def breaks(request: Request) -> Response:
        if request.path != "/key/list":
            return await proxy.answer(request)
        if request.params["page"] == "1":
            when.append(asyncio.get_running_loop().time())
            return answer(200, {"keys": [{"token": "t"}], "total_pages": 3})
        await asyncio.sleep(0.03)
        return answer(200, {"keys": [{"token": "t"}] if request.params["page"] == "2" else "none", "total_pages": 3})

    async with running(breaks, clock):
        await until(lambda: len(when) >= 4)
    assert all(after - begun >= 0.3 for begun, after in pairwise(when)), "also before the first that succeeds"


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
        await observed_again(proxy)
        await until(lambda: found.session.read_error)
        assert isinstance(found.session.read_error, UnreachableError) and not found.session.reads_first_keys
        assert "doesn't list its keys within 0.3 s" in str(found.session.read_error)
        await observed_again(proxy)
        proxy.hanging.clear()
        await until(lambda: found.session.keys_read)


async def test_a_read_for_the_deletion_of_a_route_has_the_limit_too(
    proxy: FakeProxy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that lists page after page, slowly, would hold a deletion up for hours."""
    monkeypatch.setattr(intervals, "READ_KEYS_LIMIT", 0.3)
    proxy.hanging.add("/key/list")
    async with running(proxy.answer, clock) as found:
        with pytest.raises(UnreachableError, match="doesn't list its keys within"):
            await found.session.read_keys()


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
