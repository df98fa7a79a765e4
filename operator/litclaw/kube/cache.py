"""The objects that the operator works with, as the watches and our own writes have shown them.

Of two versions of an object the newer one stays, whichever way it came, so that a late watch event can't undo the response
to a write. Memory is bounded against people who may create objects: foreign objects aren't kept, of large resources only the
fields that other resources need (`is_trimmed`), and of each value in a Secret or ConfigMap its SHA-256, which is enough to
notice a change. Code that needs more reads the object from the API server.
"""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from litclaw.api import names
from litclaw.kube.errors import ConflictError
from litclaw.kube.interning import Interner
from litclaw.kube.objects import route_key_of
from litclaw.kube.resources import AGENT, CONFIG_MAP, NAMESPACE, OWNED_KINDS, ROUTE, SECRET
from litclaw.kube.size import exceeds

Key = tuple[str, str, str]
"""Kind, namespace, name."""

_OUR_OWN = (ROUTE.kind, AGENT.kind)
_OWNED = frozenset(resource.kind for resource in OWNED_KINDS)
_WITH_VALUES = (SECRET.kind, CONFIG_MAP.kind)
_OUR_PREFIX = f"{names.GROUP}/"

_LARGEST_PART = 16 * 1024
"""Characters of a route's or an agent's spec, metadata or status; where one is larger, the resource is trimmed."""
_LARGEST_METADATA = 64 * 1024
"""Characters of an owned object's metadata; an object with more isn't cached. Of a namespace with more, the labels aren't."""
_LARGEST_OBJECT = 128 * 1024
"""Characters of an owned object; one with more isn't cached. Anybody can create a Deployment that names an agent as its owner."""
_MOST_DATA_KEYS = 300
"""Keys of a Secret or ConfigMap; one with more isn't cached. Each takes 80 bytes or more, however short its value (measured)."""
_TRIMMED = "trimmed"
_SHORT = 64
"""Characters of a text in the status of a trimmed resource; a longer one isn't cached."""
_CONDITIONS = ("Ready", "Stalled", "WithinBudget")
"""The conditions of a trimmed resource that others read."""


