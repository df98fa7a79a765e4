"""The operator: whether it runs, of which release it is, whether it leads, and whether it may do what it has to."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litclaw import __version__
from litclaw.api import names
from litclaw.cli.checks.check import Check, fail, objects, ok, skip, warn
from litclaw.cli.output import age, plural
from litclaw.cli.permissions import IN_CLUSTER, IN_NAMESPACES, LEADING, Permission
from litclaw.cli.view import moment, now
from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError
from litclaw.kube.resources import ACCESS_REVIEW, DEPLOYMENT, LEASE

OPERATOR_LABELS = f"{names.LABEL_NAME}={names.MANAGED_BY}"
"""Of the operator's own Deployment."""
_INSTALL = "kubectl apply --server-side -k deploy/default"
_LEASE = "litclaw"
_SYSTEM = "kube-system"
_AT_A_TIME = 16


@dataclass(frozen=True, slots=True)
class Found:
    """The operator's Deployment, and how it is told to run."""

    body: Mapping[str, Any]

    @property
    def namespace(self) -> str:
        """Where it is."""
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
        """Its service account."""
        return str(self._pod.get("serviceAccountName") or "default")

    @property
    def image(self) -> str:
        """Its image."""
        return str(self._pod["containers"][0]["image"])

    @property
    def _args(self) -> list[str]:
        return [str(each) for each in self._pod["containers"][0].get("args") or []]

    def option(self, name: str) -> str:
        """What it is told by an option; empty: nothing."""
        for index, arg in enumerate(self._args):
            option, equals, value = arg.partition("=")
            if option == name:
                return value if equals else next(iter(self._args[index + 1 : index + 2]), "")
        return ""

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Where it watches and acts; empty: in the whole cluster."""
        return tuple(sorted({name.strip() for name in self.option("--namespaces").split(",")} - {""}))

    @property
    def elects(self) -> bool:
        """Whether it works only as the leader."""
        return "--no-leader-elect" not in self._args


async def find_operator(kube: Kube, namespace: str | None) -> tuple[Found | None, list[Check]]:
    """The operator's Deployment.

    Args:
        namespace: where to look; None: in the whole cluster.
    """
    name = "operator"
    if namespace:
        found: Any = await kube.objects(DEPLOYMENT, namespace, labels=OPERATOR_LABELS)
    else:
        found = await objects(kube, DEPLOYMENT, labels=OPERATOR_LABELS)
    if isinstance(found, str):
        remedy = "Say where it is with --operator-namespace, or ask the cluster's administrator."
        return None, [skip(name, "you aren't allowed to list Deployments in all namespaces", remedy)]
    if not found:
        where = f"in namespace {namespace}" if namespace else "in the cluster"
        return None, [fail(name, f"there is no Deployment with label {OPERATOR_LABELS} {where}", _INSTALL)]
    if len(found) > 1:
        places = ", ".join(f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in found)
        remedy = (
            "Two operators over the same namespaces undo each other's work: --operator-namespace says which is meant."
        )
        return Found(found[0]), [warn(name, f"there are several: {places}", remedy)]
    return Found(found[0]), []


def check_operator(found: Found) -> list[Check]:
    """Whether it runs, and of which release it is."""
    spec, status = found.body["spec"], found.body.get("status") or {}
    wanted, ready = int(spec.get("replicas", 1)), int(status.get("readyReplicas") or 0)
    where = f"Deployment {found.namespace}/{found.name}"
    look = (
        f"kubectl -n {found.namespace} describe pods -l {OPERATOR_LABELS}; "
        f"kubectl -n {found.namespace} logs deployment/{found.name}"
    )
    scope = f", for {', '.join(found.namespaces)}" if found.namespaces else ""
    if wanted == 0:
        remedy = f"kubectl -n {found.namespace} scale deployment/{found.name} --replicas=1"
        running = fail("operator", f"{where} is scaled to zero", remedy)
    elif ready == 0:
        running = fail("operator", f"no pod of {where} is ready", look)
    elif ready < wanted:
        running = warn("operator", f"{ready} of {plural(wanted, 'pod')} of {where} ready", look)
    else:
        running = ok("operator", f"{where}, {plural(ready, 'pod')} ready{scope}")
    return [running, _check_release(found)]


def _check_release(found: Found) -> Check:
    tag = found.image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    release = tag.removeprefix("v")
    if release == __version__:
        return ok("release", f"{found.image}, as this litclaw")
    if not release[:1].isdigit():
        return ok("release", f"{found.image}, whose tag names no release")
    remedy = "Use a litclaw of the operator's release: what they render and what their CRDs have differs."
    return warn("release", f"{found.image}, and this litclaw is {__version__}", remedy)


async def check_lease(kube: Kube, found: Found) -> list[Check]:
    """Whether somebody leads, where several could."""
    name = "leader"
    try:
        lease = await kube.get(LEASE, found.namespace, _LEASE)
    except KubeError as error:
        if error.status != 403:
            raise
        return [skip(name, f"you aren't allowed to read Leases in {found.namespace}")]
    if lease is None:
        return []  # one that doesn't elect
    spec = lease["spec"]
    holder = spec.get("holderIdentity")
    look = f"kubectl -n {found.namespace} logs -l {OPERATOR_LABELS} --prefix --tail=20"
    if not holder:
        return [fail(name, f"nobody holds Lease {found.namespace}/{_LEASE}", look)]
    renewed = moment(spec.get("renewTime"))
    lasts = float(spec.get("leaseDurationSeconds") or 15)
    seconds = (now() - renewed).total_seconds() if renewed else 0.0
    if seconds > 4 * lasts:  # this machine's clock and the cluster's may differ
        return [fail(name, f"{holder} leads, and was last heard of {age(seconds)} ago", look)]
    # Behind the pod's name is what makes the process one of a kind.
    return [ok(name, f"{holder.partition('_')[0]} holds Lease {found.namespace}/{_LEASE}")]


async def check_permissions(kube: Kube, found: Found) -> Check:
    """Whether the operator's service account may do what this release does."""
    name = "permissions"
    user = f"system:serviceaccount:{found.namespace}:{found.account}"
    asked = [(each, found.namespace) for each in LEADING] if found.elects else []
    if found.namespaces:
        asked += [(each, where) for each in IN_NAMESPACES for where in found.namespaces]
        if not found.option("--cluster-id"):
            asked.append((Permission("", "namespaces", "get", _SYSTEM), _SYSTEM))  # whose uid stands for the cluster
    else:
        asked += [(each, "") for each in (*IN_NAMESPACES, *IN_CLUSTER)]
    limit = asyncio.Semaphore(_AT_A_TIME)

    async def may(permission: Permission, where: str) -> bool:
        async with limit:
            return await _may(kube, user, found.namespace, permission, where)

    try:
        answers = await asyncio.gather(*(may(*each) for each in asked))
    except KubeError as error:
        if error.status != 403:
            raise
        remedy = "It takes the right to create subjectaccessreviews, which changes nothing in the cluster."
        return skip(name, f"you aren't allowed to ask what {user} may do", remedy)
    lacking = [_said(*each) for each, allowed in zip(asked, answers, strict=True) if not allowed]
    if lacking:
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        return fail(name, f"{user} may not {'; '.join(lacking[:5])}{more}", _INSTALL)
    return ok(name, f"{user} may do all that this release does ({plural(len(asked), 'verb')})")


def _said(permission: Permission, where: str) -> str:
    return f"{permission}{f' in {where}' if where else ''}"


async def _may(kube: Kube, user: str, home: str, permission: Permission, where: str) -> bool:
    resource, _, subresource = permission.resource.partition("/")
    attributes = {
        "group": permission.group,
        "resource": resource,
        "subresource": subresource,
        "verb": permission.verb,
        "namespace": where,
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
