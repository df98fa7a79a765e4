"""The objects that a resource owns: made, healed and removed, and never anybody else's.

An object is a resource's own when the controller among its owner references has the resource's uid. A label can be put
on by anybody; a uid can't be guessed.
"""

from collections.abc import Iterable
from typing import Any

from litclaw.api import names
from litclaw.kube.cache import Key, compact, owner_of
from litclaw.kube.diff import is_settled
from litclaw.kube.errors import InvalidError
from litclaw.kube.resources import BY_KIND, SECRET
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.conditions import Blocked
from litclaw.render.metadata import Manifest, sealed

_OTHER_NAME = {
    "virtual-key": ", or let spec.key.secretName name another",
    "config": ", or let spec.config.configMapName name another",
}
_LOOK_AGAIN_SECONDS = 15.0
_GARBAGE_SECONDS = 2.0


async def look(context: Context, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
    """An object, compact: from the cache or, since the watches see only what carries our label, from the API."""
    if held := context.cache.get(kind, namespace, name):
        return held
    live = await context.kube.get(BY_KIND[kind], namespace, name)
    return compact({"kind": kind, **live}) if live else None


def check_ours(live: dict[str, Any] | None, wanted: Manifest, condition: str) -> None:
    """See that an object of that name is the resource's own, if there is one.

    Raises:
        Blocked: it is somebody else's, or of a deleted resource of the same name.
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
        message = f"{where} belongs to a deleted {owner.kind} of the same name and is about to go."
        raise Blocked(condition, "NameTaken", message, stalled=False, retry=_GARBAGE_SECONDS)
    whose = f"belongs to {owner.kind} {owner.name}" if owner else "wasn't made by Litclaw"
    other = _OTHER_NAME.get(meta["labels"][names.LABEL_COMPONENT], "")
    message = f"{where} exists and {whose}, so it is left as it is: delete or rename it{other}."
    raise Blocked(condition, "NameTaken", message, stalled=True, retry=_LOOK_AGAIN_SECONDS)


async def put(context: Context, manifest: Manifest, live: dict[str, Any] | None, condition: str) -> None:
    """Apply a manifest to the object that was looked at, or make it where there was none.

    A Secret that was looked at is written only where nobody has written it since: the cache may be behind, and what another
    process has put there isn't replaced; nor does a write that was given up, and is carried out late, put an old value back.

    Raises:
        Blocked: the API server refuses it, and will again.
        ConflictError: it has changed, or it is another object by now.
        KubeError: it couldn't be done now.
    """
    wanted = sealed(manifest)
    if live:
        same = ("uid", "resourceVersion") if manifest["kind"] == SECRET.kind else ("uid",)
        wanted["metadata"] = {**wanted["metadata"], **{each: live["metadata"][each] for each in same}}
    try:
        # Without force at first: a field that somebody else has set meanwhile is then a conflict, not overwritten.
        await context.write(wanted, force=live is not None)
    except InvalidError as error:
        meta = manifest["metadata"]
        message = f"{manifest['kind']} {meta['namespace']}/{meta['name']} is refused by the API server: {error.message}"
        raise Blocked(condition, "Refused", message, stalled=True, retry=60.0) from None


async def ensure(context: Context, manifest: Manifest, condition: str) -> dict[str, Any]:
    """Have an object as it should be; nothing is written where it already is.

    Returns:
        The object, compact.

    Raises:
        Blocked: see `check_ours` and `put`.
    """
    meta = manifest["metadata"]
    key = (manifest["kind"], meta["namespace"], meta["name"])
    live = await look(context, *key)
    check_ours(live, manifest, condition)
    if live is None or not is_settled(live, sealed(manifest)):
        await put(context, manifest, live, condition)
    return context.cache.get(*key) or live or {}


async def remove_others(context: Context, owner_uid: str, wanted: Iterable[Key], kinds: Iterable[str]) -> None:
    """Remove a resource's objects of some kinds that aren't wanted any more."""
    keep, among = set(wanted), set(kinds)
    for body in context.cache.children(owner_uid):
        meta = body["metadata"]
        key = (body["kind"], meta["namespace"], meta["name"])
        if body["kind"] in among and key not in keep and "deletionTimestamp" not in meta:
            await context.kube.delete(BY_KIND[body["kind"]], meta["namespace"], meta["name"], uid=meta["uid"])
