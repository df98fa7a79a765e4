"""What the queue holds."""

Request = tuple[str, str, str]
"""A resource to reconcile: kind, namespace, name."""
