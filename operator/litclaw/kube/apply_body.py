"""The body of a server-side apply.

The API server decodes it as YAML, of which JSON is almost a subset. The exception are characters beyond U+FFFF, such as
emoji: `json.dumps` escapes each of them as a pair of surrogates (``\\ud83e\\udd8a``), which YAML doesn't know. Here they are
written unescaped. All other characters that aren't ASCII stay escaped, since YAML forbids control characters.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

CONTENT_TYPE = "application/apply-patch+yaml;charset=utf-8"
"""The parameter changes nothing for the API server. With it, the Kubernetes client sends a string as it is, instead of as a
JSON string."""

_ESCAPES = re.compile(r"\\\\|\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")
"""An escaped backslash, so that what follows it isn't taken for an escape; or a pair of surrogates."""


def apply_body(manifest: Mapping[str, Any]) -> str:
    """A manifest as text that is JSON and YAML."""
    text = json.dumps(manifest)
    return _ESCAPES.sub(_character, text) if "\\ud" in text else text


def _character(escape: re.Match[str]) -> str:
    return json.loads(f'"{escape[0]}"') if escape[1] else escape[0]
