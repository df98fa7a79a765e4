"""The thin client over the Kubernetes API, against responses as the API server gives them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from litclaw.kube.apply_body import apply_body
from litclaw.kube.client import Kube
from litclaw.kube.errors import (
    ConflictError,
    GoneError,
    InvalidError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    from_response,
    same_schema_error,
)
from litclaw.kube.resources import AGENT, CONFIG_MAP, POD


class Pages(Kube):
    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages = list(pages)
        self.asked: list[dict[str, str]] = []

    async def _request(self, method: str, path: str, query: Any = None, body: Any = None, **_: Any) -> dict[str, Any]:
        self.asked.append(dict(query or {}))
        return self.pages.pop(0)


def page(*uids: str, more: str = "", version: str = "7") -> dict[str, Any]:
    items = [{"metadata": {"uid": uid}} for uid in uids] or None
    return {"items": items, "metadata": {"resourceVersion": version, "continue": more}}


class Response:
    def __init__(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.status = status
        self.content = content
        self.headers = headers

    async def read(self) -> bytes:
        return self.content


class Responds(Kube):
    """An API server with one response to everything."""

    def __init__(self, status: int, content: bytes, **headers: str) -> None:
        self._response = Response(status, content, {name.replace("_", "-"): value for name, value in headers.items()})
        self._observer = None

    async def _send(self, method: str, path: str, *_: Any, **__: Any) -> Any:
        self.path = path
        return self._response


@pytest.mark.parametrize("text", ["🦊", "\\🦊\\ud83e\\udd8a", "é\0\x7f\x85\ufeff\ufffe\uffff", "\\\\", "a\tb\n"])
def test_an_applied_manifest_is_yaml_and_json_alike(text: str) -> None:
    written = apply_body({"data": {text: text}})
    assert json.loads(written) == yaml.safe_load(written) == {"data": {text: text}}


async def test_uids_come_in_pages_and_an_empty_list_is_null() -> None:
    kube = Pages(page("a", "b", more="next"), page("c"))
    assert await kube.uids(AGENT, labels="x=y") == ({"a", "b", "c"}, 7)
    assert [asked.get("continue") for asked in kube.asked] == [None, "next"]
    assert all(asked["labelSelector"] == "x=y" for asked in kube.asked)
    assert await Pages(page()).uids(AGENT) == (set(), 7)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, b'{"reason": "NotFound"}', NotFoundError),
        (409, b'{"reason": "Conflict"}', ConflictError),
        (410, b'{"reason": "Expired"}', GoneError),
        (422, b'{"reason": "Invalid"}', InvalidError),
        (500, b'{"message": "failed to create typed patch object (x): .spec: bad"}', InvalidError),
        (500, b'{"message": "failed to convert new object (x) to proper version: number 2147483648"}', InvalidError),
        (500, b"boom", UnavailableError),
        (429, b"", UnavailableError),
        (503, b"<html>", UnavailableError),
    ],
)
def test_each_refusal_has_its_error(status: int, body: bytes, expected: type[Exception]) -> None:
    assert type(from_response(status, body)) is expected


@pytest.mark.parametrize(
    ("header", "seconds"),
    [({"Retry_After": "7"}, 7.0), ({"Retry_After": "Fri, 01 Jan 2027 00:00:00 GMT"}, None), ({}, None)],
)
async def test_an_error_has_the_time_that_the_api_server_asks_to_wait(header: Any, seconds: float | None) -> None:
    with pytest.raises(UnavailableError) as refused:
        await Responds(429, b"", **header).ping()
    assert refused.value.retry_after == seconds


async def test_a_page_of_html_in_place_of_json_is_an_api_server_that_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="isn't JSON"):
        await Responds(200, b"<html>").ping()


async def test_a_service_s_own_error_is_returned_and_the_api_server_s_is_raised() -> None:
    kube = Responds(500, b'{"error": "no"}')
    assert await kube.service_proxy_get("ai", "main", 4000, "/x?y=z", {}) == (500, b'{"error": "no"}')
    assert kube.path == "/api/v1/namespaces/ai/services/main:4000/proxy/x?y=z"
    refusal = b'{"kind": "Status", "reason": "ServiceUnavailable", "message": "no endpoints"}'
    with pytest.raises(UnavailableError, match="no endpoints"):
        await Responds(503, refusal).service_proxy_get("ai", "main", 4000, "/", {})
    assert await Responds(200, refusal).service_proxy_get("ai", "main", 4000, "/", {}) == (200, refusal)


def test_a_schema_error_is_the_same_whichever_field_it_names() -> None:
    def error(name: str, field: str) -> str:
        return f"failed to create typed patch object ({name}; apps/v1, Kind=Deployment): .spec.{field}: not declared"

    first = f"Deployment x is refused: {error('x', 'a')}"
    assert same_schema_error(first, f"Deployment x is refused: {error('x', 'b')}")
    assert not same_schema_error(first, f"Deployment y is refused: {error('y', 'a')}")
    assert not same_schema_error("no quota", "no quota") and not same_schema_error(first, "no quota")


async def test_a_selection_is_made_by_the_api_server() -> None:
    kube = Pages(page("a"))
    assert [body["metadata"]["uid"] for body in await kube.select(POD, "ai", labels="x=y", fields="a=b")] == ["a"]
    assert kube.asked == [{"limit": "500", "labelSelector": "x=y", "fieldSelector": "a=b"}]


async def test_a_page_that_is_too_large_is_read_again_in_smaller_ones() -> None:
    class Large(Kube):
        """Three large objects at the beginning of a list."""

        def __init__(self) -> None:
            self.limits: list[tuple[int, int | None]] = []

        async def _request(self, *args: Any, most: int | None = None, **_: Any) -> dict[str, Any]:
            limit, start = int(args[2]["limit"]), int(args[2].get("continue", "0"))
            self.limits.append((limit, most))
            if most is not None and len(range(start, min(start + limit, 3))) > 1:
                raise TooLargeError(200, "TooLarge", "more than that")
            end = min(start + limit, 100)
            items = [{"metadata": {"uid": str(number)}} for number in range(start, end)]
            return {"items": items, "metadata": {"resourceVersion": "7", "continue": str(end) if end < 100 else ""}}

    kube = Large()
    found = [body["metadata"]["uid"] for body in await kube.objects(CONFIG_MAP)]
    assert found == [str(number) for number in range(100)]
    assert [limit for limit, _ in kube.limits][:3] == [50, 6, 1] and max(limit for limit, _ in kube.limits) == 50
    assert [limit for limit, most in kube.limits if most is None] == [1] * sum(
        1 for limit, _ in kube.limits if limit == 1
    )


async def test_a_response_is_read_no_further_than_its_reader_can_hold() -> None:
    class Endless:
        status, closed, read_chunks = 200, False, 0

        def __init__(self) -> None:
            self.content = self

        async def iter_any(self) -> AsyncIterator[bytes]:
            while True:
                self.read_chunks += 1
                yield b" " * 2**16

        def close(self) -> None:
            self.closed = True

    response = Endless()
    kube = Responds(200, b"")
    kube._response = response  # type: ignore[assignment]
    with pytest.raises(TooLargeError):
        await kube._request("GET", "/x", most=2**20)
    assert response.closed and response.read_chunks == 17


async def test_of_a_selection_only_what_is_wanted_is_kept_and_not_more_than_some_hundred() -> None:
    def pods(start: int, more: str) -> dict[str, Any]:
        return page(*(str(number) for number in range(start, start + 400)), more=more)

    kube = Pages(pods(0, "next"), pods(400, "more"), pods(800, ""))
    found = await kube.select(POD, "ai", wanted=lambda body: int(body["metadata"]["uid"]) % 2 == 1)
    assert len(found) == 200 and len(kube.asked) == 1
    kube = Pages(pods(0, "next"), pods(400, ""))
    assert [
        body["metadata"]["uid"]
        for body in await kube.select(POD, "ai", wanted=lambda body: body["metadata"]["uid"] == "500")
    ] == ["500"]


async def test_a_dry_run_is_asked_for_by_name() -> None:
    manifest = {"kind": "Secret", "metadata": {"namespace": "n", "name": "x"}}
    kube = Pages({}, {})
    await kube.apply(manifest, dry_run=True)
    await kube.apply(manifest)
    assert [asked.get("dryRun") for asked in kube.asked] == ["All", None]


async def test_a_log_is_text_and_a_refusal_is_an_error() -> None:
    how = {"previous": True, "lines": 3, "most": 100}
    kube = Responds(200, b"one\ntwo\n")
    assert await kube.log("ai", "p", "c", **how) == b"one\ntwo\n"
    assert kube.path == "/api/v1/namespaces/ai/pods/p/log?container=c&tailLines=3&limitBytes=100&previous=true"
    with pytest.raises(InvalidError):
        await Responds(403, b'{"kind": "Status", "reason": "Forbidden"}').log("ai", "p", "c", **how)
