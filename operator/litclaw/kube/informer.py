"""Kinds that come in thousands: listed a page at a time, then watched from there on.

kopf lists a kind in one request and gives each object a stream and a task of its own, each of which wakes all the others at
the start: with 10,000 agents that took minutes, and more memory than the pod has (measured; docs/design/reconciling.md).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from litclaw.kube.client import Kube
from litclaw.kube.errors import READ_AGAIN, GoneError, KubeError, NotFoundError
from litclaw.kube.resources import Resource
from litclaw.reconcile.core.queue import jittered

log = logging.getLogger(__name__)

_UNKNOWN_SECONDS = 10.0
_REFUSED_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.25
_LAST_PAUSE_SECONDS = 15.0

See = Callable[[str, Mapping[str, Any]], None]
"""Takes in what has happened to an object, ``ADDED``, ``MODIFIED`` or ``DELETED``, and how it is now."""
Prune = Callable[[Resource, str, set[str], int], None]
"""Is told of a kind, in a namespace or (empty) in all, the uids of all that there are, and as of which version."""


class Informer:
    """One kind, in one namespace or in all.

    Args:
        namespace: where; empty: in the whole cluster.
        labels: a label selector; empty: all.
    """

    def __init__(self, kube: Kube, resource: Resource, namespace: str, labels: str, *, see: See, prune: Prune) -> None:
        self._kube = kube
        self._resource = resource
        self._namespace = namespace
        self._labels = labels
        self._see = see
        self._prune = prune
        self.listed = asyncio.Event()
        """Set when all that there was at the start has been seen."""

    async def run(self) -> None:
        """Follow what happens, until cancelled."""
        while True:
            try:
                version = await self._list()
                self.listed.set()
                await self._follow(version)
            except NotFoundError:
                self.listed.set()  # the cluster doesn't know the kind, or not yet
                await asyncio.sleep(jittered(_UNKNOWN_SECONDS))
            except GoneError:
                await asyncio.sleep(jittered(_FIRST_PAUSE_SECONDS))
            except READ_AGAIN as error:
                log.warning("%s can't be listed: %s; it is tried again", self._resource.plural, error)
                await asyncio.sleep(jittered(_FIRST_PAUSE_SECONDS * 8))
            except KubeError as error:
                log.error("%s can't be watched: %s", self._resource.plural, error)
                await asyncio.sleep(jittered(_REFUSED_SECONDS))

    async def _list(self) -> int:
        """See all there is; returns the resource version of that.

        Raises:
            KubeError: it isn't known.
        """
        uids: set[str] = set()
        version = 0
        async for page, version in self._kube.pages(self._resource, self._namespace or None, labels=self._labels):
            for body in page:
                uids.add(body["metadata"]["uid"])
                self._see("ADDED", body)
        self._prune(self._resource, self._namespace, uids, version)
        return version

    async def _follow(self, version: int) -> None:
        """See what happens after a resource version.

        Raises:
            GoneError: that is too long ago, so that all has to be listed anew.
            KubeError: the API server refuses it.
        """
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                async for kind, body in self._kube.watch(
                    self._resource, self._namespace or None, version, labels=self._labels
                ):
                    version, pause = int(body["metadata"]["resourceVersion"]), _FIRST_PAUSE_SECONDS
                    if kind != "BOOKMARK":
                        self._see(kind, body)
            except GoneError:
                raise
            except READ_AGAIN as error:
                log.info("the watch of %s is opened again: %s", self._resource.plural, error)
                pause = min(pause * 2, _LAST_PAUSE_SECONDS)
            await asyncio.sleep(jittered(pause))
