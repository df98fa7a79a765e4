"""What the resources share: the strict base model, references, conditions.

A field's description becomes its text in ``kubectl explain``. Bounds, enums and CEL rules become the CRD's, so that
the API server refuses what the operator could not use.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from litclaw.api.quantity import usd


class Model(BaseModel):
    """Base of every part of a resource: camelCase outside, snake_case inside, immutable, unknown fields ignored.

    The API server prunes unknown fields before we see them; ignoring them keeps an older operator working beside a
    newer CRD.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, given: Any) -> Any:
        """A server-side apply that takes the last entry out of a map leaves null there (Kubernetes 1.36)."""
        return {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else given


def rules(*given: tuple[str, ...]) -> dict[str, Any]:
    """``json_schema_extra`` for CEL rules.

    Args:
        given: ``(rule, message)``, or ``(rule, message, field)`` where the rule stands higher than what it is about.
    """
    names = ("rule", "message", "fieldPath")
    return {"x-kubernetes-validations": [dict(zip(names, entry, strict=False)) for entry in given]}


@dataclass(frozen=True, slots=True)
class Matches:
    """A pattern for a string, with a message that says what to write: a schema's own ``pattern`` has none.

    The pattern must mean the same to Python and to RE2, which CEL uses.
    """

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return _with_rule(handler(schema), f"self.matches(r'{self.pattern}')", self.message)

    def _checked(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(self.message)
        return text


@dataclass(frozen=True, slots=True)
class Says:
    """One more CEL rule for a type, checked by the API server alone."""

    rule: str
    message: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return _with_rule(handler(schema), self.rule, self.message)


def _with_rule(schema: dict[str, Any], rule: str, message: str) -> dict[str, Any]:
    [added] = rules((rule, message)).values()
    return {**schema, "x-kubernetes-validations": [*schema.get("x-kubernetes-validations", []), *added]}


FREE_FORM: dict[str, Any] = {"type": "object", "nullable": True, "x-kubernetes-preserve-unknown-fields": True}
"""Schema of an object whose fields are somebody else's (LiteLLM's, OpenClaw's, a pod's affinity).

Nullable as maps are: see `Model`.
"""


_DEEPEST = 64


def free(value: Any) -> Any:
    """For a validator of somebody else's object: it isn't nested without end.

    The API server takes thousands of levels, over which what walks through them would stumble.
    """
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"is nested more than {_DEEPEST} levels deep")
        inner = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, (dict, list))]
        level = [each for parts in inner for each in parts]
    return value


def free_form(**known: dict[str, Any]) -> dict[str, Any]:
    """A free-form object, some of whose fields are known: CEL sees no others."""
    return {**FREE_FORM, "properties": known}


# Names of things in deep lists have a plain pattern: it costs nothing there, and CEL's budget is small.
DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63)]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
# Printable ASCII: what counts as white space differs between the API server's patterns and Python's.
ModelName = Annotated[str, Field(pattern=r"^[!-~]+( [!-~]+)*$", min_length=1, max_length=128)]
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
"""A decimal string in US dollars. A string, because JSON numbers lose cents."""


def name_rule(longest: int, because: str) -> tuple[str, str]:
    """A rule for ``metadata.name``, from which other names derive.

    Args:
        longest: how many characters it may have.
        because: what must fit, for the message.
    """
    return (
        f"size(self.metadata.name) <= {longest} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        (
            f"metadata.name must be a DNS label (a-z, 0-9 and -, a letter first) of at most {longest} characters: "
            f"{because}"
        ),
    )


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
