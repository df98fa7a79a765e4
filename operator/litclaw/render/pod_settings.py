"""What a user sets of the pods (`litclaw.api.pod_settings`), as parts of a pod's specification and its container."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from litclaw.api import names
from litclaw.api.pod_settings import PodSettings


def pod_settings(settings: PodSettings) -> dict[str, Any]:
    """Fields of a pod's specification: scheduling, pull secrets, service account."""
    out: dict[str, Any] = {
        "automountServiceAccountToken": bool(settings.service_account_name),
        "enableServiceLinks": False,
    }
    if settings.service_account_name:
        out["serviceAccountName"] = settings.service_account_name
    if settings.node_selector:
        out["nodeSelector"] = dict(settings.node_selector)
    if settings.tolerations:
        out["tolerations"] = [_dump(entry) for entry in settings.tolerations]
    if settings.affinity:
        out["affinity"] = dict(settings.affinity)
    if settings.image_pull_secrets:
        out["imagePullSecrets"] = [_dump(entry) for entry in settings.image_pull_secrets]
    return out


def container_settings(settings: PodSettings, default_requests: dict[str, str]) -> dict[str, Any]:
    """Fields of a container: resources and envFrom."""
    out: dict[str, Any] = {
        "resources": _dump(settings.resources) if settings.resources else {"requests": default_requests}
    }
    if settings.env_from:
        out["envFrom"] = [_dump(entry) for entry in settings.env_from]
    return out


def pod_labels(settings: PodSettings, own: Mapping[str, str]) -> dict[str, str]:
    """The pods' labels: the user's, and the operator's. A resource from before a label was reserved may still have it."""
    given = {name: value for name, value in settings.pod_labels.items() if name not in names.RESERVED_POD_LABELS}
    return {**given, **own}


def container_env(
    own: list[dict[str, Any]], settings: PodSettings, defaults: Mapping[str, str] = MappingProxyType({})
) -> list[dict[str, Any]]:
    """A container's environment: the operator's variables, then the user's. No name is repeated.

    Args:
        own: variables that the user can't replace.
        settings: what the user sets.
        defaults: variables that the user can replace, by name.
    """
    taken, replaced = {entry["name"] for entry in own}, {entry.name for entry in settings.env}
    by_default = [{"name": name, "value": value} for name, value in defaults.items() if name not in replaced]
    return own + by_default + [_dump(entry) for entry in settings.env if entry.name not in taken]


def _dump(value: Any) -> Any:
    return value.model_dump(by_alias=True, exclude_none=True, mode="json")
