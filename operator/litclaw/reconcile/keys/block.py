"""Keys that are held back: blocked at the proxy, with all they have spent, and let loose again.

Why we block a key is in its mark before it is blocked, and there until it is unblocked, so that a kill in between leaves
what the next pass finishes; and a key that somebody else has blocked is never unblocked by us.
"""

from dataclasses import replace
from enum import StrEnum

from litclaw.litellm.errors import RejectedError
from litclaw.litellm.keys import KeyRow
from litclaw.reconcile.context import RouteState


class BlockReason(StrEnum):
    """Why a key is held back."""

    SUSPENDED = "Suspended"
    NOT_ALLOWED = "NotAllowed"


async def block_key_for(state: RouteState, row: KeyRow, why: BlockReason) -> KeyRow:
    """Have a key blocked by us; one that somebody else has blocked is left as it is.

    Raises:
        LiteLLMError: the proxy couldn't be told.
    """
    if row.mark is None or (row.blocked and not row.mark.held):
        return row
    refused: RejectedError | None = None
    if row.mark.held != why:
        mark = replace(row.mark, held=why.value)
        try:
            await state.client.update_key(row.token, {"metadata": row.marked(mark)})
            row = replace(row, mark=mark)
        except RejectedError as error:
            refused = error  # such as of a key whose team is gone: it is blocked all the same
    if not row.blocked:
        await state.client.block_key(row.token)
        row = replace(row, blocked=True)
    state.table.put(row)
    if refused:
        raise refused
    return row


async def unblock_key_of(state: RouteState, row: KeyRow) -> KeyRow:
    """Have a key unblocked that we have blocked.

    Raises:
        LiteLLMError: the proxy couldn't be told.
    """
    if row.mark is None or not row.mark.held:
        return row
    if row.blocked:
        await state.client.unblock_key(row.token)
    mark = replace(row.mark, held="")
    await state.client.update_key(row.token, {"metadata": row.marked(mark)})
    row = replace(row, mark=mark, blocked=False)
    state.table.put(row)
    return row
