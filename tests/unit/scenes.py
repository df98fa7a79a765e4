"""What tests of the reconcilers need: an API server in memory, a process's context, and a route whose proxy is a fake."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.api.models import OpenClawModel
from litclaw.api.route import KeyDefaults
from litclaw.kube.cache import Cache, Key, fingerprint, key_of
from litclaw.kube.client import Kube
from litclaw.kube.errors import ConflictError, InvalidError, UnavailableError
from litclaw.kube.resources import AGENT, ROTATION, ROUTE, Resource
from litclaw.litellm.breaker import Breaker
from litclaw.litellm.client import LiteLLM
from litclaw.litellm.keys import KeyRow, Limits, Mark
from litclaw.net.address import Reach
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.queue import Request
from litclaw.reconcile.proxy.connection import Access, Connection
from litclaw.reconcile.proxy.offer import Offer
from litclaw.reconcile.proxy.session import Credentials, ProxySession
from litclaw.render.metadata import encode
from litclaw.render.openclaw.config import model_facts
from litclaw.render.proxy_peer import address_peer

from .handled import MASTER, Handled, Handler
from .proxies import Clock, FakeProxy

Body = dict[str, Any]

URL = "http://10.0.0.1:4000"
"""Of the fake proxy: an address, so that nothing is resolved."""
MODEL = "gpt-4o"
_OWN_KINDS = (ROUTE.kind, AGENT.kind, ROTATION.kind)


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until a condition is true.

    Raises:
        TimeoutError: it doesn't become true.
    """
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


class FakeKube:
    """An API server in memory. Of routes, agents and rotations an apply changes our finalizer or the status only.

    Attributes:
        objects: by kind, namespace and name.
        applied: each applied manifest.
        events: each Event that was created.
        deleted: names of the deleted objects.
        reads: names of the objects that were read, one at a time.
        lists: how often a kind was listed.
        gives_up: kinds; the next write of such an object isn't carried out and has no response.
        given_up: those manifests.
        refuses: by kind, why such objects are refused.
        listed: kind of each list.
        write_seconds: how long a write takes.
    """

    def __init__(self, *objects: Body) -> None:
        self.objects: dict[Key, Body] = {key_of(each): each for each in objects}
        self.applied: list[Mapping[str, Any]] = []
        self.events: list[Mapping[str, Any]] = []
        self.deleted: list[str] = []
        self.reads: list[str] = []
        self.lists = 0
        self.gives_up: set[str] = set()
        self.given_up: list[Mapping[str, Any]] = []
        self.refuses: dict[str, str] = {}
        self.listed: list[str] = []
        self.write_seconds = 0.0
        self._version = 1_000

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body | None:
        """One object."""
        self.reads.append(name)
        return self.objects.get((resource.kind, namespace or "", name))

    async def uids(self, resource: Resource, *, labels: str = "", namespace: str | None = None) -> tuple[set[str], int]:
        """The uids of a kind."""
        self.lists += 1
        found = [body for (kind, space, _), body in self.objects.items() if kind == resource.kind]
        uids = {each["metadata"]["uid"] for each in found if namespace in (None, each["metadata"].get("namespace"))}
        return uids, self._version

    async def metadata(self, resource: Resource, namespace: str | None = None) -> list[Body]:
        """The metadata of a kind's objects."""
        found = [body for (kind, space, _), body in self.objects.items() if kind == resource.kind]
        return [
            {"kind": resource.kind, "metadata": body["metadata"]}
            for body in found
            if namespace in (None, body["metadata"].get("namespace"))
        ]

    async def select(
        self,
        resource: Resource,
        namespace: str,
        *,
        labels: str = "",
        fields: str = "",
        wanted: Callable[[Body], bool] = lambda body: True,
    ) -> list[Body]:
        """The objects of a kind by labels, or an object's Events."""
        self.listed.append(resource.kind)
        selector = dict(each.split("=") for each in labels.split(",") if each)
        uid = fields.partition("involvedObject.uid=")[2].partition(",")[0]
        return [
            body
            for (kind, space, _), body in self.objects.items()
            if (kind, space) == (resource.kind, namespace)
            and selector.items() <= body["metadata"].get("labels", {}).items()
            and (not uid or body["involvedObject"]["uid"] == uid)
            and wanted(body)
        ]

    async def apply(
        self, manifest: Mapping[str, Any], *, subresource: str | None = None, dry_run: bool = False, **_: object
    ) -> Body:
        """Apply a manifest, unless its uid or resource version isn't the object's. A new object may have any version.

        Raises:
            ConflictError: it isn't.
            InvalidError: see `refuses`.
            UnavailableError: see `gives_up`.
        """
        if why := self.refuses.get(manifest["kind"]):
            raise InvalidError(403, "Forbidden", why)
        if dry_run:
            return dict(manifest)
        self.applied.append(manifest)
        await asyncio.sleep(self.write_seconds)
        kind, meta, key = manifest["kind"], manifest["metadata"], key_of(manifest)
        if kind in self.gives_up:
            self.gives_up.discard(kind)
            self.given_up.append(manifest)
            raise UnavailableError(0, "Timeout", "no response")
        before = self.objects.get(key, {})
        own = before.get("metadata", {})
        same = ("uid", "resourceVersion") if before else ("uid",)
        if any(name in meta and meta[name] != own.get(name) for name in same):
            raise ConflictError(409, "Conflict", "the object has been modified")
        self._version += 1
        written = {"uid": own.get("uid", f"uid-{self._version}"), "resourceVersion": str(self._version)}
        if kind in _OWN_KINDS:
            others = [each for each in own.get("finalizers", ()) if each != names.FINALIZER]
            finalizers = {} if subresource else {"finalizers": [*others, *meta.get("finalizers", ())]}
            body = {**before, **manifest, "metadata": {**own, **meta, **finalizers, **written}}
        else:
            status = {"status": before["status"]} if "status" in before else {}
            body = {**manifest, **status, "metadata": {**meta, **written}}
        self.objects[key] = body
        if "deletionTimestamp" in body["metadata"] and not body["metadata"].get("finalizers"):
            del self.objects[key]
        return body

    def edited(self, key: Key, /, **spec: Any) -> Body:
        """Change fields of an object's spec, as somebody else does; returns the object."""
        body = self.objects[key]
        meta = body["metadata"]
        self._version += 1
        newer = {"resourceVersion": str(self._version), "generation": meta.get("generation", 1) + 1}
        self.objects[key] = {**body, "spec": {**body["spec"], **spec}, "metadata": {**meta, **newer}}
        return self.objects[key]

    async def create(self, manifest: Mapping[str, Any]) -> Body:
        """Create an Event."""
        self.events.append(manifest)
        return dict(manifest)

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str) -> None:
        """Delete an object."""
        self.deleted.append(name)
        self.objects.pop((resource.kind, namespace or "", name), None)


