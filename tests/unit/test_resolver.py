"""Names whose servers don't answer, beside others."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from litclaw.net import resolver
from litclaw.net.resolver import Resolver


class Servers:
    """Name servers. Names that begin with ``slow`` are answered after `answer`."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._answered = threading.Event()

    def answer(self) -> None:
        """Answer the slow ones."""
        self._answered.set()

    def getaddrinfo(self, name: str, *_: Any, **__: Any) -> list[Any]:
        """An address for each name but ``none``."""
        self.asked[name] += 1
        if name.startswith("slow"):
            self._answered.wait(10)
        if name == "none":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 0))]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    found = Servers()
    monkeypatch.setattr(socket, "getaddrinfo", found.getaddrinfo)
    yield found
    found.answer()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Lookups are waited for for a moment only, until that is undone."""
    monkeypatch.setattr(resolver, "_WAIT_SECONDS", 0.05)
    return monkeypatch


async def test_twenty_names_that_hang_delay_no_other(servers: Servers, impatient: pytest.MonkeyPatch) -> None:
    found = Resolver()
    hanging = [asyncio.create_task(found.addresses(f"slow-{number}")) for number in range(20)]
    await asyncio.sleep(0)
    impatient.setattr(resolver, "_WAIT_SECONDS", 5)
    assert await asyncio.wait_for(found.addresses("quick"), 5) == ["10.0.0.7"]
    for each in hanging:
        with pytest.raises(OSError, match="in time"):
            await each


async def test_one_lookup_serves_all_who_ask_meanwhile(servers: Servers) -> None:
    found = Resolver()
    both = await asyncio.gather(found.addresses("quick"), found.resolve("quick", 4000))
    assert servers.asked == {"quick": 1} and both[0] == ["10.0.0.7"]
    assert (both[1][0]["host"], both[1][0]["port"], both[1][0]["hostname"]) == ("10.0.0.7", 4000, "quick")
    assert await found.resolve("quick", 1, socket.AF_INET6) == []


async def test_a_name_that_hung_is_left_alone_for_a_while_and_longer_each_time(
    servers: Servers, impatient: pytest.MonkeyPatch
) -> None:
    now = 0.0
    found = Resolver(lambda: now)
    for pause in (15, 30, 60, 120, 240, 300, 300):
        with pytest.raises(OSError):
            await found.addresses("slow")  # the lookup goes on, and nobody waits for it
        asked = servers.asked["slow"]
        now += 3
        servers.answer()
        while found._running:
            await asyncio.sleep(0.01)
        now += pause - 1
        with pytest.raises(OSError, match="for a while"):
            await found.addresses("slow")
        assert servers.asked["slow"] == asked
        servers._answered.clear()
        now += 2
    servers.answer()
    impatient.setattr(resolver, "_WAIT_SECONDS", 5)
    assert await found.addresses("slow") == ["10.0.0.7"] and not found._hung


async def test_a_name_without_an_address_is_an_error_at_once_and_is_asked_for_again(servers: Servers) -> None:
    found = Resolver()
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await found.addresses("none")
    assert servers.asked["none"] == 2


async def test_no_more_threads_than_that(servers: Servers, impatient: pytest.MonkeyPatch) -> None:
    impatient.setattr(resolver, "_AT_ONCE", 4)  # of which unknown names have three
    found = Resolver()
    waits = [asyncio.create_task(found.addresses(f"slow-{number}")) for number in range(9)]
    await asyncio.gather(*waits, return_exceptions=True)
    while len(servers.asked) < 3:
        await asyncio.sleep(0.01)
    assert len(servers.asked) == 3
    servers.answer()
    while found._running:
        await asyncio.sleep(0.01)
    assert len(servers.asked) == 9


async def test_forty_names_that_hang_delay_no_name_that_has_answered(
    servers: Servers, impatient: pytest.MonkeyPatch
) -> None:
    found = Resolver()
    impatient.setattr(resolver, "_WAIT_SECONDS", 5)
    await found.addresses("quick")
    hanging = [asyncio.create_task(found.addresses(f"slow-{number}")) for number in range(40)]
    while len(servers.asked) < 20:
        await asyncio.sleep(0.01)
    assert await asyncio.wait_for(found.addresses("quick"), 5) == ["10.0.0.7"]
    servers.answer()
    await asyncio.gather(*hanging)


async def test_what_is_remembered_of_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    found = Resolver(lambda: now)
    monkeypatch.setattr(resolver, "_MOST_REMEMBERED", 10)
    for number in range(100):
        found._note(f"slow-{number}", 10.0)
        now += 5.0
    assert len(found._hung) <= 10
