"""What no watch tells: what has gone while a watch started anew, and namespaces that may only be read one by one."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from litclaw.handlers.requests import requests_for
from litclaw.kube.cache import Cache
from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError, UnavailableError
from litclaw.kube.resources import NAMESPACE, Resource
from litclaw.reconcile.context import Request

log = logging.getLogger(__name__)

RESYNC_SECONDS = 600.0
NAMESPACES_SECONDS = 30.0


async def resync(
    kube: Kube,
    cache: Cache,
    wake: Callable[[Request], None],
    doors: Iterable[Resource],
    namespaces: tuple[str, ...],
) -> None:
    """Compare the cache with a full list now and then, until cancelled."""
    while True:
        await asyncio.sleep(RESYNC_SECONDS)
        for door in doors:
            try:
                uids, version = await list_uids(kube, door, namespaces)
            except KubeError as error:
                log.warning("%s can't be listed: %s", door.plural, error)
                continue
            for body in cache.prune(door.kind, uids, version):
                for key in requests_for(cache, body):
                    wake(key)


async def list_uids(kube: Kube, door: Resource, namespaces: tuple[str, ...]) -> tuple[set[str], int]:
    """The uids of what is watched of a kind, and the resource version that the list is at least of."""
    if not namespaces:
        return await kube.uids(door)
    lists = [await kube.uids(door, namespace=namespace) for namespace in namespaces]
    return {uid for uids, _ in lists for uid in uids}, min(version for _, version in lists)


async def read_namespaces(kube: Kube, cache: Cache, wake: Callable[[Request], None], namespaces: Iterable[str]) -> bool:
    """Read the named namespaces, since a watch on namespaces would be on all.

    Returns:
        Whether all is known that can be: False where the API server didn't answer.
    """
    complete = True
    for name in namespaces:
        try:
            body = await kube.get(NAMESPACE, None, name)
        except KubeError as error:
            complete = complete and not isinstance(error, UnavailableError)
            log.warning("namespace %s can't be read, so its labels aren't known: %s", name, error)
            continue
        before = cache.get(NAMESPACE.kind, "", name)
        if body:
            cache.observe({"apiVersion": NAMESPACE.api_version, "kind": NAMESPACE.kind, **body})
        elif before:
            cache.forget(before)
        after = cache.get(NAMESPACE.kind, "", name)
        if after is not before and (found := after or before):
            for key in requests_for(cache, found):
                wake(key)
    return complete
