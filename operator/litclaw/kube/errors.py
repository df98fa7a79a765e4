"""The errors of the Kubernetes API: one exception class for each way in which a caller reacts."""

import json


class KubeError(Exception):
    """The API server refused a request or couldn't be reached.

    Attributes:
        status: HTTP status; 0 where there was no response.
        reason: Kubernetes' reason, such as ``AlreadyExists``.
        message: the API server's message.
        retry_after: seconds to wait before the request is repeated, where the API server has asked for that.
    """

    def __init__(self, status: int, reason: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotFoundError(KubeError):
    """The object, kind or namespace doesn't exist."""


class ConflictError(KubeError):
    """The object has changed or is another one, or another manager owns a field."""


class InvalidError(KubeError):
    """The API server's validation, a policy or RBAC refuses the request; repeating it doesn't help."""


class UnavailableError(KubeError):
    """The API server couldn't be reached, is overloaded or failed; repeating the request may help."""


class GoneError(UnavailableError):
    """The resourceVersion has expired; list again from scratch."""


class TooLargeError(KubeError):
    """A response is larger than its reader can hold; a smaller page of the list may do."""


READ_AGAIN = (UnavailableError, ConflictError)
"""Errors worth retrying for a read. A 409 on a GET says nothing about the object."""

_UNTYPED = "typed patch object"
_UNFIT = (_UNTYPED, "failed to convert new object")
"""In the message of a status 500 over an apply that doesn't fit the schema (kubernetes/kubernetes 139253), or with a number
that is too large for its field (API server 1.36.3)."""

_BY_STATUS: dict[int, type[KubeError]] = {
    400: InvalidError,
    403: InvalidError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidError,
    429: UnavailableError,
}


def from_response(status: int, body: bytes, retry_after: str | None = None) -> KubeError:
    """The error for a response.

    Args:
        retry_after: the ``Retry-After`` header. Kubernetes sends seconds; a date is ignored.
    """
    try:
        parsed = json.loads(body)
        reason, message = str(parsed.get("reason") or ""), str(parsed.get("message") or "")
    except (ValueError, AttributeError):
        reason, message = "", body[:200].decode(errors="replace")
    kind = _BY_STATUS.get(status, UnavailableError if status >= 500 else KubeError)
    if status == 500 and any(words in message for words in _UNFIT):
        kind = InvalidError
    seconds = float(retry_after) if retry_after and retry_after.isdecimal() else None
    return kind(status, reason, message, retry_after=seconds)


def same_schema_error(before: str, now: str) -> bool:
    """True if both messages are the same schema error.

    The API server names one of the fields that don't fit, and not always the same one; a caller that keeps the first message
    avoids a loop of status writes.
    """
    return _UNTYPED in before and before.partition(_UNTYPED)[0] == now.partition(_UNTYPED)[0]
