"""Deleting keys at a proxy. How soon that takes effect depends on the proxy, so there is one place for it."""

from collections.abc import Sequence

from litclaw.litellm.client import PAGE_SIZE
from litclaw.reconcile.proxy.session import ProxySession


async def delete_keys(session: ProxySession, tokens: Sequence[str]) -> None:
    """Delete keys at the proxy and in the table.

    Replicas that share a Redis pass on a block within 0.1 s, and a deletion not at all: they accept a deleted key from their
    own memory for up to a minute (measured on LiteLLM 1.106.2). There, each key is blocked first.

    Raises:
        LiteLLMError: the proxy didn't do all of it; a part may be done.
    """
    for batch in (tokens[at : at + PAGE_SIZE] for at in range(0, len(tokens), PAGE_SIZE)):
        if session.blocks_spread:
            for token in batch:
                await session.client.block_key(token)
        await session.client.delete_keys(batch)
        session.table.drop(batch)
