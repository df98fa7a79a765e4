"""The resource that the running pass is about: it is on every log line of the pass, whichever module logs."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from litclaw.reconcile.core.queue import Request

_REQUEST: ContextVar[Request | None] = ContextVar("request", default=None)


@contextmanager
def log_context(request: Request) -> Iterator[None]:
    """Log lines within are about a resource."""
    token = _REQUEST.set(request)
    try:
        yield
    finally:
        _REQUEST.reset(token)


def logged_request() -> Request | None:
    """The resource that log lines are about now, if any."""
    return _REQUEST.get()
