"""Objects whose fields other software defines: LiteLLM, OpenClaw, or Kubernetes (a pod's affinity)."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

_DEEPEST: Final = 64
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


FreeForm = Annotated[dict[str, Any], BeforeValidator(limit_depth), WithJsonSchema(free_form())]
