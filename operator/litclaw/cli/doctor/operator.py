"""The operator: its pods, its release, its leader, and its permissions."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litclaw import __version__
from litclaw.api import names
from litclaw.cli.doctor.check import Check, fail, objects, ok, skip, warn
from litclaw.cli.doctor.permissions import IN_CLUSTER, IN_NAMESPACES, LEADING, Permission
from litclaw.cli.output import age, plural
from litclaw.cli.view import now, parse_time, title
from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError
from litclaw.kube.resources import ACCESS_REVIEW, DEPLOYMENT, LEASE

OPERATOR_LABELS = f"{names.LABEL_NAME}={names.MANAGED_BY}"
"""Of the operator's own Deployment."""
_INSTALL = "kubectl apply --server-side -k deploy/default"
_LEASE = "litclaw"
_SYSTEM = "kube-system"
_CONCURRENCY = 16
_MOST_MISSING = 5


@dataclass(frozen=True, slots=True)
class OperatorDeployment:
    """The operator's Deployment, and the options of its command."""

    body: Mapping[str, Any]

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.body["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["metadata"]["name"])

    @property
    def _pod(self) -> Mapping[str, Any]:
        pod: Mapping[str, Any] = self.body["spec"]["template"]["spec"]
        return pod

    @property
    def account(self) -> str:
        """The name of its service account."""
        return str(self._pod.get("serviceAccountName") or "default")

    @property
    def image(self) -> str:
        """Its image."""
        return str(self._pod["containers"][0]["image"])

    @property
    def _args(self) -> list[str]:
        return [str(each) for each in self._pod["containers"][0].get("args") or []]

    def option(self, name: str) -> str:
        """The value of an option; empty: it isn't set."""
        for index, arg in enumerate(self._args):
            option, equals, value = arg.partition("=")
            if option == name:
                return value if equals else next(iter(self._args[index + 1 : index + 2]), "")
        return ""

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that it watches; empty: all."""
        return tuple(sorted({name.strip() for name in self.option("--namespaces").split(",")} - {""}))

    @property
    def elects(self) -> bool:
        """Whether it elects a leader."""
        return "--no-leader-elect" not in self._args


async def find_operator(kube: Kube, namespace: str | None) -> tuple[OperatorDeployment | None, list[Check]]:
    """The operator's Deployment, and problems with finding it.

    Args:
        namespace: its namespace; None: all are searched.
    """
    name = "operator"
    if namespace:
        found: Any = await kube.objects(DEPLOYMENT, namespace, labels=OPERATOR_LABELS)
    else:
        found = await objects(kube, DEPLOYMENT, labels=OPERATOR_LABELS)
    if isinstance(found, str):
        remedy = "Name its namespace with --operator-namespace, or ask the cluster's administrator."
        return None, [skip(name, "you aren't allowed to list Deployments in all namespaces", remedy)]
    if not found:
        where = f"in namespace {namespace}" if namespace else "in the cluster"
        return None, [fail(name, f"there is no Deployment with label {OPERATOR_LABELS} {where}", _INSTALL)]
    if len(found) > 1:
        remedy = "Two operators for the same namespaces undo each other's work. Choose one with --operator-namespace."
        return OperatorDeployment(found[0]), [warn(name, f"there are several: {', '.join(map(title, found))}", remedy)]
    return OperatorDeployment(found[0]), []


def check_operator(found: OperatorDeployment) -> list[Check]:
    """Whether its pods are ready, and its release."""
    spec, status = found.body["spec"], found.body.get("status") or {}
    wanted, ready = int(spec.get("replicas", 1)), int(status.get("readyReplicas") or 0)
    where = f"Deployment {found.namespace}/{found.name}"
    inspect = (
        f"kubectl -n {found.namespace} describe pods -l {OPERATOR_LABELS}; "
        f"kubectl -n {found.namespace} logs deployment/{found.name}"
    )
    scope = f", for {', '.join(found.namespaces)}" if found.namespaces else ""
    if wanted == 0:
        remedy = f"kubectl -n {found.namespace} scale deployment/{found.name} --replicas=1"
        pods = fail("operator", f"{where} is scaled to zero", remedy)
    elif ready == 0:
        pods = fail("operator", f"no pod of {where} is ready", inspect)
    elif ready < wanted:
        pods = warn("operator", f"{ready} of {plural(wanted, 'pod')} of {where} ready", inspect)
    else:
        pods = ok("operator", f"{where}, {plural(ready, 'pod')} ready{scope}")
    return [pods, _check_release(found)]


def _check_release(found: OperatorDeployment) -> Check:
    tag = found.image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    release = tag.removeprefix("v")
    if release == __version__:
        return ok("release", f"{found.image}, as this litclaw")
    if not release[:1].isdigit():
        return ok("release", f"{found.image}, whose tag names no release")
    remedy = "Use a litclaw of the operator's release: other releases render other objects and have other CRDs."
    return warn("release", f"{found.image}, and this litclaw is {__version__}", remedy)


async def check_lease(kube: Kube, found: OperatorDeployment) -> list[Check]:
    """Whether there is a leader, if the operator elects one."""
    name = "leader"
    try:
        lease = await kube.get(LEASE, found.namespace, _LEASE)
    except KubeError as error:
        if error.status != 403:
            raise
        return [skip(name, f"you aren't allowed to read Leases in {found.namespace}")]
    if lease is None:
        return []
    spec = lease["spec"]
    holder = spec.get("holderIdentity")
    logs = f"kubectl -n {found.namespace} logs -l {OPERATOR_LABELS} --prefix --tail=20"
    if not holder:
        return [fail(name, f"Lease {found.namespace}/{_LEASE} has no holder", logs)]
    renewed = parse_time(spec.get("renewTime"))
    duration = float(spec.get("leaseDurationSeconds") or 15)
    seconds = (now() - renewed).total_seconds() if renewed else 0.0
    if seconds > 4 * duration:  # tolerates some difference between this machine's clock and the cluster's
        return [fail(name, f"{holder} leads, but last renewed its Lease {age(seconds)} ago", logs)]
    pod = holder.partition("_")[0]  # a random suffix identifies the process
    return [ok(name, f"{pod} holds Lease {found.namespace}/{_LEASE}")]


async def check_permissions(kube: Kube, found: OperatorDeployment) -> Check:
    """Whether the operator's service account has the permissions that this release uses."""
    name = "permissions"
    user = f"system:serviceaccount:{found.namespace}:{found.account}"
    wanted = [(each, found.namespace) for each in LEADING] if found.elects else []
    if found.namespaces:
        wanted += [(each, namespace) for each in IN_NAMESPACES for namespace in found.namespaces]
        if not found.option("--cluster-id"):
            wanted.append((Permission("", "namespaces", "get", _SYSTEM), _SYSTEM))  # its uid identifies the cluster
    else:
        wanted += [(each, "") for each in (*IN_NAMESPACES, *IN_CLUSTER)]
    limit = asyncio.Semaphore(_CONCURRENCY)

    async def may(permission: Permission, namespace: str) -> bool:
        async with limit:
            return await _may(kube, user, found.namespace, permission, namespace)

    try:
        answers = await asyncio.gather(*(may(*each) for each in wanted))
    except KubeError as error:
        if error.status != 403:
            raise
        remedy = "It takes the permission to create subjectaccessreviews, which changes nothing in the cluster."
        return skip(name, f"you aren't allowed to check what {user} may do", remedy)
    missing = [_text_of(*each) for each, allowed in zip(wanted, answers, strict=True) if not allowed]
    if missing:
        more = f" and {len(missing) - _MOST_MISSING} more" if len(missing) > _MOST_MISSING else ""
        return fail(name, f"{user} may not {'; '.join(missing[:_MOST_MISSING])}{more}", _INSTALL)
    return ok(name, f"{user} may do all that this release does ({plural(len(wanted), 'verb')})")


def _text_of(permission: Permission, namespace: str) -> str:
    return f"{permission}{f' in {namespace}' if namespace else ''}"


async def _may(kube: Kube, user: str, home: str, permission: Permission, namespace: str) -> bool:
    """True if the API server would allow it.

    Args:
        home: the namespace of the service account.
        namespace: where; empty: in the whole cluster.
    """
    resource, _, subresource = permission.resource.partition("/")
    attributes = {
        "group": permission.group,
        "resource": resource,
        "subresource": subresource,
        "verb": permission.verb,
        "namespace": namespace,
        "name": permission.name,
    }
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{home}", "system:authenticated"]
    review = {
        "apiVersion": ACCESS_REVIEW.api_version,
        "kind": ACCESS_REVIEW.kind,
        "metadata": {},
        "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
    }
    answer = await kube.create(review)
    return bool((answer.get("status") or {}).get("allowed"))
