"""What every object that we make carries: our labels, its owner, and a digest of what we want it to be."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.api.base import ObjectMeta

Manifest = dict[str, Any]


def labels(instance: str, component: str) -> dict[str, str]:
    """The recommended labels of an object of ours."""
    return {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_INSTANCE: instance,
        names.LABEL_COMPONENT: component,
    }


def owner_reference(kind: str, owner: ObjectMeta) -> dict[str, Any]:
    """A controller's owner reference: the object goes when its owner goes."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def child(
    api_version: str,
    kind: str,
    name: str,
    owner_kind: str,
    owner: ObjectMeta,
    component: str,
    annotations: Mapping[str, str] | None,
) -> Manifest:
    """The frame of an object that belongs to a resource; see `owned` for those of a route and an agent."""
    meta: Manifest = {
        "name": name,
        "namespace": owner.namespace,
        "labels": labels(owner.name, component),
        "ownerReferences": [owner_reference(owner_kind, owner)],
    }
    if annotations:
        meta["annotations"] = dict(annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}


def without_owner(manifest: Manifest) -> Manifest:
    """The object for when it is to outlive its owner."""
    return {**manifest, "metadata": {k: v for k, v in manifest["metadata"].items() if k != "ownerReferences"}}


def encode(data: Mapping[str, str]) -> dict[str, str]:
    """A Secret's data as the API wants it: base64."""
    return {key: base64.b64encode(value.encode()).decode() for key, value in sorted(data.items())}


def digest(value: Any) -> str:
    """A short stable digest of plain data."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sealed(manifest: Manifest) -> Manifest:
    """The manifest with its own digest as an annotation, by which a later pass sees that a field was dropped.

    A Secret's values are left out of the digest, so that the annotation tells nothing about them.
    """
    body = dict(manifest)
    if manifest["kind"] == "Secret":
        body["data"] = sorted(manifest.get("data", {}))
    meta = dict(manifest["metadata"])
    meta["annotations"] = {**meta.get("annotations", {}), names.ANNOTATION_DIGEST: digest(body)}
    return {**manifest, "metadata": meta}
