"""Network access between pods."""

from .api import Object
from .kube import Kube


def operator_policy(namespace: str) -> Object:
    """A NetworkPolicy beside the operator's own that opens every port of a namespace's pods to it."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"proxies-in-{namespace}", "namespace": "litclaw-system"},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "litclaw"}},
            "policyTypes": ["Egress"],
            "egress": [
                {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]},
            ],
        },
    }


def python_reaches(kube: Kube, source: tuple[str, str], host: str, port: int, python: str = "python3") -> bool:
    """Whether a pod with a Python can connect. False may also mean that a busy machine was too slow.

    Args:
        source: the pod's namespace, and its name or that of its workload (``deployment/litclaw``).
    """
    code = f"import socket; socket.create_connection(({host!r}, {port}), 5)"
    return kube.run("-n", source[0], "exec", source[1], "--", python, "-c", code, check=False).returncode == 0


def operator_reaches(kube: Kube, host: str, port: int) -> bool:
    """Whether the operator's pod can connect."""
    return python_reaches(kube, ("litclaw-system", "deployment/litclaw"), host, port, "/opt/litclaw/bin/python")
