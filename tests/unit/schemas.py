"""A walk over the fields of a CRD's schema."""

from collections.abc import Iterator
from typing import Any


def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every named field below a part of a schema, by its path: ``[]`` is a list's item, ``{}`` a map's value."""
    for name, below in schema.get("properties", {}).items():
        at = f"{path}.{name}" if path else name
        yield at, below
        yield from fields(below, at)
        for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
            if isinstance(below.get(key), dict):
                yield from fields(below[key], at + mark)
