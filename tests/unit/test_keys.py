"""Keys as LiteLLM keeps them, and what a proxy's responses mean."""

import json
from typing import Any

import pytest
from litclaw.litellm.client import MOST_PAGES, LiteLLM
from litclaw.litellm.errors import (
    AliasTakenError,
    LicenceError,
    LiteLLMError,
    NoDatabaseError,
    NotLiteLLMError,
    RejectedError,
    UnauthorizedError,
    UnavailableError,
)
from litclaw.litellm.keys import Limits, Mark, new_key, row_from
from litclaw.litellm.transport import Response
from pydantic import SecretStr

from .handled import MASTER, Handled, Request, answer, handled
from .proxies import Clock

MARK = Mark("cluster-1", "agent-1", 1)


def test_a_mark_survives_a_round_trip_under_the_names_of_the_first_release() -> None:
    mark = Mark(
        cluster="c",
        agent="a",
        generation=3,
        namespace="ns",
        created_at="2026-11-24T10:00:00.5+00:00",
        block_reason="Suspended",
        retained_for="ns/a",
        rotate_digest="d",
        replaces="t",
        grace=60,
        carried={"x": (0.5, 1796083200)},
        budget_resets_at="2026-12-01T00:00:00Z",
        namespace_uid="nu",
    )
    stored = json.loads(json.dumps(mark.metadata({"team": "x"})))
    assert stored == {
        "team": "x",
        "litclaw": {
            "cluster": "c",
            "agent": "a",
            "generation": 3,
            "namespace": "ns",
            "made": "2026-11-24T10:00:00.5+00:00",
            "held": "Suspended",
            "retained": "ns/a",
            "asked": "d",
            "replaces": "t",
            "grace": 60,
            "taken": {"x": [0.5, 1796083200]},
            "anew_at": "2026-12-01T00:00:00Z",
            "namespace_uid": "nu",
        },
    }
    again = row_from({"token": "t", "metadata": stored})
    assert again.mark == mark and again.metadata == {"team": "x"}
    assert Mark("c", "a", 1).metadata({}) == {"litclaw": {"cluster": "c", "agent": "a", "generation": 1}}


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
        (403, error("auth_error", "You are not allowed to call this route"), UnauthorizedError),
        (403, error("internal_server_error", "{'error': 'Custom API key values are disabled'}"), RejectedError),
        (403, error("auth_error", "Authentication Failed - Custom Auth Rule"), RejectedError),
        (403, error("internal_server_error", "only available for LiteLLM Enterprise users: tags"), LicenceError),
        (400, error("no_db_connection", "DB not connected"), NoDatabaseError),
        (500, error("", "No DB Connected. See https://docs"), NoDatabaseError),
        (503, {}, UnavailableError),
        (429, {}, UnavailableError),
        (302, {}, NotLiteLLMError),
        (404, {}, NotLiteLLMError),
        (500, error("internal_server_error", f"boom {MASTER.get_secret_value()}"), UnavailableError),
    ],
)
async def test_each_response_is_told_apart_and_no_error_repeats_a_key(
    status: int, body: dict[str, Any], expected: type[LiteLLMError]
) -> None:
    value = new_key()

    def refuse(request: Request) -> Response:
        return Response(status, json.dumps(body).replace("boom", f"boom {value.get_secret_value()}").encode())

    async with handled(refuse) as client:
        with pytest.raises(expected) as caught:
            await client.generate_key(value, alias="x", limits=Limits(), mark=MARK, metadata={})
    text = str(caught.value)
    assert MASTER.get_secret_value() not in text and value.get_secret_value() not in text


