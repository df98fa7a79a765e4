"""What the resources share: the strict base model, references, conditions.

A field's description becomes its text in ``kubectl explain``. Bounds, enums and CEL rules become the CRD's, so that
the API server refuses what the operator could not use.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from .quantity import usd


class Model(BaseModel):
    """Base of every part of a resource: camelCase outside, snake_case inside, immutable, unknown fields ignored.

    The API server prunes unknown fields before we see them; ignoring them keeps an older operator working beside a
    newer CRD.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """``json_schema_extra`` for CEL rules, given as ``(rule, message)``."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


FREE_FORM: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
"""Schema of an object whose fields are somebody else's (LiteLLM's, OpenClaw's, a pod's affinity)."""

DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63)]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
ModelName = Annotated[str, Field(min_length=1, max_length=200)]
Usd = Annotated[
    str,
    Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$", max_length=16),
    AfterValidator(usd),
]
"""A decimal string in US dollars. A string, because JSON numbers lose cents."""


class SecretKeyRef(Model):
    """One key of a Secret in the resource's own namespace."""

    name: ObjectName = Field(description="Name of the Secret, in the same namespace.")
    key: str = Field(
        description="Key within the Secret's data.", min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$"
    )


class Condition(Model):
    """One observation about the resource, as kstatus, Argo CD and Flux read it."""

    type: str = Field(description="What is observed, such as Ready.", max_length=316)
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: int = Field(0, description="The metadata.generation that the observation was made for.", ge=0)
    last_transition_time: str = Field(
        description="When the status last changed.", json_schema_extra={"format": "date-time"}
    )
    reason: str = Field(description="One CamelCase word for machines.", min_length=1, max_length=1024)
    message: str = Field(description="A sentence for people: what is wrong and what to do.", max_length=32768)


CONDITIONS_SCHEMA: dict[str, Any] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
}


class ObjectMeta(Model):
    """The part of an object's metadata that decisions rest on."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: list[str] = Field(default_factory=list)
    deletion_timestamp: str | None = None
