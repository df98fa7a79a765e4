"""This cluster's keys at a proxy, read a page at a time while they change."""

import asyncio
from dataclasses import replace

import pytest
from litclaw.litellm.keys import KeyRow, Limits, Mark
from litclaw.litellm.transport import Response
from litclaw.reconcile.proxy import room
from litclaw.reconcile.proxy.key_table import KeyTable
from litclaw.reconcile.proxy.room import Room, part_of_each, size_of

from .handled import Request, answer, handled
from .proxies import Clock, FakeProxy


def raw(token: str) -> dict[str, object]:
    """A key as LiteLLM lists it."""
    return {"token": token, "key_alias": token, "metadata": Mark("c", token, 1).metadata({})}


def row(token: str, agent: str = "", **given: object) -> KeyRow:
    """A key of an agent."""
    return KeyRow(token, token, Limits(), 0.0, Mark("c", agent or token, 1, **given))  # type: ignore[arg-type]


async def test_a_row_that_slipped_between_two_pages_is_asked_for() -> None:
    there = {"a", "b"}

    def page(request: Request) -> Response:
        if request.path == "/key/info":
            token = request.params["key"]
            return (
                answer(200, {"info": raw(token)})
                if token in there
                else answer(404, {"error": {"message": "Key not found"}})
            )
        # While the first page was read, a key on it was deleted, and b moved from the second page to the first.
        return answer(200, {"keys": [raw("a")] if request.params["page"] == "1" else [], "total_pages": 2})

    table = KeyTable("c")
    for token in ("a", "b", "gone"):
        table.put(row(token))
    async with handled(page) as client:
        assert await table.refresh(client) == {"gone"}
    assert table.get("a") and table.get("b") and table.get("gone") is None


async def test_keys_that_we_change_during_a_read_stay_as_we_know_them() -> None:
    table = KeyTable("c")
    for token in ("deleted", "changed"):
        table.put(row(token))

    def page(request: Request) -> Response:
        listed = answer(200, {"keys": [raw("deleted"), raw("changed")], "total_pages": 1})
        table.drop(["deleted"])
        table.put(row("changed", block_reason="Suspended"))
        table.put(row("created"))
        return listed

    async with handled(page) as client:
        await table.refresh(client)
    assert table.get("deleted") is None and table.get("created") == row("created")
    assert table.get("changed") == row("changed", block_reason="Suspended")


async def test_two_reads_at_a_time_bring_back_no_deleted_key() -> None:
    clock = Clock()
    proxy, table = FakeProxy(clock), KeyTable("c")
    for token in ("kept", "deleted"):
        proxy.rows[token] = raw(token)
    listed, resume = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Response:
        response = await proxy.answer(request)
        if request.path == "/key/list":
            listed.set()
            await resume.wait()
        return response

    quick, hangs = proxy.client(), handled(slow)
    await table.refresh(quick)
    reading = asyncio.create_task(table.refresh(hangs))
    await listed.wait()
    await table.refresh(quick)  # such as at the deletion of a route
    await quick.delete_keys(["deleted"])
    table.drop(["deleted"])
    resume.set()
    await reading
    assert table.get("deleted") is None and table.get("kept")


def test_spend_that_a_new_key_carries_counts_once() -> None:
    table = KeyTable("c")
    old = KeyRow("old", "old", Limits(), 1.5, Mark("c", "agent", 1), expires="2026-11-24T11:00:00Z")
    carried = {old.short: (1.0, 0)}
    table.put(old)
    table.put(KeyRow("new", "new", Limits(), 1.25, Mark("c", "agent", 2, carried=carried)))
    table.put(KeyRow("other", "other", Limits(), 0.25, Mark("c", "another", 1)))
    assert table.spend(["agent", "another"]) == 2.0, (
        "1.0 is in both; 0.5 was spent with the old key since, 0.25 with the new"
    )
    assert table.spend(["another", "nobody"]) == 0.25, (
        "of a proxy with several routes, each route counts its own agents"
    )
    assert table.count(["agent"]) == (1, 1) and table.count(["another", "nobody"]) == (1, 0)


def test_keys_of_another_cluster_and_of_nobody_are_not_ours() -> None:
    table = KeyTable("c")
    table.put(KeyRow("theirs", "theirs", Limits(), 0.0, Mark("other", "u", 1)))
    table.put(KeyRow("unmarked", "unmarked", Limits(), 0.0, None))
    assert len(table) == 0


def test_keys_are_found_by_agent_and_by_the_name_that_retains_them() -> None:
    table = KeyTable("c")
    table.put(row("a", "uid", retained_for="n/a"))
    table.put(row("b", "uid"))
    assert [each.token for each in table.of("uid")] == ["a", "b"]
    assert [each.token for each in table.retained_for("n/a")] == ["a"] and table.agents() == {"uid"}
    assert [each.token for each in table.orphaned(set())] == ["b"] and table.orphaned({"uid"}) == []
    table.put(row("a", "next", retained_for="n/a"))
    assert [each.token for each in table.of("uid")] == ["b"] and [each.token for each in table.of("next")] == ["a"]
    table.drop(["a", "b"])
    assert not table.agents() and not table.retained_for("n/a")


# Room


