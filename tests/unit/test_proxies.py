"""The LiteLLM in memory follows the rules of the real one, as far as other tests depend on them."""

import asyncio

import pytest
from litclaw.litellm.client import LiteLLM
from litclaw.litellm.errors import (
    AliasTakenError,
    LicenceError,
    NoDatabaseError,
    RejectedError,
    UnavailableError,
    UnreachableError,
)
from litclaw.litellm.keys import KeyRow, Limits, Mark, new_key
from pydantic import SecretStr

from .proxies import Clock, FakeProxy

MARK = Mark("c", "u", 1)


@pytest.fixture
def proxy() -> FakeProxy:
    return FakeProxy(Clock())


async def generate(
    client: LiteLLM, alias: str = "a", value: SecretStr | None = None, limits: Limits | None = None
) -> KeyRow:
    """A new key."""
    return await client.generate_key(value or new_key(), alias=alias, limits=limits or Limits(), mark=MARK, metadata={})


async def test_a_key_is_created_listed_changed_and_deleted(proxy: FakeProxy) -> None:
    client = proxy.client()
    limits = Limits(models=("gpt",), max_budget=5.0, budget_duration="monthly", rpm_limit=60)
    made = await generate(client, limits=limits)
    assert made.limits == limits and made.mark == MARK and made.budget_resets_at == "2026-12-01T00:00:00Z"
    assert [row async for row in client.list_keys(alias="a")] == [made] == [await client.key(made.token)]
    await client.update_key(made.token, {"duration": "60s", "budget_duration": None})
    changed = await client.key(made.token)
    assert changed and (changed.expires, changed.budget_resets_at) == ("2026-11-24T10:01:00Z", None)
    await client.update_key(made.token, {"duration": None})
    assert (changed := await client.key(made.token)) and changed.expires is None
    await client.delete_keys([made.token, "unknown"])
    assert await client.key(made.token) is None and proxy.archive[made.token]["deleted_at"]
    assert proxy.counts["/key/info"] == 4 and proxy.calls[-1] == "GET /key/info"


async def test_keys_come_in_pages_the_newest_first(proxy: FakeProxy) -> None:
    client = proxy.client()
    for number in range(205):
        await generate(client, str(number))
    assert [row.alias async for row in client.list_keys()] == [str(number) for number in range(204, -1, -1)]
    assert proxy.counts["/key/list"] == 3


async def test_it_refuses_what_litellm_refuses(proxy: FakeProxy) -> None:
    client = proxy.client()
    made = await generate(client)
    for limits in (Limits(max_budget=-1), Limits(max_budget=float("inf")), Limits(budget_duration="banana")):
        with pytest.raises(RejectedError):
            await generate(client, "b", limits=limits)
    with pytest.raises(RejectedError, match="Invalid key format"):
        await generate(client, "b", SecretStr("sk-too-short"))
    with pytest.raises(LicenceError):
        await generate(client, "b", limits=Limits(tags=("x",)))
    with pytest.raises(AliasTakenError):
        await generate(client, "a")
    other = await generate(client, "b")
    with pytest.raises(AliasTakenError):
        await client.update_key(other.token, {"key_alias": "a"})
    await client.update_key(made.token, {"key_alias": "a", "rpm_limit": 1})
    proxy.validates_aliases = True
    with pytest.raises(RejectedError, match="Invalid key_alias"):
        await client.update_key(made.token, {"key_alias": "a#1.0"})
    proxy.custom_keys = False
    with pytest.raises(RejectedError, match="must be auto-generated"):
        await generate(client, "cc")


async def test_a_key_works_until_it_is_blocked_expired_or_spent(proxy: FakeProxy) -> None:
    client, value = proxy.client(), new_key()
    row = await generate(client, value=value, limits=Limits(max_budget=1.0, budget_duration="24h"))
    assert await client.accepts(value) and proxy.call(value, 0.25) == 200
    await client.block_key(row.token)
    assert not await client.accepts(value) and proxy.call(value, 0.25) == 401
    await client.unblock_key(row.token)
    assert [proxy.call(value, 0.75), proxy.call(value, 0.25)] == [200, 422], "the budget counts at once"
    assert (seen := await client.key(row.token)) and (seen.spend, seen.used) == (0.0, False), "and is booked later"
    proxy.clock.pass_(15)
    assert (seen := await client.key(row.token)) and (seen.spend, seen.used) == (1.0, True)
    proxy.clock.pass_(14 * 3600 - 16)
    assert proxy.call(value, 0.25) == 422
    proxy.clock.pass_(1)
    assert proxy.call(value, 0.25) == 200
    assert (seen := await client.key(row.token)) and seen.budget_resets_at == "2026-11-26T00:00:00Z"
    await client.update_key(row.token, {"duration": "10s"})
    proxy.clock.pass_(11)
    assert not await client.accepts(value) and proxy.call(value, 0.25) == 401
    assert not await client.accepts(new_key())


async def test_it_fails_as_it_is_told_to(proxy: FakeProxy) -> None:
    client = proxy.client()
    proxy.models["gpt"] = {"mode": "chat"}
    assert await client.model_info() == {"gpt": {"mode": "chat"}} and await client.release() == "1.106.2"
    assert (await client.readiness()).database
    proxy.lost.add("/key/generate")
    with pytest.raises(UnreachableError):
        await generate(client)
    assert len(proxy.rows) == 1, "it was done"
    proxy.lost.clear()
    proxy.failing.add("/key/generate")
    with pytest.raises(UnavailableError):
        await generate(client, "b")
    assert len(proxy.rows) == 1
    proxy.hanging.add("/key/list")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            assert [row async for row in client.list_keys()]
    proxy.hanging.clear()
    proxy.database = False
    assert not (await client.readiness()).database
    with pytest.raises(NoDatabaseError):
        assert [row async for row in client.list_keys()]
