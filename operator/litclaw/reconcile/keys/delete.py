"""Deleting keys at a proxy. How soon that takes effect depends on the proxy, so there is one place for it."""

from collections.abc import Sequence
from dataclasses import replace

from litclaw.litellm.client import PAGE_SIZE
from litclaw.reconcile.proxy.session import ProxySession

_BLOCKED_AT_ONCE = 10


async def delete_keys(session: ProxySession, tokens: Sequence[str]) -> None:
    """Delete keys at the proxy and in the table.

    Replicas that share a Redis pass on a block within 0.1 s, and a deletion not at all: they accept a deleted key from their
    own memory for up to a minute (measured on LiteLLM 1.106.2). There, each key is blocked first, in small batches: at a slow
    proxy, a pass has time for a few calls, and the next one goes on where it has stopped.

    Raises:
        LiteLLMError: the proxy didn't do all of it; a part may be done.
    """
    size = _BLOCKED_AT_ONCE if session.blocks_spread else PAGE_SIZE
    for batch in (tokens[at : at + size] for at in range(0, len(tokens), size)):
        if session.blocks_spread:
            for token in batch:
                await _block(session, token)
        await session.client.delete_keys(batch)
        session.table.drop(batch)


async def _block(session: ProxySession, token: str) -> None:
    if (row := session.table.get(token)) and row.blocked:
        return
    await session.client.block_key(token)
    if row := session.table.get(token):
        session.table.put(replace(row, blocked=True))
