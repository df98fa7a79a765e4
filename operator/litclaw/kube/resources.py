"""The kinds that the operator reads and writes, and where the API serves them."""

from dataclasses import dataclass
from typing import Final

from litclaw.api import names


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind: its apiVersion and its plural name."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of one object or, without a name, of the collection."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{scope}/{self.plural}{tail}"


ROUTE: Final = Resource(names.API_VERSION, names.ROUTE_KIND, names.ROUTE_PLURAL)
AGENT: Final = Resource(names.API_VERSION, names.AGENT_KIND, names.AGENT_PLURAL)
ROTATION: Final = Resource(names.API_VERSION, names.ROTATION_KIND, names.ROTATION_PLURAL, namespaced=False)
SECRET: Final = Resource("v1", "Secret", "secrets")
CONFIG_MAP: Final = Resource("v1", "ConfigMap", "configmaps")
SERVICE: Final = Resource("v1", "Service", "services")
VOLUME_CLAIM: Final = Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
EVENT: Final = Resource("v1", "Event", "events")
NAMESPACE: Final = Resource("v1", "Namespace", "namespaces", namespaced=False)
LEASE: Final = Resource("coordination.k8s.io/v1", "Lease", "leases")
DEPLOYMENT: Final = Resource("apps/v1", "Deployment", "deployments")
STATEFUL_SET: Final = Resource("apps/v1", "StatefulSet", "statefulsets")
JOB: Final = Resource("batch/v1", "Job", "jobs")
AUTOSCALER: Final = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
DISRUPTION_BUDGET: Final = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY: Final = Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
POD_MONITOR: Final = Resource("monitoring.coreos.com/v1", "PodMonitor", "podmonitors")
"""Not every cluster knows this kind: see `Kube.serves`."""

POD: Final = Resource("v1", "Pod", "pods")
"""Listed where a workload isn't available, to find the cause, and never watched."""

# Only the command line reads these.
DEFINITION: Final = Resource(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
ACCESS_REVIEW: Final = Resource(
    "authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False
)

OWNED_KINDS: Final = (
    SECRET,
    CONFIG_MAP,
    SERVICE,
    VOLUME_CLAIM,
    DEPLOYMENT,
    STATEFUL_SET,
    JOB,
    AUTOSCALER,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    POD_MONITOR,
)
"""The kinds of objects that the operator creates for its resources, and watches."""

BY_KIND: Final = {r.kind: r for r in (ROUTE, AGENT, ROTATION, EVENT, NAMESPACE, LEASE, ACCESS_REVIEW, *OWNED_KINDS)}
