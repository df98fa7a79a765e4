"""Whether a route allows the agents of a namespace."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from litclaw.api.route import AllowedNamespaces
from litclaw.kube.resources import NAMESPACE
from litclaw.reconcile.core.cluster import Cluster


def allows_namespace(cluster: Cluster, route: Mapping[str, Any], namespace: str) -> bool | None:
    """True if a route allows a namespace; None if that depends on labels that can't be read.

    Args:
        route: the LiteLLMRoute as the cache has it.
    """
    try:
        allowed = AllowedNamespaces.model_validate(route["spec"].get("allowedNamespaces") or {})
    except ValidationError:
        return False  # the route's own condition says what is wrong with it
    body = cluster.cache.get(NAMESPACE.kind, "", namespace)
    labels = None if body is None else body["metadata"].get("labels") or {}
    return allows(allowed, route["metadata"]["namespace"], namespace, labels)


def allows(allowed: AllowedNamespaces, home: str, namespace: str, labels: Mapping[str, str] | None) -> bool | None:
    """True if a route allows the agents of a namespace; None if that depends on labels that aren't known.

    Args:
        allowed: the route's spec.allowedNamespaces.
        home: the route's own namespace.
        namespace: the agents'.
        labels: the namespace's; None: unknown.
    """
    if namespace == home or allowed.from_ == "All":
        return True
    if allowed.from_ == "Same" or allowed.selector is None:
        return False
    if labels is None:
        return None
    return all(labels.get(key) == value for key, value in allowed.selector.match_labels.items())