class Connections(Handled):
    """Connections that remember whether they are closed."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(handler)
        self.closed = False

    async def close(self) -> None:
        """Close them."""
        self.closed = True


class Proxies:
    """Creates clients of fake proxies.

    Attributes:
        handlers: by URL; what answers a proxy's requests.
        connections: those of each client, in order.
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.handlers = dict(handlers)
        self.connections: list[Connections] = []

    def connect(self, credentials: Credentials, breaker: Breaker) -> LiteLLM:
        """A client."""
        self.connections.append(Connections(self.handlers[credentials.url]))
        return LiteLLM(
            credentials.url,
            credentials.master_key,
            master_key_before=credentials.master_key_before,
            transport=self.connections[-1],
            breaker=breaker,
        )


def context_of(
    kube: FakeKube | None = None, cache: Cache | None = None, clock: Clock | None = None, **more: Any
) -> Context:
    """A context. What it enqueues is dropped, unless ``enqueue`` is given."""
    clock = clock or Clock()
    given = {
        "enqueue": lambda request: None,
        "enqueue_after": lambda request, seconds: None,
        "now": clock,
        "monotonic": clock.monotonic,
        **more,
    }
    return Context(kube=cast(Kube, kube or FakeKube()), cache=cache or Cache(), cluster="c", **given)


def session_of(handler: Handler, clock: Clock, credentials: Credentials | None = None, **given: Any) -> ProxySession:
    """A session that isn't started."""
    credentials = credentials or Credentials(URL, MASTER)
    return ProxySession(
        credentials,
        "c",
        **{
            "connect": Proxies({credentials.url: handler}).connect,
            "on_observed": lambda session: None,
            "on_keys_changed": lambda session, uids: None,
            "now": clock,
            "monotonic": clock.monotonic,
            **given,
        },
    )


def offer_of(*models: str, **changes: Any) -> Offer:
    """A usable offer of some models."""
    facts = tuple(model_facts(name, OpenClawModel(), {}) for name in models or (MODEL,))
    offer = Offer(
        url=URL,
        authorities="",
        reach=Reach.PRIVATE,
        peer=address_peer(URL),
        models=facts,
        limited=False,
        key_defaults=KeyDefaults(),
        usable=True,
    )
    return replace(offer, **changes)


def access_of(connection: Connection, limits: Limits | None = None) -> Access:
    """What an accepted agent gets."""
    offer = connection.offer or offer_of()
    return Access(connection, offer, offer.models, limits or Limits())


def agent_body(name: str = "a", uid: str = "u", *, status: Body | None = None, route: str = "r", **given: Any) -> Body:
    """An OpenClawAgent in namespace ``n``.

    Args:
        given: fields of the spec; ``annotations``, ``deletionTimestamp``, ``finalizers`` and ``generation`` are the metadata's.
    """
    of_meta = ("annotations", "deletionTimestamp", "finalizers", "generation", "namespace", "resourceVersion")
    meta = {name: given.pop(name) for name in of_meta if name in given}
    return {
        "apiVersion": AGENT.api_version,
        "kind": AGENT.kind,
        "metadata": {"namespace": "n", "resourceVersion": "1", "generation": 1, **meta, "name": name, "uid": uid},
        "spec": {"routeRef": {"name": route}, **given},
        "status": status or {},
    }


