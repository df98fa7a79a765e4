"""Blocking keys at the proxy, with all they have spent, and unblocking them.

The reason is in the key's mark before the key is blocked, and until it is unblocked: the next pass completes what a kill
interrupted, and a key that somebody else has blocked is never unblocked by us.
"""

from dataclasses import replace
from enum import StrEnum

from litclaw.litellm.errors import RejectedError
from litclaw.litellm.keys import KeyRow
from litclaw.reconcile.proxy.session import ProxySession


class BlockReason(StrEnum):
    """Why we block a key."""

    SUSPENDED = "Suspended"
    NOT_ALLOWED = "NotAllowed"
    NAMESPACE_GONE = "NamespaceGone"
    SPENT = "Spent"


async def block_key(session: ProxySession, row: KeyRow, why: BlockReason) -> KeyRow:
    """Block a key; one that somebody else has blocked stays as it is.

    Raises:
        LiteLLMError: the proxy didn't do it.
    """
    if row.mark is None or (row.blocked and not row.mark.block_reason):
        return row
    refused: RejectedError | None = None
    if row.mark.block_reason != why:
        mark = replace(row.mark, block_reason=why.value)
        try:
            await session.client.update_key(row.token, {"metadata": row.marked(mark)})
            row = replace(row, mark=mark)
        except RejectedError as error:
            refused = error  # such as for a key whose team is gone: it is blocked all the same
    if not row.blocked:
        await session.client.block_key(row.token)
        row = replace(row, blocked=True)
    session.table.put(row)
    if refused:
        raise refused
    return row


async def unblock_key(session: ProxySession, row: KeyRow) -> KeyRow:
    """Unblock a key that we have blocked.

    Raises:
        LiteLLMError: the proxy didn't do it.
    """
    if row.mark is None or not row.mark.block_reason:
        return row
    if row.blocked:
        await session.client.unblock_key(row.token)
    mark = replace(row.mark, block_reason="")
    await session.client.update_key(row.token, {"metadata": row.marked(mark)})
    row = replace(row, mark=mark, blocked=False)
    session.table.put(row)
    return row
