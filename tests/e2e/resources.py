"""Litclaw's resources as the tests apply them, and the namespaces and Secrets that they need."""

from typing import Any

from .api import Object

AI = "ai"
TEAM = "team-a"


def namespace(name: str) -> Object:
    """A namespace that enforces the strictest Pod Security Standard."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def resource(kind: str, name: str, namespace: str, spec: Object) -> Object:
    """One of our resources."""
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "litclaw.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


MODELS = [
    {"name": name, "litellmParams": {"model": f"{provider}/{name}", "mock_response": f"This is {name}."}}
    for provider, name in (("anthropic", "claude-opus-4-6"), ("openai", "gpt-4o"))
]


def secret(name: str, **data: str) -> Object:
    """A Secret of namespace ``ai``."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": AI}, "stringData": data}


def managed_route(name: str, **spec: Any) -> Object:
    """A route with its own LiteLLM and PostgreSQL, and two models that answer offline at their real prices.

    Its pods end sooner than by default, and so do the tests that wait for that.
    """
    given = spec.pop("managed", {"database": {"embedded": {"storage": "1Gi"}}})
    managed = {"terminationGracePeriodSeconds": 60, **given}
    return resource(
        "LiteLLMRoute", name, AI, {"managed": managed, "models": MODELS, "allowedNamespaces": {"from": "All"}, **spec}
    )


def agent(name: str, *, route: str = "main", **spec: Any) -> Object:
    """An agent of namespace ``team-a``."""
    return resource("OpenClawAgent", name, TEAM, {"routeRef": {"name": route, "namespace": AI}, **spec})
