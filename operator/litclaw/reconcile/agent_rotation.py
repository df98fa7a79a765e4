"""Whether an agent's key is too old, and how long it lives on beside the next one."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..api import names
from ..api.agent import OpenClawAgent
from ..api.duration import seconds
from ..api.rotation import DEFAULT_GRACE
from ..litellm.keys import KeyRow, utc
from ..render.metadata import digest
from .campaign import Campaign
from .world import RouteState, World

_EARLY = 0.1
"""In which last part of its interval a key is rotated: agents made in one minute aren't rotated in one."""
_CLOCKS_DIFFER = timedelta(seconds=30)
NEVER_MADE = datetime.fromtimestamp(0, UTC)
"""For keys whose mark doesn't say when they were made."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an agent's resource and its route say of rotation, in seconds.

    Attributes:
        interval: how old a key may get; 0: as old as it likes.
        grace: how long an old key lives on.
    """

    interval: int
    grace: int


def wish(agent: OpenClawAgent, state: RouteState) -> Wish:
    """The agent's own wish and, where it has none, the route's."""
    own, default = agent.spec.key.rotation, state.key_defaults.rotation
    grace = own.grace_period or default.grace_period or DEFAULT_GRACE
    interval = seconds(own.interval or default.interval or "0s")
    # Or old keys would pile up.
    return Wish(interval, min(seconds(grace), interval) if interval else seconds(grace))


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
    interval = wish(agent, state).interval
    if not interval or agent.spec.suspend:
        return None
    share = int.from_bytes(hashlib.sha256(row.token.encode()).digest()[:4]) / 2**32
    return made_at(row) + timedelta(seconds=interval * (1 - _EARLY * share))


def campaigns_for(world: World, uid: str) -> list[Campaign]:
    """The rotations whose turn it is with a resource."""
    return [campaign for campaign in world.campaigns.values() if campaign.covers(uid)]


def is_older(world: World, row: KeyRow, moment: datetime) -> bool:
    """Whether a key was made before a moment. One from the future is: its clock was wrong."""
    made = made_at(row)
    return made < moment or made > world.now() + _CLOCKS_DIFFER


def due(world: World, agent: OpenClawAgent, state: RouteState, row: KeyRow) -> int | None:
    """For how many seconds the key is to live on beside another that is due now; None: it isn't too old."""
    own = wish(agent, state)
    graces = [
        campaign.grace
        for campaign in campaigns_for(world, agent.metadata.uid)
        if is_older(world, row, campaign.not_before)
    ]
    if (wanted := asked(agent)) and row.mark and row.mark.asked != wanted:
        graces.append(own.grace)
    when = next_rotation(agent, state, row)
    if when is not None and when <= world.now():
        graces.append(own.grace)
    return min(graces) if graces else None
