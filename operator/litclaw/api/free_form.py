"""Objects whose fields other software defines: LiteLLM, OpenClaw, or Kubernetes (a pod's affinity)."""

import math
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

_DEEPEST: Final = 64
_MOST_VALUES: Final = 20_000
# Nullable, as maps are: see `Model`.
_SCHEMA: Final[dict[str, Any]] = {"type": "object", "nullable": True, "x-kubernetes-preserve-unknown-fields": True}


def free_form(**known: dict[str, Any]) -> dict[str, Any]:
    """Schema of a free-form object. CEL rules see only the fields in ``known``."""
    return {**_SCHEMA, "properties": known} if known else dict(_SCHEMA)


def limit_depth(value: Any) -> Any:
    """Return a free-form object unchanged.

    The API server accepts thousands of levels, which recursive code can't handle.

    Raises:
        ValueError: it has more than 64 levels.
    """
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"is nested more than {_DEEPEST} levels deep")
        inner = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, (dict, list))]
        level = [each for parts in inner for each in parts]
    return value


def limit_size(given: Any, *, characters: float = math.inf) -> Any:
    """Return a resource's spec unchanged.

    The API server accepts 1.5 MiB, which may be half a million values. Rendering takes the event loop's time for each of them,
    and for YAML for each character.

    Args:
        characters: in all strings.

    Raises:
        ValueError: it has more than that, or more than 20,000 values.
    """
    parts, count, length = [given], 0, 0
    while parts:
        part = parts.pop()
        if isinstance(part, str):
            length += len(part)
        if isinstance(part, dict):
            length += sum(map(len, part))
        if isinstance(part, (dict, list)):
            count += len(part)
            parts += part.values() if isinstance(part, dict) else part
        if count > _MOST_VALUES or length > characters:
            what = f"{_MOST_VALUES} values" if count > _MOST_VALUES else f"{characters} characters"
            raise ValueError(f"has more than {what} in all its fields")
    return given


FreeForm = Annotated[dict[str, Any], BeforeValidator(limit_depth), WithJsonSchema(free_form())]
