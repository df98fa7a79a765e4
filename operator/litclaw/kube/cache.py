"""What the cluster holds, as the watches and our own writes have shown it.

Objects are kept without what nobody reads (managed fields), and Secrets and ConfigMaps without their values: each
value is replaced by its SHA-256, which is enough to see that one has changed. Of two versions of an object the newer
one stays, whichever way it came in, so that a late watch event can't undo what a write's answer has told us.
"""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from litclaw.kube.interning import Shared
from litclaw.kube.resources import CONFIG_MAP, SECRET

Key = tuple[str, str, str]
"""Kind, namespace, name."""


def key_of(body: Mapping[str, Any]) -> Key:
    """Where an object is kept."""
    return (body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"])


def fingerprint(value: str) -> str:
    """SHA-256 of a value, in hex. For a virtual key it is what LiteLLM calls the key's token."""
    return hashlib.sha256(value.encode()).hexdigest()


def _fingerprints(body: Mapping[str, Any]) -> dict[str, str]:
    data: Mapping[str, str] = body.get("data") or {}
    if body.get("kind") == SECRET.kind:
        return {k: hashlib.sha256(base64.b64decode(v)).hexdigest() for k, v in data.items()}
    return {k: fingerprint(v) for k, v in data.items()}


def compact(body: Mapping[str, Any]) -> dict[str, Any]:
    """An object without managed fields and, for a Secret or ConfigMap, with fingerprints for values."""
    out = dict(body)
    if "managedFields" in out.get("metadata", {}):
        out["metadata"] = {k: v for k, v in out["metadata"].items() if k != "managedFields"}
    if out.get("kind") in (SECRET.kind, CONFIG_MAP.kind):
        out["data"] = _fingerprints(body)
        out.pop("binaryData", None)
    return out


@dataclass(frozen=True, slots=True)
class Owner:
    """The resource that an object belongs to."""

    kind: str
    name: str
    uid: str


def owner_of(meta: Mapping[str, Any]) -> Owner | None:
    """The controller among the owner references."""
    for ref in meta.get("ownerReferences") or []:
        if ref.get("controller"):
            return Owner(ref["kind"], ref["name"], ref["uid"])
    return None


class Cache:
    """The objects that the operator cares about, by kind, namespace and name."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
        self._children: dict[str, set[Key]] = defaultdict(set)
        self._written: dict[str, int] = {}
        self._writing: dict[Key, list[tuple[str, Callable[[], None]]]] = {}
        self._shared = Shared()

    def observe(self, body: Mapping[str, Any]) -> None:
        """Take in an object that a watch or a write has shown; an older version than the one held is dropped."""
        meta, key = body["metadata"], key_of(body)
        held = self.get(*key)
        if held and held["metadata"]["uid"] == meta["uid"] and _version(held) >= _version(body):
            return
        if held:
            self._unlink(key, held)
        kind, namespace, name = key
        self._objects.setdefault(kind, {}).setdefault(namespace, {})[name] = self._shared.of(compact(body))
        if owner := owner_of(meta):
            self._children[owner.uid].add(key)

    @contextmanager
    def writing(self, key: Key) -> Iterator[None]:
        """While one object is written to: what a watch shows of it meanwhile may be our own write, and waits for the answer."""
        assert key not in self._writing, "an object is written to by its owner's pass alone"
        waiting = self._writing[key] = []
        try:
            yield
        finally:
            del self._writing[key]
            for _, see in waiting:
                see()

    def waits(self, body: Mapping[str, Any], see: Callable[[], None]) -> bool:
        """Whether what a watch shows waits for a write's answer; ``see`` is then called after that."""
        if (waiting := self._writing.get(key_of(body))) is None:
            return False
        waiting.append((body["metadata"]["uid"], see))
        return True

    def wrote(self, answer: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> None:
        """Take in the answer to a write of ours; the watch event that it causes is no news, unless it tells more.

        Args:
            answer: the object as it is now.
            before: the object as who wrote went by it, where somebody else may have changed what was meant by it.
        """
        if before is None or _intent(before) == _intent(answer):
            self._written[answer["metadata"]["uid"]] = _version(answer)
        self.observe(answer)

    def is_news(self, body: Mapping[str, Any]) -> bool:
        """Whether a watch event shows anything but the last write of ours; to be asked once for each event."""
        uid = body["metadata"]["uid"]
        if self._written.get(uid) != _version(body):
            return True
        del self._written[uid]
        return False

    def forget(self, body: Mapping[str, Any]) -> None:
        """Drop an object that a watch has shown to be gone, unless a newer one of its name is known."""
        key = key_of(body)
        held = self.get(*key)
        if held and held["metadata"]["uid"] == body["metadata"]["uid"]:
            self._drop(key, held)

    def prune(self, kind: str, uids: Collection[str], version: int, namespace: str = "") -> list[dict[str, Any]]:
        """Drop what a complete list of a kind, as of a version, doesn't have; returns what was dropped.

        Args:
            namespace: what the list was of; empty: all.

        A watch that had to start anew says nothing of what has gone meanwhile.
        """
        held = self.within(kind, namespace) if namespace else self.all(kind)
        gone = [body for body in held if body["metadata"]["uid"] not in uids and _version(body) <= version]
        for body in gone:
            self._drop(key_of(body), body)
        for key, waiting in self._writing.items():
            if key[0] == kind and namespace in ("", key[1]):
                waiting[:] = [(uid, see) for uid, see in waiting if uid in uids]
        return gone

    def _drop(self, key: Key, held: Mapping[str, Any]) -> None:
        kind, namespace, name = key
        self._unlink(key, held)
        self._written.pop(held["metadata"]["uid"], None)
        del self._objects[kind][namespace][name]
        if not self._objects[kind][namespace]:
            del self._objects[kind][namespace]

    def _unlink(self, key: Key, held: Mapping[str, Any]) -> None:
        if owner := owner_of(held["metadata"]):
            children = self._children[owner.uid]
            children.discard(key)
            if not children:
                del self._children[owner.uid]

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, compact; not to be changed."""
        return self._objects.get(kind, {}).get(namespace, {}).get(name)

    def all(self, kind: str) -> Iterator[dict[str, Any]]:
        """Every object of a kind."""
        return iter([body for held in self._objects.get(kind, {}).values() for body in held.values()])

    def within(self, kind: str, namespace: str) -> Iterator[dict[str, Any]]:
        """Every object of a kind in a namespace."""
        return iter(list(self._objects.get(kind, {}).get(namespace, {}).values()))

    def children(self, owner_uid: str) -> list[dict[str, Any]]:
        """Every object whose controller has that uid."""
        found = (self.get(*key) for key in sorted(self._children.get(owner_uid, ())))
        return [body for body in found if body]


def _version(body: Mapping[str, Any]) -> int:
    # Resource versions may be compared as numbers since Kubernetes 1.35 (KEP-5504), and always could with etcd.
    return int(body["metadata"]["resourceVersion"])


def _intent(body: Mapping[str, Any]) -> tuple[object, ...]:
    """What of a resource its owner decides: the generation stands for the spec, and for whether it is being deleted."""
    meta = body["metadata"]
    return (meta.get("generation"), meta.get("labels") or {}, meta.get("annotations") or {})
