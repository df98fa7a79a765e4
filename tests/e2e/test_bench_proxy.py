"""The benchmark's instant proxy behaves like LiteLLM towards the operator's client."""

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest
from litclaw.litellm.client import LiteLLM
from litclaw.litellm.errors import AliasTakenError, UnauthorizedError
from litclaw.litellm.keys import KeyRow, Limits, Mark, new_key
from pydantic import SecretStr

from dev.bench.stage import program

MASTER = SecretStr("sk-the-master-key-of-the-instant-proxy")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """An instant proxy of this module."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([str(program()), "serve"], stdin=subprocess.PIPE, text=True)
    assert process.stdin
    process.stdin.write(json.dumps({"address": f"127.0.0.1:{port}", "master": MASTER.get_secret_value()}))
    process.stdin.close()
    found = f"http://127.0.0.1:{port}"
    for _ in range(100):
        try:
            httpx.get(f"{found}/health/liveliness", trust_env=False)
            break
        except httpx.HTTPError:
            time.sleep(0.1)
    yield found
    process.kill()
    process.wait()


async def _make(client: LiteLLM, alias: str, **more: float) -> tuple[SecretStr, KeyRow]:
    value, mark = new_key(), Mark(cluster="c", agent=f"uid of {alias}", generation=1)
    limits = Limits(max_budget=5.0, models=("gpt-4o",))
    return value, await client.generate_key(value, alias=alias, limits=limits, mark=mark, metadata={"a": 1}, **more)


async def test_it_is_a_litellm_with_a_model(url: str) -> None:
    async with LiteLLM(url, MASTER) as client:
        assert (await client.readiness()).database
        assert await client.release() == "1.106.2"
        assert list(await client.model_info()) == ["gpt-4o"]
    async with LiteLLM(url, SecretStr("sk-not-the-master-key")) as client:
        with pytest.raises(UnauthorizedError):
            await client.model_info()


async def test_a_key_has_the_requested_fields_in_every_answer(url: str) -> None:
    async with LiteLLM(url, MASTER) as client:
        value, made = await _make(client, "one", spend=1.5)
        assert await client.accepts(value)
        assert await client.key(made.token) == made
        assert [row async for row in client.list_keys(alias="one")] == [made]
        assert made.spend == 1.5 and made.limits.max_budget == 5.0 and made.mark and made.metadata == {"a": 1}
        with pytest.raises(AliasTakenError):
            await _make(client, "one")
        await client.update_key(made.token, {"key_alias": "first", "max_budget": 7.0})
        changed = await client.key(made.token)
        assert changed and (changed.alias, changed.limits.max_budget) == ("first", 7.0)
        _, second = await _make(client, "one")
        await client.delete_keys([made.token, second.token])
        assert await client.key(made.token) is None and not await client.accepts(value)


async def test_a_key_is_blocked_and_ends(url: str) -> None:
    async with LiteLLM(url, MASTER) as client:
        value, made = await _make(client, "ending")
        await client.block_key(made.token)
        assert not await client.accepts(value)
        await client.unblock_key(made.token)
        await client.update_key(made.token, {"duration": "1s"})
        ending = await client.key(made.token)
        assert await client.accepts(value) and ending and ending.expires
        await asyncio.sleep(1.1)
        assert not await client.accepts(value)
        await client.update_key(made.token, {"duration": None})
        assert await client.accepts(value)
        await client.delete_keys([made.token])


async def test_many_keys_are_listed_a_hundred_a_call_and_counted(url: str) -> None:
    async with LiteLLM(url, MASTER) as client, httpx.AsyncClient(base_url=url, trust_env=False) as bench:
        tokens = [(await _make(client, f"many-{number}"))[1].token for number in range(250)]
        await bench.get("/bench/forget")
        assert [row.token async for row in client.list_keys()] == tokens
        calls = (await bench.get("/bench/counts")).json()
        assert calls == {"counts": {"GET /key/list 200": 3}, "keys": 250}
        await client.delete_keys(tokens)
        await client.delete_keys(tokens)
        assert not [row async for row in client.list_keys()]


async def test_it_hangs_until_the_benchmark_lets_it_answer(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=1.0) as bench:
        await bench.get("/bench/hang")
        with pytest.raises(httpx.ReadTimeout):
            await bench.get("/health/readiness")
        with pytest.raises(httpx.ReadTimeout):
            await bench.post("/key/update", json={"key": "sk-any"})
        await bench.get("/bench/answer")
        assert (await bench.get("/health/readiness")).json()["status"] == "healthy"
