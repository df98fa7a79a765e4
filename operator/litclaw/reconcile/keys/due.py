"""Whether an agent's key is too old, and how long it lives on beside the next one."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.api.duration import seconds
from litclaw.api.rotation import DEFAULT_GRACE
from litclaw.litellm.keys import KeyRow, utc
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.rotation.run import RotationRun
from litclaw.render.metadata import digest

_EARLY = 0.1
"""In which last part of its interval a key is rotated: agents made in one minute aren't rotated in one."""
_CLOCKS_DIFFER = timedelta(seconds=30)
NEVER_MADE = datetime.fromtimestamp(0, UTC)
"""For keys whose mark doesn't say when they were made."""


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """What an agent's resource and its route say of rotation, in seconds.

    Attributes:
        interval: how old a key may get; 0: as old as it likes.
        grace: how long an old key lives on.
    """

    interval: int
    grace: int


def rotation_policy(agent: OpenClawAgent, state: RouteState) -> RotationPolicy:
    """The agent's own rotation_policy and, where it has none, the route's."""
    own, default = agent.spec.key.rotation, state.key_defaults.rotation
    grace = own.grace_period or default.grace_period or DEFAULT_GRACE
    interval = seconds(own.interval or default.interval or "0s")
    # Or old keys would pile up.
    return RotationPolicy(interval, min(seconds(grace), interval) if interval else seconds(grace))


def asked(agent: OpenClawAgent) -> str:
    """A digest of the annotation by which a rotation is asked for; empty where there is none."""
    value = agent.metadata.annotations.get(names.ANNOTATION_ROTATE)
    return digest(value) if value else ""


def made_at(row: KeyRow) -> datetime:
    """When a key was made."""
    if row.mark is None or not row.mark.made:
        return NEVER_MADE
    try:
        return utc(row.mark.made)
    except ValueError:
        return NEVER_MADE


def next_rotation(agent: OpenClawAgent, state: RouteState, row: KeyRow) -> datetime | None:
    """When the key is rotated by itself; None: never."""
    interval = rotation_policy(agent, state).interval
    if not interval or agent.spec.suspend:
        return None
    share = int.from_bytes(hashlib.sha256(row.token.encode()).digest()[:4]) / 2**32
    return made_at(row) + timedelta(seconds=interval * (1 - _EARLY * share))


def runs_for(context: Context, uid: str) -> list[RotationRun]:
    """The rotations whose turn it is with a resource."""
    return [run for run in context.runs.values() if run.covers(uid)]


def is_older(context: Context, row: KeyRow, moment: datetime) -> bool:
    """Whether a key was made before a moment. One from the future is: its clock was wrong."""
    made = made_at(row)
    return made < moment or made > context.now() + _CLOCKS_DIFFER


def due(context: Context, agent: OpenClawAgent, state: RouteState, row: KeyRow) -> int | None:
    """For how many seconds the key is to live on beside another that is due now; None: it isn't too old."""
    own = rotation_policy(agent, state)
    graces = [run.grace for run in runs_for(context, agent.metadata.uid) if is_older(context, row, run.not_before)]
    if (wanted := asked(agent)) and row.mark and row.mark.asked != wanted:
        graces.append(own.grace)
    when = next_rotation(agent, state, row)
    if when is not None and when <= context.now():
        graces.append(own.grace)
    return min(graces) if graces else None
