"""Metadata of every rendered object: labels, owner, annotations, and a digest of the object itself."""

import base64
from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.api.digest import digest
from litclaw.api.route import LiteLLMRoute

Manifest = dict[str, Any]


def labels(instance: str, component: str) -> dict[str, str]:
    """The recommended labels; they also select the pods of a component."""
    return {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_INSTANCE: instance,
        names.LABEL_COMPONENT: component,
    }


def owned_object(
    owner: LiteLLMRoute | OpenClawAgent,
    api_version: str,
    kind: str,
    name: str,
    *,
    component: str,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """An object without content that is deleted with its owner: type, name, namespace, labels, owner, annotations."""
    meta: Manifest = {
        "name": name,
        "namespace": owner.metadata.namespace,
        "labels": labels(owner.metadata.name, component),
        "ownerReferences": [_controller_reference(owner)],
    }
    if annotations:
        meta["annotations"] = dict(annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}


def _controller_reference(owner: LiteLLMRoute | OpenClawAgent) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.ROUTE_KIND if isinstance(owner, LiteLLMRoute) else names.AGENT_KIND,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def without_owner(manifest: Manifest) -> Manifest:
    """The object without its owner, so that it is not deleted with it."""
    return {**manifest, "metadata": {k: v for k, v in manifest["metadata"].items() if k != "ownerReferences"}}


def encode(data: Mapping[str, str]) -> dict[str, str]:
    """A Secret's data in base64, as the API expects it."""
    return {key: base64.b64encode(value.encode()).decode() for key, value in sorted(data.items())}


def sealed(manifest: Manifest) -> Manifest:
    """The object with its own digest as an annotation, so that later reconciles detect fields that it no longer has.

    The digest covers the names of a Secret's keys and not their values, so that it reveals nothing about them.
    """
    body = dict(manifest)
    if manifest["kind"] == "Secret":
        body["data"] = sorted(manifest.get("data", {}))
    meta = dict(manifest["metadata"])
    meta["annotations"] = {**meta.get("annotations", {}), names.ANNOTATION_DIGEST: digest(body)}
    return {**manifest, "metadata": meta}
