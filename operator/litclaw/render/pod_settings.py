"""What a user sets of the pods (`litclaw.api.pod_settings`), as parts of a pod's specification and its container."""

from typing import Any

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


def container_env(own: list[dict[str, Any]], settings: PodSettings) -> list[dict[str, Any]]:
    """A container's environment: the operator's variables, then the user's. A name of the operator's isn't repeated."""
    taken = {entry["name"] for entry in own}
    return own + [_dump(entry) for entry in settings.env if entry.name not in taken]


def _dump(value: Any) -> Any:
    return value.model_dump(by_alias=True, exclude_none=True, mode="json")
