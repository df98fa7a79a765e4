"""Last-resort error handling: an unexpected exception becomes that resource's condition; other resources are unaffected.

The exception's own text isn't repeated: it may contain a value of the resource.
"""

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from litclaw.api.base import Condition
from litclaw.kube.errors import ConflictError, KubeError, NotFoundError, UnavailableError
from litclaw.net.backoff import jittered
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.cluster import Cluster
from litclaw.reconcile.core.conditions import Blocked, Conditions, ConditionType
from litclaw.reconcile.core.status import write_status

log = logging.getLogger(__name__)

TRANSIENT = (UnavailableError, ConflictError, NotFoundError)
"""Errors that recover without help; the queue retries."""


async def guarded(
    cluster: Cluster,
    body: Mapping[str, Any],
    required: Sequence[ConditionType],
    run: Callable[[], Awaitable[float | None]],
) -> tuple[float | None, Blocked | None]:
    """Run one pass over a resource.

    Args:
        required: the conditions that Ready depends on.

    Returns:
        Seconds after which to reconcile again, or None; and the problem, where the pass failed.

    Raises:
        KubeError: one of `TRANSIENT`.
    """
    try:
        return await run(), None
    except TRANSIENT:
        raise
    except KubeError as error:
        message = f"The API server refuses a request of the operator: {error.reason}: {error.message}"
        why = Blocked(ConditionType.READY, "Refused", message, stalled=True)
    except Exception as error:  # noqa: BLE001 - the one place for exceptions that nobody expected
        meta = body["metadata"]
        log_unexpected(error, f"{body['kind']} {meta.get('namespace', '')}/{meta['name']}")
        message = (
            f"The operator fails over this resource ({type(error).__name__}); its log has the place. Please report it."
        )
        why = Blocked(ConditionType.READY, "InternalError", message, stalled=True)
    await set_blocked(cluster, body, required, why)
    return jittered(intervals.INTERNAL_ERROR), why


def log_unexpected(error: Exception, where: str) -> None:
    """Log an unexpected exception: its type and the lines that led to it, without its own text."""
    log.error("%s in %s:\n%s", type(error).__name__, where, "".join(traceback.format_tb(error.__traceback__)))


async def set_blocked(
    cluster: Cluster, body: Mapping[str, Any], required: Sequence[ConditionType], why: Blocked
) -> None:
    """Write why nothing more is known of a resource. Everything else in its status stays."""
    conditions = Conditions(required)
    conditions.set_blocked(why)
    generation = int(body["metadata"].get("generation", 0))
    status: dict[str, Any] = dict(body.get("status") or {})
    before = [Condition.model_validate(each) for each in status.get("conditions") or []]
    status["conditions"] = conditions.render(before, generation=generation, now=cluster.now())
    await write_status(cluster, body, {**status, "observedGeneration": generation})
