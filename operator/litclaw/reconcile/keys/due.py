"""Whether an agent's key is due for rotation, and how long the old one stays valid beside the new one."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.api.digest import digest
from litclaw.api.duration import seconds
from litclaw.api.rotation import DEFAULT_GRACE
from litclaw.api.route import KeyDefaults
from litclaw.litellm import bounds
from litclaw.litellm.keys import KeyRow, utc
from litclaw.reconcile.context import Context
from litclaw.reconcile.rotation.run import RotationRun

_EARLY = 0.1
"""Keys are rotated in the last tenth of their interval, each at its own moment: a thousand agents that were created in one
minute aren't rotated in one minute."""
_CLOCKS_DIFFER = timedelta(seconds=30)
UNKNOWN_CREATION = datetime.fromtimestamp(0, UTC)
"""Of keys whose mark has no creation time."""


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """When a key is rotated, in seconds.

    Attributes:
        interval: the age at which it is rotated; 0: never by itself.
        grace: how long the old key stays valid.
    """

    interval: int
    grace: int


def rotation_policy(agent: OpenClawAgent, defaults: KeyDefaults) -> RotationPolicy:
    """The agent's own policy, completed by its route's."""
    own, default = agent.spec.key.rotation, defaults.rotation
    grace = seconds(own.grace_period or default.grace_period or DEFAULT_GRACE)
    interval = seconds(own.interval or default.interval or "0s")
    # A longer grace period would let old keys pile up.
    return RotationPolicy(interval, min(grace, interval) if interval else grace)


def rotate_annotation_digest(agent: OpenClawAgent) -> str:
    """A digest of the annotation that requests a rotation; empty where there is none."""
    value = agent.metadata.annotations.get(names.ANNOTATION_ROTATE)
    return digest(value) if value else ""


def created_at(row: KeyRow) -> datetime:
    """When a key was created."""
    if row.mark is None or not row.mark.created_at:
        return UNKNOWN_CREATION
    try:
        return utc(bounds.time(row.mark.created_at))
    except ValueError:
        return UNKNOWN_CREATION


def next_rotation(agent: OpenClawAgent, defaults: KeyDefaults, row: KeyRow) -> datetime | None:
    """When the key is rotated by its interval; None: never."""
    interval = rotation_policy(agent, defaults).interval
    if not interval or agent.spec.suspend:
        return None
    share = int.from_bytes(hashlib.sha256(row.token.encode()).digest()[:4]) / 2**32
    return created_at(row) + timedelta(seconds=interval * (1 - _EARLY * share))


def runs_for(context: Context, uid: str) -> list[RotationRun]:
    """The rotation runs that cover a resource now."""
    return [run for run in context.runs.values() if run.covers(uid)]


def is_older(context: Context, row: KeyRow, moment: datetime) -> bool:
    """True if a key was created before a moment, or in the future, because a clock was wrong."""
    created = created_at(row)
    return created < moment or created > context.now() + _CLOCKS_DIFFER


def rotation_due(context: Context, agent: OpenClawAgent, defaults: KeyDefaults, row: KeyRow) -> int | None:
    """The grace period, in seconds, with which the key is to be replaced now; None: it isn't due."""
    own = rotation_policy(agent, defaults)
    graces = [run.grace for run in runs_for(context, agent.metadata.uid) if is_older(context, row, run.not_before)]
    if (wanted := rotate_annotation_digest(agent)) and row.mark and row.mark.rotate_digest != wanted:
        graces.append(own.grace)
    when = next_rotation(agent, defaults, row)
    if when is not None and when <= context.now():
        graces.append(own.grace)
    return min(graces) if graces else None
