"""What a proxy holds of this cluster's keys, read a page at a time while they change."""

from litclaw.litellm.keys import KeyRow, Limits, Mark
from litclaw.litellm.transport import Answer
from litclaw.reconcile.proxy.key_table import KeyTable

from .proxies import Request, answer, handled


def raw(token: str) -> dict[str, object]:
    """A key as LiteLLM lists it."""
    return {"token": token, "key_alias": token, "metadata": Mark("c", token, 1).metadata({})}


async def test_a_row_that_slipped_between_two_pages_is_asked_for() -> None:
    there = {"a", "b"}

    def page(request: Request) -> Answer:
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
        table.put(KeyRow(token, token, Limits(), 0.0, Mark("c", token, 1)))
    async with handled(page) as client:
        assert await table.refresh(client) == {"gone"}
    assert table.get("a") and table.get("b") and table.get("gone") is None


def test_what_a_new_key_has_taken_over_counts_once() -> None:
    table = KeyTable("c")
    old = KeyRow("old", "old", Limits(), 1.5, Mark("c", "agent", 1), expires="2026-11-24T11:00:00Z")
    taken = {old.short: (1.0, 0)}
    table.put(old)
    table.put(KeyRow("new", "new", Limits(), 1.25, Mark("c", "agent", 2, taken=taken)))
    table.put(KeyRow("other", "other", Limits(), 0.25, Mark("c", "another", 1)))
    assert table.spend == 2.0, "1.0 is in both; 0.5 was spent with the old one since, 0.25 with the new one"
