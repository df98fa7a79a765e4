"""The watches: they fill the cache and say what has changed.

kopf is used for what it is best at, long-lived watches that survive everything, of what people write: routes, rotations,
namespaces. Its handlers for creation and update aren't used: they patch finalizers, progress and the last-handled
configuration onto the resources, which costs several writes an object, and a level-triggered reconcile has no use for
them. What comes in thousands, agents and what is made for them, is seen by a `Informer`.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast

import aiohttp
import kopf

from litclaw.api import names
from litclaw.handlers.requests import requests_for
from litclaw.kube.cache import Cache
from litclaw.kube.client import Kube
from litclaw.kube.informer import Informer
from litclaw.kube.resources import AGENT, NAMESPACE, OWNED_KINDS, ROTATION, ROUTE, Resource
from litclaw.reconcile.context import Request

DOORS = (ROUTE, ROTATION, NAMESPACE)
MANY = (AGENT, *OWNED_KINDS)
_BACKOFFS = (1, 1, 2, 3, 5, 8, *[10] * 180)
"""After how many seconds a refused request is made again. After the last, kopf ends the process: so that is after half an
hour. By its own, it is after 54 s; and a process that that keeps ending is restarted later and later."""
_ASKED_AGAIN = (409, 410)
"""Answers after which kopf doesn't make a request again by itself, as it does after 403, 429 and 5xx."""
OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
"""Of the children's kinds, only those are watched that carry our label: other people's Secrets never reach us."""


class Watches:
    """The watches of one process.

    Args:
        wake: is told which resource an observed object concerns.
        namespaces: where to watch; empty: in the whole cluster.
    """

    def __init__(self, cache: Cache, wake: Callable[[Request], None], namespaces: tuple[str, ...] = ()) -> None:
        self._cache = cache
        self._wake = wake
        self._namespaces = namespaces
        self.doors = tuple(door for door in DOORS if door.namespaced or not namespaces)
        self.filled = asyncio.Event()
        """Set when the cache holds all that there was at the start."""
        self.few_filled = asyncio.Event()
        """Set when that is so for what kopf watches."""

    async def run(self, kube: Kube, stop: asyncio.Event, started: asyncio.Event) -> None:
        """Watch until told to stop or, before ``started`` is set, by a signal."""
        informers = [
            Informer(kube, kind, where, "" if kind is AGENT else OURS, see=self._see, prune=self._prune)
            for kind in MANY
            for where in self._namespaces or ("",)
        ]
        operator = kopf.operator(
            registry=self._registry(),
            settings=self._settings(),
            standalone=True,
            # kopf's own guess asks who the user is, and a container's has no name.
            identity=cast(Any, socket.gethostname()),
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=stop,
            ready_flag=started,
        )
        watching = [asyncio.ensure_future(each) for each in (operator, *(each.run() for each in informers))]
        filling = asyncio.create_task(self._fill(informers))
        try:
            done, _ = await asyncio.wait(watching, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in (filling, *watching):
                each.cancel()
            await asyncio.wait([filling, *watching])

    async def _fill(self, informers: Iterable[Informer]) -> None:
        await self.few_filled.wait()
        for each in informers:
            await each.listed.wait()
        self.filled.set()

    def _see(self, event: str | None, body: Mapping[str, Any]) -> None:
        if self._cache.waits(body, partial(self._see, event, body)):
            return
        news = self._cache.is_news(body) or event == "DELETED"
        if event == "DELETED":
            self._cache.forget(body)
        else:
            self._cache.observe(body)
        for key in requests_for(self._cache, body):
            # A pass is done with what it has written; but a route's goes on by what its pods make of it.
            if news or (key[0] == ROUTE.kind and body["kind"] != ROUTE.kind):
                self._wake(key)

    def _prune(self, kind: Resource, namespace: str, uids: set[str], version: int) -> None:
        for body in self._cache.prune(kind.kind, uids, version, namespace):
            for key in requests_for(self._cache, body):
                self._wake(key)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_login)
        for door in self.doors:
            group, _, version = door.api_version.rpartition("/")
            selector = (group, version, door.plural)
            # An index is filled before any event is handled: by then, the cache holds all there is.
            kopf.index(*selector, id="cache", registry=registry)(self._index(door))
            kopf.on.event(*selector, id="wake", registry=registry)(self._event(door))
        return registry

    def _index(self, door: Resource) -> Any:
        async def cache(body: kopf.Body, **_: object) -> None:
            self._cache.observe(_plain(door, body))

        return cache

    def _event(self, door: Resource) -> Any:
        async def wake(body: kopf.Body, type: str | None, **_: object) -> None:
            self.few_filled.set()
            self._see(type, _plain(door, body))

        return wake

    def _settings(self) -> kopf.OperatorSettings:
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False
        settings.persistence.diffbase_storage = _NoState()
        settings.networking.error_backoffs = _BACKOFFS
        settings.scanning.disabled = bool(self._namespaces)  # CRDs and namespaces are the cluster's
        return settings


class _NoState(kopf.DiffBaseStorage):
    """For handlers that never ask what has changed: else kopf copies each object of each event, to find that out."""

    def build(self, **_: object) -> kopf.BodyEssence:
        """Nothing of an object."""
        return kopf.BodyEssence({})

    def fetch(self, **_: object) -> None:
        """Nothing was kept."""

    def store(self, **_: object) -> None:
        """Nothing is kept."""


def _plain(door: Resource, body: kopf.Body) -> Mapping[str, Any]:
    # Items of a list say neither apiVersion nor kind.
    return {"apiVersion": door.api_version, "kind": door.kind, **body}


async def _login(**given: Any) -> kopf.AiohttpSession | None:
    """The session that kopf would make itself, with a middleware."""
    info = kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)
    if info is None:
        return None
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        trust_env=bool(info.trust_env),
        middlewares=(_asked_again,),
    )
    return kopf.AiohttpSession(aiohttp_session=session, server=info.server, default_namespace=info.default_namespace)


async def _asked_again(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Have kopf ask again where it reads and is answered 409 or 410, which would end its watches, and so the process.

    Raises:
        aiohttp.ClientConnectionError: this, by which kopf tries a request again.
    """
    response = await handler(request)
    if response.status not in _ASKED_AGAIN or request.method != "GET" or "watch" in request.url.query:
        return response
    response.release()
    raise aiohttp.ClientConnectionError(f"{response.status} {response.reason} from the API server")
