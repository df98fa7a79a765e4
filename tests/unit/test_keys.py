"""Keys: what an agent's next one starts with, and what a proxy's answers mean."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from litclaw.litellm.errors import (
    AliasTakenError,
    LiteLLMError,
    NoDatabaseError,
    NotLiteLLMError,
    RejectedError,
    UnauthorizedError,
    UnavailableError,
)
from litclaw.litellm.keys import KeyRow, Limits, Mark, agent_spend, carried_from, new_key, not_yet_carried, row_from
from litclaw.litellm.transport import Answer
from litclaw.reconcile.proxy.key_table import KeyTable

from .proxies import MASTER, Request, answer, handled

MARK = Mark("cluster-1", "agent-1", 1)


def row(
    token: str, spend: float = 0, *, taken: dict[str, float] | None = None, agent: str = "agent-1", generation: int = 0
) -> KeyRow:
    generation = generation or ord(token[0])  # by the alphabet
    mark = Mark("cluster-1", agent, generation, taken={token: (spent, 0) for token, spent in (taken or {}).items()})
    return KeyRow(token=token, alias="a", limits=Limits(), spend=spend, mark=mark)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], 0.0),
        ([row("a", 3.5)], 3.5),
        # A new key is born with what the old one had spent, which counts once.
        ([row("a", 3.5), row("b", 3.5, taken={"a": 3.5})], 3.5),
        # Both have spent something since.
        ([row("a", 4.0), row("b", 3.75, taken={"a": 3.5})], 4.25),
        # The old one is gone.
        ([row("b", 3.75, taken={"a": 3.5})], 3.75),
        # Made and never delivered, twice.
        ([row("a", 4.0), row("b", 3.5, taken={"a": 3.5}), row("c", 4.0, taken={"a": 4.0, "b": 3.5})], 4.0),
        # Of two that were made for one another, by somebody who didn't know of the first, one was delivered.
        ([row("a", 4.0), row("b", 4.0, taken={"a": 4.0}), row("c", 4.5, taken={"a": 4.0}, generation=ord("b"))], 4.5),
        ([row("a", 4.25), row("b", 4.5, taken={"a": 4.0}), row("c", 4.0, taken={"a": 4.0}, generation=ord("b"))], 4.75),
        # The period has ended for both, and both have spent since.
        ([row("a", 1.0), row("b", 2.0, taken={"a": 48.0})], 3.0),
        # Somebody else's before, such as a retained key that was taken back.
        ([row("a", 2.0), row("b", 1.0)], 3.0),
    ],
)
def test_no_budget_is_handed_out_twice(rows: list[KeyRow], expected: float) -> None:
    assert agent_spend(rows) == expected


def test_what_was_taken_over_once_is_not_taken_again() -> None:
    old, new = row("a", 4.0), row("b", 3.75, taken={"a": 3.5})
    assert new.mark and not_yet_carried(old, new.mark) == Decimal("0.5")
    assert new.mark
    after = replace(new, spend=4.25, mark=replace(new.mark, taken=carried_from([old])))
    assert after.mark and not_yet_carried(old, after.mark) == 0 and agent_spend([old, after]) == 4.25


def test_a_period_that_has_ended_since_is_told_by_its_date() -> None:
    old = replace(row("a", 10.0), budget_resets_at="2026-11-24T10:00:00Z")
    mark = replace(old.mark or MARK, taken=carried_from([old]))
    assert not_yet_carried(replace(old, spend=12.0, budget_resets_at="2026-11-24T10:00:00+00:00"), mark) == 2
    assert not_yet_carried(replace(old, spend=12.0, budget_resets_at="2026-11-24T11:00:00Z"), mark) == 12


def test_a_mark_is_what_it_was_after_a_round_through_litellm() -> None:
    mark = Mark(
        "c",
        "a",
        3,
        "ns",
        "2026-11-24T10:00:00.5+00:00",
        "Suspended",
        "ns/a",
        "d",
        "t",
        60,
        {"x": (0.5, 1796083200)},
        "2026-12-01T00:00:00Z",
    )
    again = row_from({"token": "t", "metadata": json.loads(json.dumps(mark.metadata({"team": "x"})))})
    assert again.mark == mark and again.metadata == {"team": "x"}
    assert set(Mark("c", "a", 1).metadata({})["litclaw"]) == {"cluster", "agent", "generation"}


def test_new_keys_are_long_and_different() -> None:
    values = {new_key().get_secret_value() for _ in range(100)}
    assert len(values) == 100 and all(value.startswith("sk-") and len(value) >= 40 for value in values)


def error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message}}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, error("token_not_found_in_db", "Authentication Error"), UnauthorizedError),
        (400, error("bad_request_error", "Key with alias 'x' already exists."), AliasTakenError),
        (400, error("bad_request_error", "Invalid budget_duration"), RejectedError),
        (400, error("no_db_connection", "DB not connected"), NoDatabaseError),
        (500, error("", "No DB Connected. See https://docs"), NoDatabaseError),
        (503, {}, UnavailableError),
        (429, {}, UnavailableError),
        (302, {}, NotLiteLLMError),
        (404, {}, NotLiteLLMError),
        (500, error("internal_server_error", f"boom {MASTER.get_secret_value()}"), UnavailableError),
    ],
)
async def test_each_answer_is_told_apart_and_none_repeats_a_key(
    status: int, body: dict[str, Any], expected: type[LiteLLMError]
) -> None:
    value = new_key()

    def refuse(request: Request) -> Answer:
        return Answer(status, json.dumps(body).replace("boom", f"boom {value.get_secret_value()}").encode())

    async with handled(refuse) as client:
        with pytest.raises(expected) as caught:
            await client.generate_key(value, alias="x", limits=Limits(), mark=MARK, metadata={})
    text = str(caught.value)
    assert MASTER.get_secret_value() not in text and value.get_secret_value() not in text


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"\x1f\x8b\x08"])
async def test_a_good_status_without_an_object_is_no_answer_of_litellms(content: bytes) -> None:
    async with handled(lambda request: Answer(200, content)) as client:
        with pytest.raises(NotLiteLLMError, match="isn't a JSON object"):
            await client.model_info()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"hello": "context"}, NotLiteLLMError),
        (404, {}, NotLiteLLMError),
        (429, {}, UnavailableError),
        (500, {}, UnavailableError),
        (503, {}, UnavailableError),
    ],
)
async def test_who_answers_for_a_proxy_that_is_away_is_no_other_program(
    status: int, body: dict[str, Any], expected: type[LiteLLMError]
) -> None:
    async with handled(lambda request: answer(status, body)) as client:
        with pytest.raises(expected):
            await client.readiness()


async def test_a_proxy_without_its_database_says_so_itself() -> None:
    async with handled(lambda request: answer(503, {"status": "unhealthy", "db": "disconnected"})) as client:
        assert not (await client.readiness()).database


async def test_a_deleted_key_that_the_proxy_remembers_is_no_key() -> None:
    info = {"key_alias": "a", "deleted_at": "2026-11-24T02:55:30Z", "status": "deleted"}
    async with handled(lambda request: answer(200, {"info": info})) as client:
        assert await client.key("token") is None


async def test_one_missing_key_does_not_keep_the_others_alive() -> None:
    deleted: list[str] = []

    def delete(request: Request) -> Answer:
        keys = request.body["keys"]
        if "gone" in keys:
            return answer(404, error("", "No keys found"))
        deleted.extend(keys)
        return answer(200, {"deleted_keys": keys})

    async with handled(delete) as client:
        await client.delete_keys(["a", "gone", "b"])
    assert deleted == ["a", "b"]


class _Pages:
    def __init__(self, rows: list[KeyRow]) -> None:
        self.rows = rows
        self.meanwhile: Callable[[], None] = lambda: None

    async def list_keys(self) -> Any:
        for each in self.rows:
            yield each
        self.meanwhile()


async def test_a_refresh_tells_whose_keys_changed_and_keeps_what_we_did_meanwhile() -> None:
    table = KeyTable("cluster-1")
    table.put(row("a", agent="agent-a"))
    table.put(row("b", agent="agent-b"))
    pages = _Pages([row("a", spend=1.5, agent="agent-a"), row("b", agent="agent-b"), row("x", agent="agent-x")])

    def meanwhile() -> None:
        table.put(row("new", agent="agent-new"))
        table.drop(["b"])

    pages.meanwhile = meanwhile
    changed = await table.refresh(pages)  # type: ignore[arg-type]
    assert changed >= {"agent-a", "agent-x"}
    assert {"a", "x", "new"} == {r.token for uid in table.agents() for r in table.of(uid)}
    assert table.get("b") is None and table.spend == 1.5


async def test_another_clusters_keys_are_never_ours() -> None:
    table = KeyTable("cluster-2")
    await table.refresh(_Pages([row("a")]))  # type: ignore[arg-type]
    table.put(row("a"))
    assert len(table) == 0


async def test_keys_are_read_a_hundred_a_call_and_not_one_by_one() -> None:
    calls: list[str] = []

    def listed(request: Request) -> Answer:
        calls.append(request.path)
        page = int(request.params["page"])
        metadata = MARK.metadata({})
        rows = [{"token": f"{page}-{number}", "metadata": metadata} for number in range(100 if page < 3 else 50)]
        return answer(200, {"keys": rows, "total_pages": 3})

    table = KeyTable("cluster-1")
    async with handled(listed) as client:
        await table.refresh(client)
    assert (len(table), calls) == (250, ["/key/list"] * 3)


def test_a_key_is_the_same_whichever_call_has_shown_it() -> None:
    listed = {"token": "t", "budget_reset_at": "2026-12-01T00:00:00Z", "expires": "2026-11-24T14:57:14.987000Z"}
    asked = {
        "token": "t",
        "budget_reset_at": "2026-12-01T00:00:00+00:00",
        "expires": "2026-11-24T14:57:14.987000+00:00",
    }
    assert row_from(listed) == row_from(asked)
    assert row_from(asked).budget_resets_at == "2026-12-01T00:00:00Z"
    assert row_from({"token": "t", "expires": "soon"}).expires == "soon"
