"""The circuit breaker: a proxy that hangs isn't called again at once, and is trusted again after an answer about a key."""

import asyncio

import pytest
from litclaw.litellm import breaker as breaker_module
from litclaw.litellm.breaker import FIRST_SECONDS, HANGS_SECONDS, LONGEST_SECONDS, Breaker
from litclaw.litellm.client import LiteLLM
from litclaw.litellm.errors import UnreachableError
from litclaw.litellm.transport import Response

from .handled import MASTER, Handled, Request


class Time:
    """A monotonic clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def _pause(breaker: Breaker, time: Time) -> float:
    """For how many seconds calls fail at once, to the tenth; that time has passed afterwards."""
    before = time.now
    while True:
        try:
            breaker.check("http://x")
        except UnreachableError:
            time.now = round(time.now + 0.1, 1)
        else:
            return round(time.now - before, 1)


def test_each_hang_doubles_the_pause_up_to_a_limit() -> None:
    time = Time()
    breaker = Breaker(time)
    assert _pause(breaker, time) == 0
    pauses = []
    for _ in range(7):
        breaker.unanswered(30)
        pauses.append(_pause(breaker, time))
    assert pauses == [min(FIRST_SECONDS * 2**number, LONGEST_SECONDS) for number in range(7)]
    assert pauses[-1] == LONGEST_SECONDS


def test_the_message_stays_the_same_while_it_is_open() -> None:
    time = Time()
    breaker = Breaker(time)
    breaker.unanswered(30)
    messages = set()
    for _ in range(3):
        with pytest.raises(UnreachableError) as raised:
            breaker.check("http://x")
        messages.add(str(raised.value))
        time.now += 4
    assert len(messages) == 1, "or each pass would write a status"


def test_a_refused_connection_is_no_hang() -> None:
    time = Time()
    breaker = Breaker(time)
    breaker.answered("/key/list")
    breaker.unanswered(HANGS_SECONDS - 0.1)
    assert breaker.trusted and _pause(breaker, time) == 0
    breaker.unanswered(HANGS_SECONDS)
    assert not breaker.trusted and _pause(breaker, time) == FIRST_SECONDS


def test_only_an_answer_about_a_key_makes_a_proxy_trusted() -> None:
    time = Time()
    breaker, trusted = Breaker(time), []
    breaker.on_trusted = lambda: trusted.append(breaker.trusted)
    assert not breaker.trusted, "it hasn't answered yet"
    for path in ("/health/readiness", "/model/info"):
        breaker.answered(path)
    assert not breaker.trusted, "a health check is answered by another part of the proxy"
    breaker.answered("/key/info")
    assert breaker.trusted
    breaker.unanswered(30)
    breaker.answered("/health/readiness")
    assert not breaker.trusted
    breaker.answered("/key/list")
    breaker.answered("/key/list")
    assert breaker.trusted and trusted == [True, True], "each time that it becomes so"


def test_a_proxy_that_is_slow_is_not_trusted_until_it_is_quick_again() -> None:
    """It answers each call just before that would count as a hang, and so would occupy workers for hours."""
    breaker, trusted = Breaker(Time()), []
    breaker.on_trusted = lambda: trusted.append(breaker.trusted)
    breaker.answered("/key/info", 0.1)
    for _ in range(5):
        breaker.answered("/key/block", HANGS_SECONDS - 0.1)
    assert not breaker.trusted
    breaker.answered("/health/readiness", 0.0)
    breaker.answered("/key/list", 0.0)
    assert not breaker.trusted, "neither says how long a call about one key takes"
    for _ in range(10):
        breaker.answered("/key/info", 0.1)
    assert breaker.trusted and trusted == [True, True]
    breaker.answered("/key/list", 25.0)
    breaker.answered("/key/info", 2.0)
    assert breaker.trusted, "a large table, and one hiccup"


def test_after_an_answer_the_first_pause_is_short_again() -> None:
    time = Time()
    breaker = Breaker(time)
    for _ in range(5):
        breaker.unanswered(30)
    _pause(breaker, time)
    breaker.answered("/key/list")
    breaker.unanswered(30)
    assert _pause(breaker, time) == FIRST_SECONDS


async def test_a_call_that_hangs_makes_the_next_one_fail_at_once_also_that_of_another_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    async def hang(request: Request) -> Response:
        calls.append(request.path)
        await asyncio.sleep(0.02)
        raise UnreachableError("http://x can't be reached (timeout)")

    monkeypatch.setattr(breaker_module, "HANGS_SECONDS", 0.01)
    breaker = Breaker()
    first, second = (LiteLLM("http://x", MASTER, transport=Handled(hang), breaker=breaker) for _ in range(2))
    with pytest.raises(UnreachableError, match="timeout"):
        await first.key("t")
    with pytest.raises(UnreachableError, match="didn't answer in time, so it isn't called for a while"):
        await second.key("t")
    assert calls == ["/key/info"]
