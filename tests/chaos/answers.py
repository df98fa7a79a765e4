"""The faulty world's answers: those passed on, and those made up in place of a real one."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .calls import KUBE

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server", "te", "upgrade"}
_REASONS = {
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def parsed(body: bytes) -> dict[str, Any]:
    """A JSON object; empty where the text is none."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that a proxy passes on."""
    return {name: value for name, value in headers.items() if name.lower() not in _HOP}


def passed_on(status: int, headers: Mapping[str, str], content: bytes) -> web.Response:
    """A real answer."""
    return web.Response(status=status, headers=end_to_end(headers), body=content)


def refusal(door: str, status: int) -> web.Response:
    """An error in the form of the API server's or LiteLLM's."""
    text = f"{status} by the fault campaign"
    body: dict[str, Any]
    if door == KUBE:
        reason = _REASONS[status]
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": text, "reason": reason}
        body["code"] = status
    else:
        body = {"error": {"message": text, "type": "internal_server_error", "code": str(status)}}
    headers = {"Retry-After": "1"} if status == 429 else {}
    return web.json_response(body, status=status, headers=headers)