def key_of(body: Mapping[str, Any]) -> Key:
    """An object's place in the cache."""
    return (body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class Owner:
    """The resource that an object belongs to."""

    kind: str
    name: str
    uid: str


def owner_of(meta: Mapping[str, Any]) -> Owner | None:
    """The controller among the owner references."""
    ref = _controller_of(meta)
    return Owner(ref["kind"], ref["name"], ref["uid"]) if ref else None


def _controller_of(meta: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((ref for ref in meta.get("ownerReferences") or () if ref.get("controller")), None)


def fingerprint(value: str) -> str:
    """SHA-256 of a value, in hex. For a virtual key it is what LiteLLM calls the key's token."""
    return hashlib.sha256(value.encode()).hexdigest()


def compact(body: Mapping[str, Any]) -> dict[str, Any]:
    """An object without managed fields and foreign annotations and, for a Secret or ConfigMap, with fingerprints for values."""
    out = {**body, "metadata": _compact_metadata(body["metadata"])}
    if out.get("kind") in _WITH_VALUES:
        out["data"] = _fingerprints(body)
        out.pop("binaryData", None)
    return out


def _compact_metadata(meta: Mapping[str, Any]) -> dict[str, Any]:
    out = {name: value for name, value in meta.items() if name != "managedFields"}
    # Without managed fields it is a manifest of ours.
    if "managedFields" in meta and (annotations := meta.get("annotations")):
        ours = _applied_annotations(meta) if any(not _is_ours(name) for name in annotations) else ()
        out["annotations"] = {name: value for name, value in annotations.items() if _is_ours(name) or name in ours}
    return out


def _is_ours(annotation: str) -> bool:
    return annotation.startswith(_OUR_PREFIX)


def _applied_annotations(meta: Mapping[str, Any]) -> set[str]:
    """The annotations that our field manager has set, such as those of a Service that ``spec`` asks for."""
    found: set[str] = set()
    for entry in meta["managedFields"] or ():
        if entry.get("manager") == names.FIELD_MANAGER:
            fields = (entry.get("fieldsV1") or {}).get("f:metadata") or {}
            found.update(field.removeprefix("f:") for field in fields.get("f:annotations") or ())
    return found


def _fingerprints(body: Mapping[str, Any]) -> dict[str, str]:
    data: Mapping[str, str] = body.get("data") or {}
    if body["kind"] == SECRET.kind:
        return {k: hashlib.sha256(base64.b64decode(v)).hexdigest() for k, v in data.items()}
    return {k: fingerprint(v) for k, v in data.items()}


def is_trimmed(body: Mapping[str, Any]) -> bool:
    """True if the cache has only a part of a route or an agent, because the whole is large."""
    return bool(body.get(_TRIMMED))


def _trim(body: Mapping[str, Any]) -> dict[str, Any]:
    """A large resource with the fields that passes over other resources read.

    It doesn't validate as a model, so that a trimmed spec is never taken for the whole one.
    """
    spec, meta = body.get("spec") or {}, body["metadata"]
    if body["kind"] == AGENT.kind:
        kept = {name: spec[name] for name in ("routeRef", "suspend") if name in spec}
        kept["key"] = {name: value for name, value in (spec.get("key") or {}).items() if name == "secretName"}
        kept["config"] = _TRIMMED
    else:
        kept = {name: spec[name] for name in ("keyLimits",) if name in spec}
        kept["allowedNamespaces"] = spec.get("allowedNamespaces") or {}
        kept["models"] = [{"name": model.get("name")} for model in spec.get("models") or ()]
        for name in ("managed", "external"):
            if proxy := spec.get(name):
                kept[name] = {field: value for field, value in proxy.items() if field == "masterKeySecretRef"}
    out = {**body, "metadata": _trim_metadata(meta, _LARGEST_PART), "spec": kept, _TRIMMED: True}
    if "status" in body:
        out["status"] = _trim_status(body["status"] or {})
    return out


def _trim_metadata(meta: Mapping[str, Any], largest: int) -> dict[str, Any]:
    """Metadata with what identifies an object only, if it is larger than that."""
    if not exceeds(meta, largest):
        return dict(meta)
    kept = {name: value for name, value in meta.items() if name not in ("labels", "annotations", "ownerReferences")}
    if finalizers := meta.get("finalizers"):
        kept["finalizers"] = [each for each in finalizers if each == names.FINALIZER]
    return kept


def _trim_status(status: Mapping[str, Any]) -> dict[str, Any]:
    """A status without long texts, messages among them. Whoever has the right may write one of a megabyte."""
    conditions = [
        {name: each.get(name) for name in ("type", "status", "reason")}
        for each in status.get("conditions") or ()
        if each.get("type") in _CONDITIONS
    ]
    return {**_short_values(status), "key": _short_values(status.get("key") or {}), "conditions": conditions}


def _short_values(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in fields.items()
        if isinstance(value, (bool, int)) or (isinstance(value, str) and len(value) <= _SHORT)
    }


def _kept_of(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the cache keeps of an object; None: nothing.

    Anybody can set our label and an owner reference, so both the owner's kind and the size are checked.
    """
    kind = body["kind"]
    if kind in _OWNED and not _is_owned_by_us(body["metadata"]):
        return None
    if kind in _WITH_VALUES and len(body.get("data") or ()) > _MOST_DATA_KEYS:
        return None
    kept = compact(body)
    if kind in _OWNED:
        whole = kind not in _WITH_VALUES and exceeds(kept, _LARGEST_OBJECT)
        return None if whole or exceeds(kept["metadata"], _LARGEST_METADATA) else kept
    if kind == NAMESPACE.kind:
        return {**kept, "metadata": _trim_metadata(kept["metadata"], _LARGEST_METADATA)}
    parts = (kept.get("spec"), kept["metadata"], kept.get("status"))
    return _trim(kept) if kind in _OUR_OWN and any(exceeds(part, _LARGEST_PART) for part in parts) else kept


def _is_owned_by_us(meta: Mapping[str, Any]) -> bool:
    ref = _controller_of(meta)
    return ref is not None and ref["kind"] in _OUR_OWN and ref.get("apiVersion", "").startswith(_OUR_PREFIX)


class Cache:
    """Objects by kind, namespace and name, with indexes by owner and by an agent's route.

    Attributes:
        answers: by uid, what the API server has made of our last apply, where that isn't what was applied: see
            `litclaw.kube.diff.answer_of`.
    """

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self._objects: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
        self._owned: dict[tuple[str, str], set[Key]] = defaultdict(set)
        self._agents: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        self._written: dict[str, int] = {}
        self._writing: dict[Key, list[tuple[str, Callable[[], None]]]] = {}
        self._interner = Interner()

    def store(self, body: Mapping[str, Any]) -> None:
        """Store an object that a watch or a read has shown, unless a newer version of that name is known.

        An object that is no longer ours, or has become too large, leaves the cache.
        """
        key = key_of(body)
        cached = self.get(*key)
        if cached and _version(cached) >= _version(body):
            return
        kept = _kept_of(body)
        if cached and (kept is None or cached["metadata"]["uid"] != body["metadata"]["uid"]):
            self._drop(key, cached)
        elif cached:
            self._unlink(key, cached)
        if kept is not None:
            self._put(self._interner.intern(kept))

    @contextmanager
    def writing(self, key: Key) -> Iterator[None]:
        """Defer watch events for an object while we write it.

        Such an event may be our own write, and may arrive before the response.

        Raises:
            ConflictError: another pass writes the object.
        """
        if key in self._writing:
            kind, namespace, name = key
            where = f"{namespace}/{name}" if namespace else name
            raise ConflictError(409, "Conflict", f"{kind} {where} is being written for another resource")
        deferred = self._writing[key] = []
        try:
            yield
        finally:
            del self._writing[key]
            for _, handle in deferred:
                handle()

    def defer(self, body: Mapping[str, Any], handle: Callable[[], None]) -> bool:
        """Defer a watch event while we write its object: ``handle`` is then called after the response.

        Returns:
            True if the event is deferred; False if the caller must handle it now.
        """
        if (deferred := self._writing.get(key_of(body))) is None:
            return False
        deferred.append((body["metadata"]["uid"], handle))
        return True

    def store_written(self, response: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> None:
        """Store the response to a write of ours, and remember its version for `is_own_write`.

        Args:
            response: the object as it is now.
            before: the object on which the write was based. If somebody else has changed its spec, labels or our annotations
                meanwhile, the watch event counts as theirs.
        """
        self.store(response)
        uid, cached = response["metadata"]["uid"], self.get(*key_of(response))
        is_cached = cached is not None and cached["metadata"]["uid"] == uid
        if is_cached and (before is None or _intent(before) == _intent(response)):
            self._written[uid] = _version(response)

    def is_own_write(self, body: Mapping[str, Any]) -> bool:
        """True if a watch event shows our last write of the object. Call it once per event: the record is consumed."""
        uid = body["metadata"]["uid"]
        if self._written.get(uid) != _version(body):
            return False
        del self._written[uid]
        return True

    def is_behind(self, body: Mapping[str, Any]) -> bool:
        """True if an object, of which only the metadata matter, is newer than what the cache knows of it."""
        cached = self.get(*key_of(body))
        return cached is None or _version(cached) < _version(body)

    def remove(self, body: Mapping[str, Any]) -> None:
        """Remove an object that a watch has reported as deleted, unless another one of its name is known."""
        key = key_of(body)
        cached = self.get(*key)
        if cached and cached["metadata"]["uid"] == body["metadata"]["uid"]:
            self._drop(key, cached)

    def prune(self, kind: str, uids: Collection[str], version: int, namespace: str = "") -> list[dict[str, Any]]:
        """Remove the objects that a complete list of a kind doesn't have: they vanished while no watch was open.

        Args:
            uids: of the objects in the list.
            version: the list's resource version; newer objects stay.
            namespace: the list's namespace; empty: all.

        Returns:
            The removed objects.
        """
        cached = self.within(kind, namespace) if namespace else self.all(kind)
        gone = [body for body in cached if body["metadata"]["uid"] not in uids and _version(body) <= version]
        for body in gone:
            self._drop(key_of(body), body)
        for key, deferred in self._writing.items():
            if key[0] == kind and namespace in ("", key[1]):
                deferred[:] = [(uid, handle) for uid, handle in deferred if uid in uids]
        return gone

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, compact. The caller must not change it."""
        return self._objects.get(kind, {}).get(namespace, {}).get(name)

    def all(self, kind: str) -> Iterator[dict[str, Any]]:
        """Every object of a kind."""
        return iter([body for cached in self._objects.get(kind, {}).values() for body in cached.values()])

    def within(self, kind: str, namespace: str) -> Iterator[dict[str, Any]]:
        """Every object of a kind in a namespace."""
        return iter(list(self._objects.get(kind, {}).get(namespace, {}).values()))

    def owned_by(self, namespace: str, owner_uid: str) -> list[dict[str, Any]]:
        """Every object of a namespace whose controller has that uid, by kind and name.

        An owner is of the same namespace. What names it elsewhere is none of its objects: anybody may read a uid.
        """
        owned = sorted(self._owned.get((namespace, owner_uid), ()))
        return [self._objects[kind][space][name] for kind, space, name in owned]

    def agents_of(self, route: tuple[str, str]) -> list[dict[str, Any]]:
        """Every agent whose ``spec.routeRef`` names a route, by namespace and name.

        Args:
            route: namespace and name.
        """
        agents = self._objects.get(AGENT.kind, {})
        return [agents[namespace][name] for namespace, name in sorted(self._agents.get(route, ()))]

    def _put(self, body: dict[str, Any]) -> None:
        kind, namespace, name = key = key_of(body)
        self._objects.setdefault(kind, {}).setdefault(namespace, {})[name] = body
        if kind == AGENT.kind:
            self._agents[route_key_of(body)].add((namespace, name))
        elif owner := owner_of(body["metadata"]):
            self._owned[namespace, owner.uid].add(key)

    def _drop(self, key: Key, body: Mapping[str, Any]) -> None:
        kind, namespace, name = key
        self._unlink(key, body)
        self._written.pop(body["metadata"]["uid"], None)
        self.answers.pop(body["metadata"]["uid"], None)
        del self._objects[kind][namespace][name]
        if not self._objects[kind][namespace]:
            del self._objects[kind][namespace]

    def _unlink(self, key: Key, body: Mapping[str, Any]) -> None:
        if body["kind"] == AGENT.kind:
            _discard(self._agents, route_key_of(body), key[1:])
        elif owner := owner_of(body["metadata"]):
            _discard(self._owned, (key[1], owner.uid), key)


def _discard(index: dict[Any, set[Any]], entry: object, value: object) -> None:
    index[entry].discard(value)
    if not index[entry]:
        del index[entry]


def _version(body: Mapping[str, Any]) -> int:
    # Resource versions may be compared as numbers since Kubernetes 1.35 (KEP-5504), and always could with etcd.
    return int(body["metadata"]["resourceVersion"])


def _intent(body: Mapping[str, Any]) -> tuple[object, ...]:
    """What a resource's author decides: the generation stands for the spec and for a deletion."""
    meta = body["metadata"]
    annotations = {name: value for name, value in (meta.get("annotations") or {}).items() if _is_ours(name)}
    return (meta.get("generation"), meta.get("labels") or {}, annotations)
