"""CEL validation rules in the CRDs, with a message for each.

The API server evaluates them when a resource is created or changed. A schema's own ``pattern`` has no message.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

VALIDATIONS: Final = "x-kubernetes-validations"


@dataclass(frozen=True, slots=True)
class CelRule:
    """A CEL rule: an annotation of a type, or an argument of `rules`. The models don't check it.

    Attributes:
        rule: the CEL expression; ``self`` is the value.
        message: what is wrong, and what to write instead.
        field: path of the field that the message is about, such as ``.models``, if the rule is on a field above it.
    """

    rule: str
    message: str
    field: str = ""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return _with_rule(handler(schema), self)

    def entry(self) -> dict[str, str]:
        """The rule as an entry of ``x-kubernetes-validations``."""
        entry = {"rule": self.rule, "message": self.message}
        return {**entry, "fieldPath": self.field} if self.field else entry


@dataclass(frozen=True, slots=True)
class Matches:
    """A pattern that the whole string must match, with a message. The models check it too.

    The pattern must mean the same in Python and in RE2, which CEL uses.
    """

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return _with_rule(handler(schema), CelRule(f"self.matches(r'{self.pattern}')", self.message))

    def _checked(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(self.message)
        return text


@dataclass(frozen=True, slots=True)
class Lacks:
    """A text that the string must not contain, with a message. The models check it too."""

    text: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return _with_rule(handler(schema), CelRule(f"!self.contains('{self.text}')", self.message))

    def _checked(self, text: str) -> str:
        if self.text in text:
            raise ValueError(self.message)
        return text


def rules(*given: CelRule) -> dict[str, Any]:
    """``json_schema_extra`` of a model or a field with CEL rules."""
    return {VALIDATIONS: [rule.entry() for rule in given]}


def _with_rule(schema: dict[str, Any], rule: CelRule) -> dict[str, Any]:
    return {**schema, VALIDATIONS: [*schema.get(VALIDATIONS, []), rule.entry()]}


def name_rule(longest: int, because: str) -> CelRule:
    """A rule for ``metadata.name``, which other names are derived from.

    Args:
        longest: maximum length in characters.
        because: what limits the length, for the message.
    """
    return CelRule(
        f"size(self.metadata.name) <= {longest} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        f"metadata.name must be a DNS label (a-z, 0-9 and -, a letter first) of at most {longest} characters: "
        f"{because}",
    )
