"""What all our pods share: the ``restricted`` Pod Security Standard, and what a user may add."""

from typing import Any

from litclaw.api.kubernetes import PodSettings

CONTAINER_SECURITY: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def pod_security(uid: int) -> dict[str, Any]:
    """A pod security context that passes ``restricted``, for a given user and its group."""
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": uid,
        "fsGroup": uid,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _dump(value: Any) -> Any:
    return value.model_dump(by_alias=True, exclude_none=True, mode="json")


def env(own: list[dict[str, Any]], settings: PodSettings) -> list[dict[str, Any]]:
    """The operator's environment variables, and the user's where they don't clash (two of a name is one too many)."""
    taken = {entry["name"] for entry in own}
    return own + [_dump(entry) for entry in settings.env if entry.name not in taken]


def container_settings(settings: PodSettings, default_requests: dict[str, str]) -> dict[str, Any]:
    """The user's part of a container: resources and envFrom."""
    out: dict[str, Any] = {
        "resources": _dump(settings.resources) if settings.resources else {"requests": default_requests}
    }
    if settings.env_from:
        out["envFrom"] = [_dump(entry) for entry in settings.env_from]
    return out


def pod_settings(settings: PodSettings) -> dict[str, Any]:
    """The user's part of a pod's specification: scheduling, pull secrets, service account."""
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