async def test_no_error_has_what_a_terminal_obeys() -> None:
    body = error("bad_request_error", "Invalid\x1b]0;title\x07 budget\nduration")
    async with handled(lambda request: answer(400, body)) as client:
        with pytest.raises(RejectedError) as caught:
            await client.update_key("t", {})
    assert str(caught.value) == "Invalid ]0;title  budget duration"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("1.106.2", "1.106.2"),
        ("1.106.2-rc.1", "1.106.2-rc.1"),
        ("1" * 65, ""),
        ("1\x1b[31m", ""),
        (["1"], ""),
        (None, ""),
    ],
)
async def test_what_is_no_release_is_not_shown_as_one(given: object, shown: str) -> None:
    ready = {"status": "healthy", "db": "connected", "litellm_version": given}
    async with handled(lambda request: answer(200, ready)) as client:
        assert (await client.release(), (await client.readiness()).version) == (shown, shown)


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"\x1f\x8b\x08"])
async def test_a_good_status_without_an_object_is_no_response_of_litellms(content: bytes) -> None:
    async with handled(lambda request: Response(200, content)) as client:
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
async def test_a_load_balancer_whose_proxy_is_away_is_no_other_program(
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

    def delete(request: Request) -> Response:
        keys = request.body["keys"]
        if "gone" in keys:
            return answer(404, error("", "No keys found"))
        deleted.extend(keys)
        return answer(200, {"deleted_keys": keys})

    async with handled(delete) as client:
        await client.delete_keys(["a", "gone", "b"])
    assert deleted == ["a", "b"]


async def test_a_refusal_of_keys_of_ones_own_shows_litellms_message() -> None:
    message = "{'error': 'Custom API key values are disabled by your administrator. Keys must be auto-generated.'}"
    async with handled(lambda request: answer(403, error("internal_server_error", message))) as client:
        with pytest.raises(RejectedError, match="Keys must be auto-generated"):
            await client.generate_key(new_key(), alias="x", limits=Limits(), mark=MARK, metadata={})


async def test_keys_are_listed_a_hundred_a_call() -> None:
    calls: list[Request] = []

    def listed(request: Request) -> Response:
        calls.append(request)
        page = int(request.params["page"])
        rows = [{"token": f"{page}-{number}"} for number in range(100 if page < 3 else 50)]
        return answer(200, {"keys": rows, "total_pages": 3})

    async with handled(listed) as client:
        assert len([row async for row in client.list_keys()]) == 250
    assert [(each.path, each.params["size"]) for each in calls] == [("/key/list", "100")] * 3


async def test_an_empty_page_is_the_last() -> None:
    calls: list[str] = []

    def listed(request: Request) -> Response:
        calls.append(request.params["page"])
        keys = [{"token": "t"}] if request.params["page"] == "1" else []
        return answer(200, {"keys": keys, "total_pages": MOST_PAGES})

    async with handled(listed) as client:
        assert len([row async for row in client.list_keys()]) == 1
    assert calls == ["1", "2"]


async def test_a_proxy_that_claims_pages_without_end_is_not_read() -> None:
    calls: list[str] = []

    def listed(request: Request) -> Response:
        calls.append(request.path)
        return answer(200, {"keys": [{"token": "t"}], "total_pages": MOST_PAGES + len(calls) - 1})

    async with handled(listed) as client:
        with pytest.raises(
            NotLiteLLMError, match="more than 2500 pages of keys; at most 2500 are read, which are 250000 keys"
        ):
            assert [row.token async for row in client.list_keys()] == []
    assert len(calls) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"keys": {"a": 1}},
        {"keys": "abc"},
        {"keys": [{"token": "t"}], "total_pages": "many"},
        {"keys": [{"token": "t"}], "total_pages": 1e999},
        {"keys": ["a"]},
        {"keys": [{"metadata": ["x"]}]},
        {"keys": [{"spend": "much"}]},
        {"keys": [{"spend": float("nan")}]},
        {"keys": [{"spend": 10**400}]},
        {"keys": [{"models": 1}]},
        {"keys": [{"expires": 5}]},
    ],
)
async def test_a_list_in_another_form_is_none_of_litellms(body: dict[str, Any]) -> None:
    async with handled(lambda request: answer(200, body)) as client:
        with pytest.raises(NotLiteLLMError):
            _ = [row async for row in client.list_keys()]


def test_a_mark_that_is_none_of_ours_is_no_mark() -> None:
    mark = MARK.metadata({})["litclaw"]
    for name, value in {"generation": float("inf"), "grace": "x", "taken": {"t": 1}, "cluster": None}.items():
        wrong = {**mark, name: value}
        if name == "cluster":
            del wrong[name]
        assert row_from({"token": "t", "metadata": {"litclaw": wrong}}).mark is None


_TOO_MUCH: list[dict[str, Any]] = [
    {"key_alias": 5},
    {"key_alias": {"a": 1}},
    {"key_alias": "a" * 2_000},
    {"token": "t" * 2_000},
    {"token": ""},
    {"models": [["gpt"]]},
    {"models": ["m" * 2_000]},
    {"max_budget": "many"},
    {"max_budget": 10**300},
    {"max_budget": float("inf")},
    {"rpm_limit": [1]},
    {"tpm_limit": True},
    {"spend": 1e300},
    {"expires": "soon"},
    {"expires": "9999-12-31T23:59:59Z"},
    {"budget_reset_at": "0001-01-01T00:00:00+14:00"},
    {"budget_duration": 30},
    {"team_id": {"a": 1}},
    {"allowed_routes": [1]},
]


@pytest.mark.parametrize("given", _TOO_MUCH, ids=lambda given: next(iter(given)))
async def test_a_key_of_ours_has_fields_that_can_be_calculated_with_and_shown(given: dict[str, Any]) -> None:
    """Each of these was an exception in the pass of an agent, or a status without a bound."""
    mine = {"token": "t", "metadata": MARK.metadata({}), **given}
    async with handled(lambda request: answer(200, {"keys": [mine]})) as client:
        with pytest.raises(NotLiteLLMError):
            _ = [row async for row in client.list_keys()]


