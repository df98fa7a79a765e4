"""The permissions that the operator of this release uses, for `litclaw doctor`. A test compares them with deploy/."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from litclaw.api import names


class Permission(NamedTuple):
    """One verb on one resource.

    Attributes:
        group: API group; empty: the core group.
        resource: plural name, with a subresource after a slash.
        verb: get, list, watch, create, patch, update or delete.
        name: of the only object; empty: any.
    """

    group: str
    resource: str
    verb: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


def _each(group: str, resources: str, verbs: str, name: str = "") -> Iterator[Permission]:
    for resource in resources.split():
        for verb in verbs.split():
            yield Permission(group, resource, verb, name)


_OWNS: Final = "get list watch create patch delete"
_NEVER_DELETES: Final = "get list watch create patch"
IN_NAMESPACES: Final = (
    *_each(names.GROUP, "litellmroutes openclawagents", "get list watch patch"),
    *_each(names.GROUP, "litellmroutes/status openclawagents/status", "patch"),
    *_each(names.GROUP, "litellmroutes/finalizers openclawagents/finalizers", "update"),
    *_each("", "secrets configmaps services", _OWNS),
    *_each("apps", "deployments", _OWNS),
    *_each("batch", "jobs", _OWNS),
    *_each("autoscaling", "horizontalpodautoscalers", _OWNS),
    *_each("policy", "poddisruptionbudgets", _OWNS),
    *_each("networking.k8s.io", "networkpolicies", _OWNS),
    *_each("", "persistentvolumeclaims", _NEVER_DELETES),
    *_each("apps", "statefulsets", _NEVER_DELETES),
    *_each("monitoring.coreos.com", "podmonitors", _OWNS),
    *_each("", "events", "list create"),
    *_each("", "pods", "list"),
    *_each("", "namespaces", "get"),
)
"""In every namespace that it watches."""
IN_CLUSTER: Final = (
    *_each(names.GROUP, "litellmkeyrotations", "list watch"),
    *_each(names.GROUP, "litellmkeyrotations/status", "patch"),
    *_each("", "namespaces", "list watch"),
    *_each("apiextensions.k8s.io", "customresourcedefinitions", "list watch"),
)
"""In addition, if it watches the whole cluster."""
LEADING: Final = (
    *_each("coordination.k8s.io", "leases", "create"),
    *_each("coordination.k8s.io", "leases", "get update", name="litclaw"),
)
"""In its own namespace, for leader election."""
