"""The thin client over the Kubernetes API, against answers as the API server gives them."""

import json
from typing import Any

import pytest
import yaml
from litclaw.kube.client import Kube, as_yaml
from litclaw.kube.errors import ConflictError, GoneError, InvalidError, NotFoundError, UnavailableError, from_response
from litclaw.kube.resources import AGENT


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


@pytest.mark.parametrize("text", ["🦊", "\\🦊\\ud83e\\udd8a", "é\0\x7f\x85\ufeff\ufffe\uffff", "\\\\", "a\tb\n"])
def test_what_is_applied_is_yaml_and_json_alike(text: str) -> None:
    written = as_yaml({"data": {text: text}})
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
def test_each_answer_is_told_apart(status: int, body: bytes, expected: type[Exception]) -> None:
    assert type(from_response(status, body)) is expected
