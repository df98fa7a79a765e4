"""What no watch reports.

kopf doesn't report which objects vanished while it listed a kind again, nor when its first list is complete. Both follow from
a list of uids, compared with the cache. And an operator for some namespaces may not watch namespaces: it reads each by name.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable

from litclaw.handlers.intake import Intake, requests_for
from litclaw.kube.cache import Cache
from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError, UnavailableError
from litclaw.kube.resources import NAMESPACE, Resource
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.queue import Request

log = logging.getLogger(__name__)

_POLLS_PER_LIST = 25


async def wait_until_cached(kube: Kube, cache: Cache, kinds: Iterable[Resource], namespaces: tuple[str, ...]) -> None:
    """Wait until the cache has every object that exists now, except those that are deleted meanwhile."""
    for kind in kinds:
        while True:
            try:
                wanted, _ = await _list_uids(kube, kind, namespaces)
            except KubeError as error:
                log.warning("%s can't be listed: %s", kind.plural, error)
                await asyncio.sleep(intervals.FILLED_POLL * _POLLS_PER_LIST)
                continue
            if await _all_cached(cache, kind, wanted):
                break


async def _all_cached(cache: Cache, kind: Resource, wanted: Collection[str]) -> bool:
    for _ in range(_POLLS_PER_LIST):
        cached = {body["metadata"]["uid"] for body in cache.all(kind.kind)}
        if cached >= set(wanted):
            return True
        await asyncio.sleep(intervals.FILLED_POLL)
    return False


async def keep_pruning(kube: Kube, intake: Intake, kinds: Iterable[Resource], namespaces: tuple[str, ...]) -> None:
    """Remove vanished objects from the cache now and then, until cancelled."""
    while True:
        await asyncio.sleep(intervals.UIDS_RESYNC)
        for kind in kinds:
            try:
                uids, version = await _list_uids(kube, kind, namespaces)
            except KubeError as error:
                log.warning("%s can't be listed: %s", kind.plural, error)
                continue
            intake.prune(kind, "", uids, version)


async def _list_uids(kube: Kube, kind: Resource, namespaces: tuple[str, ...]) -> tuple[set[str], int]:
    """The uids of a kind's objects, and the resource version that the list has at least."""
    if not namespaces:
        return await kube.uids(kind)
    lists = [await kube.uids(kind, namespace=namespace) for namespace in namespaces]
    return {uid for uids, _ in lists for uid in uids}, min(version for _, version in lists)


async def read_namespaces(
    kube: Kube, cache: Cache, enqueue: Callable[[Request], None], namespaces: Iterable[str]
) -> bool:
    """Read single namespaces into the cache.

    Returns:
        False if the API server didn't answer.
    """
    complete = True
    for name in namespaces:
        try:
            body = await kube.get(NAMESPACE, None, name)
        except KubeError as error:
            complete = complete and not isinstance(error, UnavailableError)
            log.warning("namespace %s can't be read, so its labels are unknown: %s", name, error)
            continue
        before = cache.get(NAMESPACE.kind, "", name)
        if body:
            cache.store({"apiVersion": NAMESPACE.api_version, "kind": NAMESPACE.kind, **body})
        elif before:
            cache.remove(before)
        after = cache.get(NAMESPACE.kind, "", name)
        if after is not before and (found := after or before):
            for request in requests_for(cache, found):
                enqueue(request)
    return complete
