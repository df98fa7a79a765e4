"""LiteLLMKeyRotation, which rotates many keys once as a Job runs pods, and the rotation settings of a single key."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from litclaw.api.base import CONDITIONS_SCHEMA, LIST_SET, Condition, DnsLabel, Model, ObjectMeta, ObjectName, Timestamp
from litclaw.api.cel import CelRule, rules
from litclaw.api.duration import Duration, seconds
from litclaw.api.kubernetes import LabelSelector

DEFAULT_GRACE: Final = "1h"
LONGEST_GRACE: Final = "168h"
LONGEST_GRACE_SECONDS: Final = seconds(LONGEST_GRACE)
"""Seven days: upper bound of every grace period, so that old keys can't accumulate without end."""
MOST_FAILURES: Final = 100
"""How many failures the status lists; ``failed`` counts them all."""


def _at_most_the_longest(grace: str) -> str:
    """Shorten a grace period that was stored before the CRD had the bound."""
    return LONGEST_GRACE if seconds(grace) > LONGEST_GRACE_SECONDS else grace


GracePeriod = Annotated[
    Duration,
    AfterValidator(_at_most_the_longest),
    CelRule(f"duration(self) <= duration('{LONGEST_GRACE}')", f"must be at most {LONGEST_GRACE}, which is seven days"),
]
"""How long an old key stays valid."""


class Rotation(Model):
    """When an agent's key is rotated automatically, and how long the old one stays valid."""

    interval: (
        Annotated[
            Duration,
            CelRule("self == '0s' || duration(self) >= duration('1m')", "must be at least 1m, or 0s for never"),
        ]
        | None
    ) = Field(
        None,
        description="Maximum age of a key, such as 720h; 0s: no rotation. Keys are rotated at different moments in "
        "the last tenth of the interval, so that not all are rotated at once.",
    )
    grace_period: GracePeriod | None = Field(
        None,
        description=f"How long the old key stays valid after the new one is delivered, {LONGEST_GRACE} at most. "
        f"Defaults to {DEFAULT_GRACE}.",
    )


class RotatedRoute(Model):
    """A LiteLLMRoute by name."""

    name: ObjectName = Field(description="Name of the LiteLLMRoute.")
    namespace: DnsLabel = Field(description="Namespace of the LiteLLMRoute.")


class RotationSpec(Model):
    """Which keys are rotated, and how."""

    selector: LabelSelector = Field(
        default_factory=LabelSelector, description="Selects agents by their labels. If unset, all of them."
    )
    namespace_selector: LabelSelector = Field(
        default_factory=LabelSelector,
        description="Selects the namespaces of the agents and, for MasterKeys, of the routes. If unset, all of them.",
    )
    route_ref: RotatedRoute | None = Field(
        None, description="Restricts the rotation to one route and its agents. If unset, every route."
    )
    what: Annotated[list[Literal["VirtualKeys", "MasterKeys"]], Field(min_length=1, max_length=2)] = Field(
        ["VirtualKeys"],
        description="Kinds of keys to rotate. VirtualKeys: the agents' keys. MasterKeys: master keys that the operator "
        "generated for managed routes; selector doesn't apply to them.",
        json_schema_extra=LIST_SET,
    )
    grace_period: GracePeriod = Field(
        DEFAULT_GRACE,
        description=f"How long old keys stay valid once the new key can have arrived everywhere, {LONGEST_GRACE} at "
        "most. Use 0s after a leak: an old key is then revoked as soon as the new one is in use, at most 90 s later.",
    )
    max_concurrent: int = Field(10, description="How many keys are rotated at the same time.", ge=1, le=1000)
    stop_after_failures: int = Field(
        5,
        description="How many failures stop the rotation; 0: no limit. With gracePeriod 0s there is none, except for "
        "MasterKeys.",
        ge=0,
        le=1_000_000,
    )
    suspend: bool = Field(
        False,
        description="Pauses the rotation. Keys whose rotation has started are finished. Only this field can change.",
    )


class RotationFailure(Model):
    """A key that could not be rotated."""

    agent: str | None = Field(None, description="<namespace>/<name> of the agent.")
    route: str | None = Field(None, description="<namespace>/<name> of the route, for a master key.")
    reason: str = Field("", description="The cause, as one word and a sentence.")


Phase = Literal["Pending", "Running", "Suspended", "Retiring", "Completed", "Failed", "Stopped"]
FINISHED: tuple[Phase, ...] = ("Completed", "Failed", "Stopped")


class RotationStatus(Model):
    """Progress of the rotation."""

    observed_generation: int = Field(0, description="The metadata.generation that this status is based on.", ge=0)
    phase: Phase = Field(
        "Pending",
        description="Running: keys are being rotated. Suspended: paused by spec.suspend. Retiring: every new key is "
        "in use, and old keys are in their grace period. Completed: every old key is refused. Failed: some keys could "
        "not be rotated. Stopped: stopAfterFailures was reached.",
    )
    total: int = Field(0, description="How many keys the rotation covers.", ge=0)
    rotated: int = Field(
        0,
        description="How many keys are rotated: LiteLLM accepts the new key, and the old one has an expiry.",
        ge=0,
    )
    failed: int = Field(0, description="How many keys could not be rotated.", ge=0)
    retiring: int = Field(0, description="How many rotated keys have an old key that isn't gone yet.", ge=0)
    started_at: Timestamp | None = Field(
        None, description="When the rotation started. Keys that were made before are rotated."
    )
    retiring_until: Timestamp | None = Field(None, description="When the last old key known so far expires.")
    completed_at: Timestamp | None = Field(None, description="When the rotation ended.")
    failures: list[RotationFailure] = Field(
        default_factory=list,
        description=f"Keys that could not be rotated, {MOST_FAILURES} at most, each with its reason.",
        max_length=MOST_FAILURES,
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Conditions: Ready, Reconciling, Stalled.",
        json_schema_extra=CONDITIONS_SCHEMA,
    )


_IMMUTABLE: Final = (
    "selector",
    "namespaceSelector",
    "routeRef",
    "what",
    "gracePeriod",
    "maxConcurrent",
    "stopAfterFailures",
)
_SPEC_RULES: Final = rules(
    *(
        CelRule(
            f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
            "a rotation can't be changed once it is made: make another one",
            f".{field}",
        )
        for field in _IMMUTABLE
    )
)


class LiteLLMKeyRotation(Model):
    """Replaces the keys of many agents once, without failed requests. It can be deleted when it has finished."""

    metadata: ObjectMeta
    spec: RotationSpec = Field(
        default_factory=RotationSpec, description="Which keys are rotated, and how.", json_schema_extra=_SPEC_RULES
    )
    status: RotationStatus = Field(default_factory=RotationStatus, description="Progress of the rotation.")


ROTATION_COLUMNS: Final[list[dict[str, Any]]] = [
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
    {"name": "Rotated", "type": "integer", "jsonPath": ".status.rotated"},
    {"name": "Total", "type": "integer", "jsonPath": ".status.total"},
    {"name": "Failed", "type": "integer", "jsonPath": ".status.failed"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