async def test_a_proxy_that_lists_our_marks_without_end_fills_no_memory() -> None:
    def page(request: Request) -> Response:
        number = int(request.params["page"])
        marks = [Mark("c", "invented", 1, block_reason="x" * 900).metadata({"note": "n" * 4_000}) for _ in range(100)]
        keys = [{"token": f"{number}-{each}", "metadata": mark} for each, mark in enumerate(marks)]
        return answer(200, {"keys": keys, "total_pages": 80})

    table, given = KeyTable("c"), Room((), 1_000)
    async with handled(page) as client:
        await table.refresh(client, given)
    assert table.complete and 100 < len(table) < 400, len(table)
    assert given.left_out == 8_000 - len(table)


def kept(given: Room, *rows: KeyRow) -> list[str]:
    """The tokens of the keys that have room."""
    for each in rows:
        given.offer(each)
    return list(given.rows())


def test_an_agent_s_own_keys_have_room_whatever_else_is_listed() -> None:
    noise = replace(row("noise"), metadata={"note": "n" * room.OF_OTHERS})
    found = Room({"mine"})
    assert kept(found, noise, row("live", "mine")) == ["live"] and found.left_out == 1
    # An agent has eleven keys at the most, with as many and as long names as the API allows.
    largest = Limits(models=tuple(f"{number:03}" + "m" * 20 for number in range(256)), tags=("t" * 128,) * 32)
    keys = [
        replace(row(str(number), "busy"), limits=Limits(tags=largest.tags), metadata={"n": "x" * 4_096})
        for number in range(11)
    ]
    busy = Room({"busy"})
    assert len(kept(busy, *keys)) == 11 and busy.left_out == 0
    assert size_of(replace(row("t"), limits=largest)) > 30_000


def test_proxies_share_the_room_for_other_keys() -> None:
    def count(proxies: int) -> int:
        return len(kept(Room((), proxies), *(row(str(number)) for number in range(35_000))))

    assert count(1) > 20_000 and count(4) > 5_000 and count(1_000) == count(100_000) > 500


def test_the_retained_keys_of_one_namespace_leave_out_no_key_of_another() -> None:
    def of(namespace: str, number: int) -> list[KeyRow]:
        return [row(f"{namespace}-{each}", namespace=namespace) for each in range(number)]

    few, some, many = of("few", 3), of("some", 200), of("many", 5_000)
    found = Room((), 1_000)
    tokens = set(kept(found, *many, *few, *some, *(replace(each, token=f"{each.token}-old") for each in many)))
    assert {each.token for each in (*few, *some)} <= tokens
    assert 500 < len(tokens) < 1_100 and found.left_out == 10_203 - len(tokens)


def test_namespaces_that_a_proxy_invents_have_a_bound_together() -> None:
    found = Room((), 1_000)
    tokens = kept(found, *(row(str(number), namespace=f"n{number}") for number in range(20_000)))
    assert 500 < len(tokens) < 1_100 and found.left_out == 20_000 - len(tokens)


@pytest.mark.parametrize(
    ("needs", "most"), [([10, 20, 30], 60), ([10, 20, 300], 70), ([5, 200, 200], 47), ([200, 200], 50), ([], 100)]
)
def test_what_one_needs_less_the_others_have(needs: list[int], most: int) -> None:
    found = part_of_each(needs, 100)
    assert found == most or (sum(needs) <= 100 and found >= max(needs, default=0))
    assert sum(min(each, found) for each in needs) <= 100


def test_of_a_namespace_without_room_the_keys_with_which_nothing_can_be_called_are_left_out_first() -> None:
    count = 3_000
    blocked = [replace(row(f"blocked-{each}"), blocked=True) for each in range(count)]
    ended = [replace(row(f"ended-{each}"), expires="2026-11-24T11:00:00Z") for each in range(count)]
    retained = [row(f"retained-{each}") for each in range(count)]
    found = Room((), 1_000, {"moved"})
    tokens = kept(found, *blocked, *ended, *retained, row("live", "moved"))
    assert "live" in tokens and len([each for each in tokens if each.startswith("retained")]) > 500
    while any(each.startswith("retained") for each in tokens):  # as a sweep does it
        retained = [replace(each, blocked=each.blocked or each.token in tokens) for each in retained]
        tokens = [
            each
            for each in kept(Room((), 1_000, {"moved"}), *blocked, *ended, *retained)
            if each in {other.token for other in retained if not other.blocked}
        ]
    assert all(each.blocked for each in retained), "whatever the number, they come into view"


async def test_a_known_key_that_has_no_room_any_more_is_not_asked_for() -> None:
    proxy, table = FakeProxy(Clock()), KeyTable("c")
    proxy.rows = {str(each): raw(str(each)) for each in range(1_500)}
    await table.refresh(proxy.client())
    await table.refresh(proxy.client(), Room((), 1_000))
    assert 500 < len(table) < 1_100 and proxy.counts["/key/info"] == 0


async def test_keys_without_room_come_into_view_when_others_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "OF_OTHERS", 3_500)
    monkeypatch.setattr(room, "LEAST_OF_OTHERS", 3_500)
    proxy, table = FakeProxy(Clock()), KeyTable("c")
    proxy.rows = {token: raw(token) for token in ("a", "b", "c", "d", "e")}
    await table.refresh(proxy.client(), Room(()))
    first = {row.token for uid in table.agents() for row in table.of(uid)}
    assert len(first) == 3
    for token in first:
        del proxy.rows[token]
    await table.refresh(proxy.client(), Room(()))
    assert {row.token for uid in table.agents() for row in table.of(uid)} == {"a", "b", "c", "d", "e"} - first
