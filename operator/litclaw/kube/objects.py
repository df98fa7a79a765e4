"""What an object's plain dict says: its conditions, an agent's route and Secret, whether it is being deleted."""

from collections.abc import Mapping
from typing import Any

from litclaw.api import names


def condition_of(body: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """A condition of an object's status, such as ``Ready``; empty where the object doesn't have it."""
    for condition in (body.get("status") or {}).get("conditions") or ():
        if condition.get("type") == type_:
            found: Mapping[str, Any] = condition
            return found
    return {}


def route_key_of(agent: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and name of the LiteLLMRoute that an OpenClawAgent names.

    The name is empty where there is no ``spec.routeRef``, which an older CRD may have let through.
    """
    ref = (agent.get("spec") or {}).get("routeRef") or {}
    return (ref.get("namespace") or agent["metadata"]["namespace"], ref.get("name", ""))


def agent_secret_name_of(agent: Mapping[str, Any]) -> str:
    """Name of the Secret with an OpenClawAgent's virtual key."""
    key = (agent.get("spec") or {}).get("key") or {}
    return key.get("secretName") or names.agent_secret(agent["metadata"]["name"])


def is_suspended(agent: Mapping[str, Any]) -> bool:
    """True if an OpenClawAgent is suspended, as its spec says even where the rest of it can't be validated."""
    return bool((agent.get("spec") or {}).get("suspend"))


def forbids_retain(route: Mapping[str, Any]) -> bool:
    """True if no key of a LiteLLMRoute may outlive its agent."""
    limits = (route.get("spec") or {}).get("keyLimits") or {}
    return bool(limits.get("retain") == "Forbid")


def is_deleting(body: Mapping[str, Any]) -> bool:
    """True if the object has a deletion timestamp: only finalizers keep it."""
    return "deletionTimestamp" in body["metadata"]


def is_released(body: Mapping[str, Any]) -> bool:
    """True if the object is being deleted without our finalizer: nothing waits for us, and only finalizers of others keep it.

    We have removed ours, or somebody else has. It stays so, because the API server accepts no new finalizer then: what a
    cache has of it can't be outdated.
    """
    return is_deleting(body) and names.FINALIZER not in (body["metadata"].get("finalizers") or ())
