"""What a proxy holds of this cluster's keys, read a page at a time while they change."""

from litclaw.litellm.http import Answer
from litclaw.litellm.keys import KeyRow, Limits, Mark
from litclaw.reconcile.key_table import KeyTable

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
