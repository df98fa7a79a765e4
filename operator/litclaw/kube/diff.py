"""Whether an object already is what we want, so that nothing is written where nothing changed."""

from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.api.quantity import parse_quantity
from litclaw.kube.cache import compact


def covers(live: Any, desired: Any) -> bool:
    """Whether ``live`` holds everything that ``desired`` says; the API server's defaults may come on top.

    Lists must have the same length, and the same order. Quantities are compared by what they mean (``0.5`` is
    ``500m``), since the API server rewrites them.
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
    """Whether a sealed manifest is in the cluster as it should be.

    The digest shows that nothing which we no longer want is left of an earlier version of ours; `covers` shows that
    nobody has changed what we want.
    """
    return live is not None and is_as(live, compact(desired))


def is_as(live: Mapping[str, Any], desired: Mapping[str, Any]) -> bool:
    """`is_settled`, where both are compact: fingerprints stand for values."""
    return digest_of(live) == digest_of(desired) and covers(live, desired)


def digest_of(body: Mapping[str, Any]) -> str | None:
    """The digest of what we wanted an object to be when we last wrote it."""
    found: str | None = (body["metadata"].get("annotations") or {}).get(names.ANNOTATION_DIGEST)
    return found
