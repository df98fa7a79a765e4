"""What the operator of this release may do, for `litclaw doctor`. A test holds it to what deploy/ grants."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from litclaw.api import names


class Permission(NamedTuple):
    """One verb on one resource.

    Attributes:
        group: API group; empty: the core's.
        resource: its plural name, with its subresource after a slash.
        verb: get, list, watch, create, patch, update or delete.
        name: of the only object that is meant; empty: any.
    """

    group: str
    resource: str
    verb: str
    name: str = ""

    def __str__(self) -> str:
        """As a person would say it."""
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


def _each(group: str, resources: str, verbs: str, name: str = "") -> Iterator[Permission]:
    for resource in resources.split():
        for verb in verbs.split():
            yield Permission(group, resource, verb, name)


_MAKES: Final = "get list watch create patch delete"
_KEEPS: Final = "get list watch create patch"
IN_NAMESPACES: Final = (
    *_each(names.GROUP, "litellmroutes openclawagents", "list watch patch"),
    *_each(names.GROUP, "litellmroutes/status openclawagents/status", "patch"),
    *_each(names.GROUP, "litellmroutes/finalizers openclawagents/finalizers", "update"),
    *_each("", "secrets configmaps services", _MAKES),
    *_each("apps", "deployments", _MAKES),
    *_each("batch", "jobs", _MAKES),
    *_each("autoscaling", "horizontalpodautoscalers", _MAKES),
    *_each("policy", "poddisruptionbudgets", _MAKES),
    *_each("networking.k8s.io", "networkpolicies", _MAKES),
    *_each("", "persistentvolumeclaims", _KEEPS),
    *_each("apps", "statefulsets", _KEEPS),
    *_each("monitoring.coreos.com", "podmonitors", _MAKES),
    *_each("", "events", "create patch"),
    *_each("", "namespaces", "get"),
)
"""In every namespace where it acts."""
IN_CLUSTER: Final = (
    *_each(names.GROUP, "litellmkeyrotations", "list watch"),
    *_each(names.GROUP, "litellmkeyrotations/status", "patch"),
    *_each("", "namespaces", "list watch"),
    *_each("apiextensions.k8s.io", "customresourcedefinitions", "list watch"),
)
"""On top, where it acts in the whole cluster."""
LEADING: Final = (
    *_each("coordination.k8s.io", "leases", "create"),
    *_each("coordination.k8s.io", "leases", "get update", name="litclaw"),
)
"""In its own namespace, by which it elects a leader."""
