"""The end of keys at a proxy. How soon it is felt there depends on the proxy, so there is one place for it."""

from collections.abc import Sequence

from litclaw.reconcile.context import RouteState


async def end_keys(state: RouteState, tokens: Sequence[str]) -> None:
    """Have keys end, and the table know it.

    Replicas that share a Redis tell one another of a block within 0.1 s, and of a deletion not at all: the others go on
    taking a deleted key out of their own memory for up to a minute (measured on LiteLLM 1.106.2).

    Raises:
        LiteLLMError: the proxy couldn't be told; what has ended by then has.
    """
    if state.blocks_spread:
        for token in tokens:
            await state.client.block_key(token)
    await state.client.delete_keys(tokens)
    state.table.drop(tokens)