async def test_metadata_that_is_nested_without_end_is_none_of_ours() -> None:
    nested: dict[str, Any] = {}
    for _ in range(100):
        nested = {"a": nested}
    row = {"token": "t", "metadata": {**MARK.metadata({}), "deep": nested}}
    async with handled(lambda request: answer(200, {"keys": [row]})) as client:
        with pytest.raises(NotLiteLLMError):
            _ = [row async for row in client.list_keys()]


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": 2**63 - 1},
        {"generation": -1},
        {"taken": {"t": [float("nan"), 0]}},
        {"taken": {"t": [1e300, 0]}},
        {"taken": {"t": [0, 10**400]}},
        {"taken": {str(number): [0, 0] for number in range(1_001)}},
        {"anew_at": "soon"},
        {"route": f"n/{'r' * 2_000}"},
        {"route": "../../../../api/v1/secrets"},
        {"route": "n/r/../../secrets"},
        {"namespace": ".."},
        {"namespace": "kube-system/secrets?watch=true&x="},
        {"retained": "n/../a"},
        {"made": {"a": 1}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_mark_with_what_nobody_has_written_is_no_mark(changes: dict[str, Any]) -> None:
    wrong = {**MARK.metadata({})["litclaw"], **changes}
    assert row_from({"token": "t", "metadata": {"litclaw": wrong}}).mark is None


def test_a_grace_period_has_the_bound_of_the_api() -> None:
    for given, kept in ((10**30, 604_800), (-5, 0), (60, 60)):
        wrong = {**MARK.metadata({})["litclaw"], "grace": given}
        mark = row_from({"token": "t", "metadata": {"litclaw": wrong}}).mark
        assert mark and mark.grace == kept


async def test_a_page_has_a_hundred_keys_at_most() -> None:
    keys = [{"token": str(number)} for number in range(101)]
    async with handled(lambda request: answer(200, {"keys": keys, "total_pages": 1})) as client:
        with pytest.raises(NotLiteLLMError, match="pages of 100 keys"):
            _ = [row async for row in client.list_keys()]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ([{"model_name": "m", "model_info": [1]}], {"m": {}}),
        ([{"model_name": "m", "model_info": "x"}, {"model_name": ["n"]}, 5, None, {"model_name": ""}], {"m": {}}),
        ([{"model_name": "m", "model_info": {"mode": "chat"}}], {"m": {"mode": "chat"}}),
        (None, {}),
    ],
)
async def test_models_in_another_form_are_none(data: object, found: dict[str, Any]) -> None:
    async with handled(lambda request: answer(200, {"data": data})) as client:
        assert await client.model_info() == found


@pytest.mark.parametrize("data", [5, "m", {"m": {}}, True])
async def test_a_list_of_models_that_is_none_is_not_litellms(data: object) -> None:
    async with handled(lambda request: answer(200, {"data": data})) as client:
        with pytest.raises(NotLiteLLMError):
            await client.model_info()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
async def test_json_is_utf_8(encoding: str) -> None:
    """In another encoding its size isn't what it seems."""
    text = json.dumps({"data": []}).encode(encoding)
    async with handled(lambda request: Response(200, text)) as client:
        with pytest.raises(NotLiteLLMError):
            await client.model_info()


async def test_two_master_keys_are_tried_in_turn_while_pods_are_replaced() -> None:
    """Each request may be answered by a pod that accepts the other one only."""
    before, tried = SecretStr("sk-the-master-key-before"), list[str]()

    def refuse(request: Request) -> Response:
        tried.append(request.bearer)
        return answer(401 if len(tried) < 5 else 200, {"data": []})

    new, old = MASTER.get_secret_value(), before.get_secret_value()
    async with LiteLLM("http://x", MASTER, master_key_before=before, transport=Handled(refuse)) as client:
        assert await client.model_info() == {}
    assert tried == [new, old, new, old, new]
    tried.clear()
    async with LiteLLM("http://x", MASTER, transport=Handled(refuse)) as client:
        with pytest.raises(UnauthorizedError):
            await client.model_info()
    assert tried == [new]


@pytest.mark.parametrize(
    "date",
    [
        "",
        "now",
        "Tue, 24 Nov 2026 10:00:00 +99999999999999999999",
        "Tue, 24 Nov 99999999999999999999 10:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Mon, 01 Jan 0123 00:00:00 GMT",
        "Tue, 99 Nov 2026 10:00:00 GMT",
        "\0" * 1000,
    ],
)
async def test_a_header_date_that_is_no_time_is_ignored(date: str) -> None:
    ours = Clock()()
    async with handled(lambda request: Response(200, b"{}", date)) as client:
        await client.model_info()
        assert client.now(ours) == ours


async def test_the_header_date_shows_the_proxys_clock() -> None:
    ours = Clock()()
    async with handled(lambda request: Response(200, b"{}", "Sun, 03 Jan 2027 10:00:00 GMT")) as client:
        await client.model_info()
        assert (client.now(ours) - ours).days == 40
    async with handled(lambda request: Response(200, b"{}", "Tue, 24 Nov 2026 10:00:30 GMT")) as client:
        await client.model_info()
        assert client.now(ours) == ours, "half a minute is nothing"


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
