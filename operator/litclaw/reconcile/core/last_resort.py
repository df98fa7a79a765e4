"""What nobody thought of: a pass that fails over one resource says so there, and the others go on.

The error's own text isn't repeated: it may hold a value of the resource.
"""

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from litclaw.api.base import Condition
from litclaw.kube.errors import ConflictError, KubeError, NotFoundError, UnavailableError
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import report
from litclaw.reconcile.core.conditions import READY, Blocked, Conditions
from litclaw.reconcile.core.queue import jittered

log = logging.getLogger(__name__)

PASSING = (UnavailableError, ConflictError, NotFoundError)
"""What passes by itself; the queue tries again."""
_AGAIN_SECONDS = 60.0


async def guarded(
    context: Context, body: Mapping[str, Any], required: Sequence[str], run: Callable[[], Awaitable[float | None]]
) -> float | None:
    """Run one pass over a resource.

    Returns:
        After how many seconds to look requeue_after, or None.
    """
    try:
        return await run()
    except PASSING:
        raise
    except KubeError as error:
        message = f"The API server refuses what the operator does: {error.reason}: {error.message}"
        why = Blocked(READY, "Refused", message, stalled=True)
    except Exception as error:  # noqa: BLE001 - the one place for what nobody thought of
        meta, where = body["metadata"], "".join(traceback.format_tb(error.__traceback__))
        log.error(
            "%s in %s %s/%s:\n%s", type(error).__name__, body["kind"], meta.get("namespace", ""), meta["name"], where
        )
        message = f"The operator fails over this resource ({type(error).__name__}), and its log says where: report it."
        why = Blocked(READY, "InternalError", message, stalled=True)
    await say(context, body, required, why)
    return jittered(_AGAIN_SECONDS)


async def say(context: Context, body: Mapping[str, Any], required: Sequence[str], why: Blocked) -> None:
    """Say why nothing more is known of a resource. What its status knows already is kept."""
    context.fail_rotation(body["metadata"]["uid"], f"{why.reason}: {why.message}")
    conditions = Conditions(required)
    conditions.blocked(why)
    generation = int(body["metadata"].get("generation", 0))
    held: dict[str, Any] = dict(body.get("status") or {})
    before = [Condition.model_validate(each) for each in held.get("conditions") or []]
    held["conditions"] = conditions.render(before, generation=generation, now=context.now())
    await report.write_status(context, body, {**held, "observedGeneration": generation})
