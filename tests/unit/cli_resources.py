"""Resources as a cluster has them, for the tests of the command line."""

from typing import Any


def agent(**status: object) -> dict[str, Any]:
    """The agent team-a/scout."""
    return {
        "metadata": {"name": "scout", "namespace": "team-a", "generation": 1},
        "spec": {"routeRef": {"name": "main", "namespace": "ai"}},
        "status": {"observedGeneration": 1, **status},
    }


def conditions(**given: tuple[str, str, str]) -> list[dict[str, str]]:
    """Conditions by type: status, reason, message."""
    return [{"type": name, "status": s, "reason": r, "message": m} for name, (s, r, m) in given.items()]


def operator(*args: str) -> dict[str, Any]:
    """The operator's Deployment with some arguments."""
    pod = {"containers": [{"image": "registry:5000/litclaw:0.1.0@sha256:ab", "args": ["run", *args]}]}
    return {"metadata": {"name": "litclaw", "namespace": "ops"}, "spec": {"template": {"spec": pod}}}
