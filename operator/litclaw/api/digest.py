"""Digests that detect a change: of rendered objects, statuses and annotations."""

import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """Digest of JSON data: 16 hexadecimal digits of its SHA-256, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
