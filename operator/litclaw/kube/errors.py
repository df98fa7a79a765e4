"""What the Kubernetes API answers when it doesn't do what was asked."""

import json


class KubeError(Exception):
    """The API server refused a request or couldn't be reached.

    Attributes:
        status: HTTP status; 0 where there was no answer.
        reason: Kubernetes' reason, such as ``AlreadyExists``.
        message: what the API server says.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class NotFoundError(KubeError):
    """There is no such object, kind or namespace."""


class ConflictError(KubeError):
    """The object isn't the one that was meant, or somebody else owns a field."""


class InvalidError(KubeError):
    """The API server's validation or a policy refuses the object; asking again won't help."""


class UnavailableError(KubeError):
    """The API server couldn't be reached, is overloaded or failed; asking again may help."""


class GoneError(UnavailableError):
    """What was asked for as of a resource version is too old: from the beginning it goes."""


READ_AGAIN = (UnavailableError, ConflictError)
"""What passes, of a request that only reads: it can be in nobody's way, so a conflict is no word about it."""

UNTYPED = "typed patch object"
"""In the message over an apply that doesn't fit the schema. It names one of the fields that don't, and not always the
same one."""
_UNFIT = (UNTYPED, "failed to convert new object")
"""What the API server (1.36.3) says, with status 500, of an apply that doesn't fit the schema (kubernetes/kubernetes 139253), or
whose number is too large for its field."""

_BY_STATUS: dict[int, type[KubeError]] = {
    400: InvalidError,
    403: InvalidError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidError,
    429: UnavailableError,
}


def from_response(status: int, body: bytes) -> KubeError:
    """The error that a response stands for."""
    try:
        parsed = json.loads(body)
        reason, message = str(parsed.get("reason") or ""), str(parsed.get("message") or "")
    except (ValueError, AttributeError):
        reason, message = "", body[:200].decode(errors="replace")
    kind = _BY_STATUS.get(status, UnavailableError if status >= 500 else KubeError)
    if status == 500 and any(words in message for words in _UNFIT):
        kind = InvalidError
    return kind(status, reason, message)
