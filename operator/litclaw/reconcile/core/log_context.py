"""Which resource the work at hand is about: on every log line of a pass, whoever writes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Subject = tuple[str, str, str]
"""Kind, namespace, name."""

_SUBJECT: ContextVar[Subject | None] = ContextVar("subject", default=None)


@contextmanager
def about(subject: Subject) -> Iterator[None]:
    """Everything within is about a resource."""
    token = _SUBJECT.set(subject)
    try:
        yield
    finally:
        _SUBJECT.reset(token)


def subject() -> Subject | None:
    """The resource that the work at hand is about, if any."""
    return _SUBJECT.get()
