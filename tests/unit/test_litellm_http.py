"""A name may lead elsewhere than it did when somebody looked: no key goes to where no proxy can be."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from litclaw.litellm.client import LiteLLM
from litclaw.litellm.errors import RefusedAddressError, UnavailableError
from litclaw.render import address
from pydantic import SecretStr


@pytest.fixture
async def listener(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[int, bytearray]]:
    """A server on loopback that keeps what it is sent, and that a name of the outside resolves to."""
    got = bytearray()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(1024):
            got.extend(chunk)
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    real = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **given: Any) -> Any:
        return real("127.0.0.1" if host in ("rebound.example", b"rebound.example") else host, *args, **given)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], got
    await asyncio.sleep(0)


async def test_nothing_is_sent_to_a_metadata_address(
    listener: tuple[int, bytearray], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, got = listener
    async with LiteLLM(f"http://rebound.example:{port}", SecretStr("sk-the-master-key-of-a-route")) as client:
        with pytest.raises(UnavailableError):
            await client.model_info()
        assert b"sk-the-master-key-of-a-route" in got, "the listener sees what is sent"
    got.clear()
    # The tests can't listen on 169.254.169.254, so where they do stands for it.
    monkeypatch.setattr(address, "_METADATA", frozenset({ipaddress.ip_address("127.0.0.1")}))
    async with LiteLLM(f"http://rebound.example:{port}", SecretStr("sk-the-master-key-of-a-route")) as client:
        for _ in range(2):
            with pytest.raises(RefusedAddressError, match=r"leads to 127\.0\.0\.1"):
                await client.model_info()
    await asyncio.sleep(0.05)
    assert not got
