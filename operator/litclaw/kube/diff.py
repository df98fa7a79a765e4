"""Compares an object with the manifest that we want, so that nothing is written if nothing has changed."""

from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.api.digest import digest
from litclaw.api.quantity import parse_quantity
from litclaw.kube.cache import compact


def covers(live: Any, desired: Any) -> bool:
    """True if ``live`` has every field of ``desired`` with its value. It may have more, such as the API server's defaults.

    Lists must have the same length and order. Quantities are compared by value (``0.5`` is ``500m``), because the API server
    rewrites them.
    """
    if isinstance(desired, Mapping):
        return isinstance(live, Mapping) and all(
            (key in live and covers(live[key], value)) or (key not in live and value in ({}, [], None, ""))
            for key, value in desired.items()
        )
    if isinstance(desired, list):
        return isinstance(live, list) and len(live) == len(desired) and all(map(covers, live, desired))
    if live == desired:
        return True
    amount = parse_quantity(desired)
    return amount is not None and amount == parse_quantity(live)


def is_settled(live: Mapping[str, Any] | None, desired: Mapping[str, Any]) -> bool:
    """True if the cluster's object is as a sealed manifest wants it.

    An equal digest shows that no field of an earlier manifest is left over; `covers` shows that nobody has changed a field of
    this one.

    Args:
        live: compact, as the cache has it.
    """
    return live is not None and is_as(live, compact(desired))


def is_as(live: Mapping[str, Any], desired: Mapping[str, Any]) -> bool:
    """`is_settled` for a manifest that is compact too."""
    return digest_of(live) == digest_of(desired) and covers(live, desired)


def answer_of(live: Mapping[str, Any], desired: Mapping[str, Any]) -> str:
    """A digest of what an object has in the fields of a sealed manifest.

    A policy of the cluster may change what is applied, such as an image's registry or a default limit. Then the object never
    covers the manifest, and applying it again changes nothing as long as this digest stays.

    Args:
        live: compact.
    """
    wanted = compact(desired)
    return digest([digest_of(wanted), _fields(live, wanted)])


def _fields(live: Any, desired: Any) -> Any:
    if isinstance(live, Mapping) and isinstance(desired, Mapping):
        return {key: _fields(live.get(key), value) for key, value in desired.items()}
    if isinstance(live, list) and isinstance(desired, list) and len(live) == len(desired):
        return [_fields(*pair) for pair in zip(live, desired, strict=True)]
    return live


def digest_of(body: Mapping[str, Any]) -> str | None:
    """The digest of the manifest that we last applied."""
    found: str | None = (body["metadata"].get("annotations") or {}).get(names.ANNOTATION_DIGEST)
    return found
