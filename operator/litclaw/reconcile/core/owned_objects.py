"""The objects that a resource owns: applied, repaired and removed, and never an object that another owns.

A resource owns an object if the controller among its owner references has the resource's uid. Anybody can set a label;
nobody can guess a uid.
"""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from litclaw.api import names
from litclaw.api.base import ObjectMeta
from litclaw.kube.cache import Key, compact, owner_of
from litclaw.kube.diff import answer_of, is_settled
from litclaw.kube.errors import ConflictError, InvalidError
from litclaw.kube.resources import BY_KIND, SECRET
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.cluster import Cluster
from litclaw.reconcile.core.conditions import Blocked, ConditionType
from litclaw.render.metadata import Manifest, sealed

REFUSED = "Refused"
"""Reason of a condition: the API server refuses an object, and will again."""
_NO_OBJECT = "1"
"""A resource version that no object has. An apply with it creates the object, and is a conflict where there is one
(measured with Kubernetes 1.36.3), so that nothing is read before."""
_OTHER_NAME = {
    "virtual-key": ", or let spec.key.secretName name another",
    "config": ", or let spec.config.configMapName name another",
}


async def get_live(cluster: Cluster, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
    """An object, compact: from the cache or, because the cache has only objects that we own, from the API server."""
    if cached := cluster.cache.get(kind, namespace, name):
        return cached
    live = await cluster.kube.get(BY_KIND[kind], namespace, name)
    return compact({"kind": kind, **live}) if live else None


def check_ours(live: dict[str, Any] | None, wanted: Manifest, condition: ConditionType) -> None:
    """Check that the resource owns the object of that name, if there is one.

    Raises:
        Blocked: another owner has it, or a deleted resource of the same name.
    """
    if live is None:
        return
    [reference] = wanted["metadata"]["ownerReferences"]
    owner = owner_of(live["metadata"])
    if owner and owner.uid == reference["uid"]:
        return
    meta = wanted["metadata"]
    where = f"{wanted['kind']} {meta['namespace']}/{meta['name']}"
    if owner and (owner.kind, owner.name) == (reference["kind"], reference["name"]):
        message = f"{where} belongs to a deleted {owner.kind} of the same name and is about to be deleted."
        raise Blocked(condition, "NameTaken", message, stalled=False, retry=intervals.GARBAGE_COLLECTION)
    whose = f"belongs to {owner.kind} {owner.name}" if owner else "wasn't made by Litclaw"
    other = _OTHER_NAME.get(meta["labels"][names.LABEL_COMPONENT], "")
    message = f"{where} exists and {whose}, so it is left as it is: delete or rename it{other}."
    raise Blocked(condition, "NameTaken", message, stalled=True, retry=intervals.NAME_TAKEN)


async def apply(
    cluster: Cluster, manifest: Manifest, live: dict[str, Any] | None, condition: ConditionType
) -> dict[str, Any]:
    """Apply a manifest to the object that was read, or create it.

    A Secret that was read is written only in that version: the cache may be behind, and a value that another process has
    written isn't replaced. For the same reason a write that was given up and is carried out late can't restore an old value.

    Args:
        live: the object as it was read; None: there is none, or it isn't known.

    Returns:
        The object as it is now.

    Raises:
        Blocked: the API server refuses it, and will again.
        ConflictError: the object has changed, it is another one by now, or it exists and wasn't read.
        KubeError: it can't be done now.
    """
    return await _apply(cluster, sealed(manifest), live, condition, dry_run=False)


async def check_applicable(
    cluster: Cluster, manifest: Manifest, live: dict[str, Any] | None, condition: ConditionType
) -> None:
    """Check that the API server would accept a manifest, without applying it.

    Args:
        live: see `apply`.

    Raises:
        Blocked, ConflictError, KubeError: see `apply`.
    """
    await _apply(cluster, sealed(manifest), live, condition, dry_run=True)


async def _apply(
    cluster: Cluster, wanted: Manifest, live: dict[str, Any] | None, condition: ConditionType, *, dry_run: bool
) -> dict[str, Any]:
    meta = wanted["metadata"]
    if live:
        same = ("uid", "resourceVersion") if wanted["kind"] == SECRET.kind else ("uid",)
        of_live = {each: live["metadata"][each] for each in same}
    else:
        of_live = {"resourceVersion": _NO_OBJECT}
    wanted = {**wanted, "metadata": {**meta, **of_live}}
    try:
        return await (cluster.kube.apply(wanted, dry_run=True) if dry_run else cluster.write(wanted))
    except InvalidError as error:
        message = f"{wanted['kind']} {meta['namespace']}/{meta['name']} is refused by the API server: {error.message}"
        raise Blocked(condition, REFUSED, message, stalled=True, retry=intervals.REFUSED) from None


async def ensure(
    cluster: Cluster, manifest: Manifest, condition: ConditionType, *, is_new: bool = False
) -> dict[str, Any]:
    """Apply a manifest unless the object is as it should be already.

    Args:
        is_new: the resource is new, so the object is created at once and read only if it exists.

    Returns:
        The object, compact.

    Raises:
        Blocked: see `check_ours` and `apply`.
    """
    meta = manifest["metadata"]
    key = (manifest["kind"], meta["namespace"], meta["name"])
    if is_new and cluster.cache.get(*key) is None:
        with contextlib.suppress(ConflictError):
            return _remembered(cluster, manifest, await apply(cluster, manifest, None, condition))
    live = await get_live(cluster, *key)
    check_ours(live, manifest, condition)
    if live is None or not is_unchanged(cluster, live, manifest):
        written = _remembered(cluster, manifest, await apply(cluster, manifest, live, condition))
        return cluster.cache.get(*key) or written
    return live


def is_unchanged(cluster: Cluster, live: Mapping[str, Any], manifest: Manifest) -> bool:
    """True if an object is as the manifest wants it, or as the API server has made it of the manifest.

    Args:
        live: compact.
    """
    wanted = sealed(manifest)
    answer = cluster.cache.answers.get(live["metadata"]["uid"])
    return is_settled(live, wanted) or (answer is not None and answer == answer_of(live, wanted))


def _remembered(cluster: Cluster, manifest: Manifest, response: Mapping[str, Any]) -> dict[str, Any]:
    """The response to an apply, compact. It is remembered where it isn't what was applied."""
    written, wanted = compact(response), sealed(manifest)
    uid = written["metadata"]["uid"]
    if is_settled(written, wanted):
        cluster.cache.answers.pop(uid, None)
    else:
        cluster.cache.answers[uid] = answer_of(written, wanted)
    return written


async def remove_others(cluster: Cluster, owner: ObjectMeta, wanted: Iterable[Key], kinds: Iterable[str]) -> None:
    """Delete the objects of some kinds that a resource owns and no longer wants."""
    keep, among = set(wanted), set(kinds)
    for body in cluster.cache.owned_by(owner.namespace, owner.uid):
        meta = body["metadata"]
        key = (body["kind"], meta["namespace"], meta["name"])
        if body["kind"] in among and key not in keep and "deletionTimestamp" not in meta:
            await cluster.kube.delete(BY_KIND[body["kind"]], meta["namespace"], meta["name"], uid=meta["uid"])
