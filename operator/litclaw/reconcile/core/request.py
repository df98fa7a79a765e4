"""The request: the unit of work in the queue."""

Request = tuple[str, str, str]
"""A resource to reconcile: kind, namespace, name."""