def agent_of(**given: Any) -> OpenClawAgent:
    """The model of `agent_body`."""
    return OpenClawAgent.model_validate(agent_body(**given))


def route_body(name: str = "r", uid: str = "r", *, url: str = URL, status: Body | None = None, **given: Any) -> Body:
    """An external LiteLLMRoute in namespace ``n``, with its master key in the Secret ``m``.

    Args:
        given: fields of the spec; ``deletionTimestamp``, ``finalizers`` and ``resourceVersion`` are the metadata's.
    """
    of_meta = ("deletionTimestamp", "finalizers", "generation", "resourceVersion")
    meta = {name: given.pop(name) for name in of_meta if name in given}
    return {
        "apiVersion": ROUTE.api_version,
        "kind": ROUTE.kind,
        "metadata": {"namespace": "n", "resourceVersion": "1", "generation": 1, **meta, "name": name, "uid": uid},
        "spec": {"external": {"url": url, "masterKeySecretRef": {"name": "m", "key": "k"}}, **given},
        "status": status or {},
    }


def namespace_body(name: str = "n", **given: Any) -> Body:
    """A namespace.

    Args:
        given: fields of the metadata.
    """
    meta = {"name": name, "uid": f"namespace-{name}", "resourceVersion": "1", **given}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def master_key_body(value: str = MASTER.get_secret_value()) -> Body:
    """The Secret ``m`` with a master key."""
    meta = {"namespace": "n", "name": "m", "uid": "m", "resourceVersion": "1"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encode({"k": value})}


def key_of_agent(key: str, uid: str = "u", generation: int = 1, *, alias: str = "n/a", **given: Any) -> KeyRow:
    """A virtual key of an agent in namespace ``n``.

    Args:
        key: its value.
        given: fields of the mark and of the row.
    """
    of_row = {name: given.pop(name) for name in ("limits", "spend", "expires", "blocked") if name in given}
    mark = Mark("c", uid, generation, **{"namespace": "n", **given})
    return KeyRow(fingerprint(key), alias, **{"limits": Limits(), "spend": 0.0, **of_row}, mark=mark)


class Scene:
    """The route ``n/r`` with a fake proxy, in a process that knows some objects.

    Args:
        objects: exist, and are in the cache.

    Attributes:
        enqueued: what the reconcilers enqueue, at once or later.
        proxies: creates the clients; more proxies can be added.
        session: the route's, which isn't started.
    """

    def __init__(self, *objects: Body) -> None:
        self.clock = Clock()
        self.proxy = FakeProxy(self.clock)
        self.kube = FakeKube(*objects)
        self.cache = Cache()
        for each in objects:
            self.cache.store(each)
        self.enqueued: list[Request] = []
        self.proxies = Proxies({URL: self.proxy.answer})
        self.context = context_of(
            self.kube,
            self.cache,
            self.clock,
            connect=self.proxies.connect,
            enqueue=self.enqueued.append,
            enqueue_after=lambda request, seconds: self.enqueued.append(request),
        )
        self.session = session_of(
            self.proxy.answer, self.clock, connect=self.proxies.connect, now=lambda: self.context.now()
        )
        self.session.routes.add(("n", "r"))
        self.connection = self.context.routes["n", "r"] = Connection(self.session, offer_of())

    def put(self, body: Body) -> None:
        """Put an object into the API server and the cache."""
        self.kube.objects[key_of(body)] = body
        self.cache.store(body)

    def edit(self, kind: str, name: str, /, **spec: Any) -> None:
        """Change fields of the spec of an object in namespace ``n``, in the API server and the cache."""
        self.cache.store(self.kube.edited((kind, "n", name), **spec))

    def answer_by(self, handler: Handler) -> None:
        """Let a function answer the session's requests from now on."""
        self.proxies.handlers[URL] = handler
        self.session.reconnect(self.session.credentials)

    def access(self, limits: Limits | None = None) -> Access:
        """What an accepted agent gets."""
        return access_of(self.connection, limits)

    def create(self, row: KeyRow) -> KeyRow:
        """Put a key into the proxy."""
        assert row.mark
        shown = {"token": row.token, "key_alias": row.alias, "spend": row.spend, "metadata": row.marked(row.mark)}
        limits = {name: value for name, value in row.limits.payload().items() if value}
        ends = {"expires": row.expires} if row.expires else {}
        self.proxy.rows[row.token] = {**shown, **limits, **ends}
        return row

    def know(self, row: KeyRow) -> KeyRow:
        """Put a key into the proxy and the table."""
        self.session.table.put(self.create(row))
        return row

    async def read(self) -> None:
        """Read all keys of the proxy."""
        await self.session.read_keys()
