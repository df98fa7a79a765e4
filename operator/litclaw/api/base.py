"""Parts that the resources share: the base model, names, references, conditions, metadata.

A field's description is what ``kubectl explain`` shows. Bounds, enums and CEL rules become part of the CRD, so that the
API server refuses what the operator could not use.
"""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from litclaw.api.cel import Lacks, Matches
from litclaw.api.quantity import usd


class Model(BaseModel):
    """Base of every part of a resource: camelCase outside, snake_case inside, immutable, unknown fields ignored.

    The API server prunes unknown fields. Ignoring them lets an older operator work with a newer CRD.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, given: Any) -> Any:
        """A server-side apply that removes the last entry of a map leaves null in its place (Kubernetes 1.36)."""
        return {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else given


LIST_SET: Final[dict[str, Any]] = {"x-kubernetes-list-type": "set"}
"""``json_schema_extra`` of a list without duplicates."""


def list_map(key: str) -> dict[str, Any]:
    """``json_schema_extra`` of a list whose entries are identified by one of their fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


# Names in deep lists have a plain pattern, because a schema's CEL rules have a common cost limit.
DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63)]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
NO_REFERENCE: Final = Lacks("${", "must not contain ${, with which OpenClaw refers to environment variables")
"""For what one person writes and another's OpenClaw reads."""
# Printable ASCII, because the API server's patterns and Python's define white space differently.
_MODEL_NAME: Final = r"^[!-~]+( [!-~]+)*$"
_LONGEST_MODEL_NAME: Final = 128
ModelName = Annotated[str, Field(pattern=_MODEL_NAME, min_length=1, max_length=_LONGEST_MODEL_NAME), NO_REFERENCE]
Image = Annotated[
    str,
    Field(min_length=1, max_length=512),
    Matches(r"^[a-zA-Z0-9][-a-zA-Z0-9._:/@]*$", "must name an image, such as registry.example.com/name:tag"),
]
Usd = Annotated[
    str,
    Field(max_length=16),
    AfterValidator(usd),
    Matches(r"^[0-9]{1,9}([.][0-9]{1,6})?$", "must be US dollars as a decimal string, such as '50' or '0.25'"),
]
"""US dollars as a decimal string, because JSON numbers are binary fractions."""
Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A moment in RFC 3339."""

_DATA_KEY: Final = r"^[-._a-zA-Z0-9]+$"


def is_model_name(text: str) -> bool:
    """True if a text is a `ModelName`."""
    return len(text) <= _LONGEST_MODEL_NAME and NO_REFERENCE.text not in text and bool(re.fullmatch(_MODEL_NAME, text))


class SecretKeyRef(Model):
    """One key of a Secret in the resource's own namespace."""

    name: ObjectName = Field(description="Name of the Secret, in the same namespace.")
    key: str = Field(description="Key in the Secret's data.", min_length=1, max_length=253, pattern=_DATA_KEY)


class ConfigMapKeyRef(Model):
    """One key of a ConfigMap in the resource's own namespace."""

    name: ObjectName = Field(description="Name of the ConfigMap, in the same namespace.")
    key: str = Field(description="Key in the ConfigMap's data.", min_length=1, max_length=253, pattern=_DATA_KEY)


class Condition(Model):
    """One observation about the resource, in the form that kstatus, Argo CD and Flux read."""

    type: str = Field(description="Type of the condition, such as Ready.", max_length=316)
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the condition is met.")
    observed_generation: int = Field(0, description="The metadata.generation that the condition is based on.", ge=0)
    last_transition_time: Timestamp = Field(description="When the status last changed.")
    reason: str = Field(
        description="The cause of the status, as one CamelCase word for programs.", min_length=1, max_length=1024
    )
    message: str = Field(description="The cause of the status for people, and what to do about it.", max_length=32768)


CONDITIONS_SCHEMA: Final = list_map("type")


class ObjectMeta(Model):
    """The part of an object's metadata that the operator uses."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
