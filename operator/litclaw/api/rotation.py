"""LiteLLMKeyRotation: new keys for many agents, as a Job is work for many pods; and how a single key is rotated."""

from typing import Annotated, Any, Literal

from pydantic import Field

from litclaw.api.base import CONDITIONS_SCHEMA, Condition, DnsLabel, Model, ObjectMeta, ObjectName, Says, rules
from litclaw.api.duration import Span
from litclaw.api.kubernetes import LabelSelector

DEFAULT_GRACE = "1h"
MOST_FAILURES = 100
"""How many failures the status names; `failed` counts them all."""


class Rotation(Model):
    """When an agent's key is rotated by itself, and how long the old one lives on."""

    interval: (
        Annotated[
            Span, Says("self == '0s' || duration(self) >= duration('1m')", "must be at least 1m, or 0s for never")
        ]
        | None
    ) = Field(
        None,
        description="How old a key may get, such as 720h. It is rotated in the last tenth of that, at a moment of its "
        "own. 0s: never.",
    )
    grace_period: Span | None = Field(
        None, description=f"How long the old key lives on beside the new one. Left out: {DEFAULT_GRACE}."
    )


class RotatedRoute(Model):
    """A LiteLLMRoute by name."""

    name: ObjectName = Field(description="Name of the LiteLLMRoute.")
    namespace: DnsLabel = Field(description="Its namespace.")


class RotationSpec(Model):
    """What is rotated, and how."""

    selector: LabelSelector = Field(default_factory=LabelSelector, description="Which agents. Left out: all.")
    namespace_selector: LabelSelector = Field(
        default_factory=LabelSelector,
        description="The agents (and, for MasterKeys, the routes) of which namespaces. Left out: all.",
    )
    route_ref: RotatedRoute | None = Field(None, description="The agents of which route. Left out: of any.")
    what: Annotated[list[Literal["VirtualKeys", "MasterKeys"]], Field(min_length=1, max_length=2)] = Field(
        ["VirtualKeys"],
        description="VirtualKeys: the agents' keys. MasterKeys: the master keys that the operator has made for managed "
        "routes; selector is not for them.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    grace_period: Span = Field(
        DEFAULT_GRACE,
        description="How long old keys live on once the new one can have arrived everywhere. 0s, for a leak: an old key is "
        "revoked as soon as the new one is in use, after 90 s at the latest.",
    )
    max_concurrent: int = Field(10, description="How many keys are worked on at a time.", ge=1, le=1000)
    stop_after_failures: int = Field(
        5, description="How many failures stop the rotation; 0: none do.", ge=0, le=1_000_000
    )
    suspend: bool = Field(False, description="Whether the rotation rests. What has begun is finished.")


class RotationFailure(Model):
    """A key that wasn't rotated."""

    agent: str | None = Field(None, description="<namespace>/<name> of the agent.")
    route: str | None = Field(None, description="<namespace>/<name> of the route, for a master key.")
    reason: str = Field("", description="Why, in one word and a sentence.")


Phase = Literal["Pending", "Running", "Suspended", "Retiring", "Completed", "Failed", "Stopped"]
FINISHED: tuple[Phase, ...] = ("Completed", "Failed", "Stopped")


class RotationStatus(Model):
    """How far it is."""

    observed_generation: int = Field(0, description="The metadata.generation that this status is about.", ge=0)
    phase: Phase = Field(
        "Pending",
        description="Running: keys are being rotated. Retiring: every new key is in use, and old ones live out their time. "
        "Completed: every old key is refused. Failed: some keys could not be rotated. Stopped: too many could not.",
    )
    total: int = Field(0, description="How many keys are to be rotated.", ge=0)
    rotated: int = Field(
        0, description="How many have been: the new key is accepted, and the old one has its end.", ge=0
    )
    failed: int = Field(0, description="How many could not be.", ge=0)
    retiring: int = Field(0, description="How many keys have an old one that isn't gone yet.", ge=0)
    started_at: str | None = Field(
        None,
        description="When it began. Keys made before that are rotated.",
        json_schema_extra={"format": "date-time"},
    )
    retiring_until: str | None = Field(
        None, description="When the last of the old keys known so far ends.", json_schema_extra={"format": "date-time"}
    )
    completed_at: str | None = Field(None, description="When it ended.", json_schema_extra={"format": "date-time"})
    failures: list[RotationFailure] = Field(
        default_factory=list,
        description=f"The keys that could not be rotated, {MOST_FAILURES} at most, each with its reason.",
        max_length=MOST_FAILURES,
    )
    conditions: list[Condition] = Field(
        default_factory=list, description="Ready, Reconciling, Stalled.", json_schema_extra=CONDITIONS_SCHEMA
    )


def _immutable(*fields: str) -> dict[str, Any]:
    message = "a rotation can't be changed once it is made: make another one"
    return rules(
        *(
            (
                f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
                message,
                f".{field}",
            )
            for field in fields
        )
    )


_SPEC_RULES = _immutable(
    "selector", "namespaceSelector", "routeRef", "what", "gracePeriod", "maxConcurrent", "stopAfterFailures"
)


class LiteLLMKeyRotation(Model):
    """New keys for many agents, without a failed request; it is done once, and can be deleted then."""

    metadata: ObjectMeta
    spec: RotationSpec = Field(
        default_factory=RotationSpec, description="What is rotated, and how.", json_schema_extra=_SPEC_RULES
    )
    status: RotationStatus = Field(default_factory=RotationStatus, description="How far it is.")


ROTATION_COLUMNS: list[dict[str, Any]] = [
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
    {"name": "Rotated", "type": "integer", "jsonPath": ".status.rotated"},
    {"name": "Total", "type": "integer", "jsonPath": ".status.total"},
    {"name": "Failed", "type": "integer", "jsonPath": ".status.failed"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]

ROTATION_KIND = "LiteLLMKeyRotation"
ROTATION_PLURAL = "litellmkeyrotations"
