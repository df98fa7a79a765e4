"""Pods and servers of the tests, and the pod settings of routes and gateways."""

import hashlib
import json
from pathlib import Path

from dev.cluster import images

from .api import Object
from .resources import AI

POD_SETTINGS: Object = {
    "resources": {"requests": {"cpu": "0.1", "memory": "1Gi"}, "limits": {"memory": "3Gi"}},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "agents", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": {"matchExpressions": [{"key": "agents", "operator": "Exists"}]}}
            ]
        }
    },
    "env": [
        {"name": "GREETING", "value": "hello"},
        {"name": "FROM_KEY", "valueFrom": {"configMapKeyRef": {"name": "channels", "key": "CHANNEL"}}},
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "channel-token", "key": "TOKEN"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "channels"}, "prefix": "MY_"}, {"secretRef": {"name": "channel-token"}}],
    "podLabels": {"team": "research"},
    "podAnnotations": {"example.com/note": "of the owner's"},
    "serviceAccountName": "of-the-owners",
    "imagePullSecrets": [{"name": "pull"}],
    "service": {"type": "ClusterIP", "annotations": {"example.com/service": "yes"}},
}
"""Every pod setting of a route and of a gateway."""


def what_pods_need(namespace: str) -> list[Object]:
    """The objects that `POD_SETTINGS` refers to."""
    meta = {"namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "channels", **meta}, "data": {"CHANNEL": "c-1"}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "channel-token", **meta},
            "stringData": {"TOKEN": "t"},
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "of-the-owners", **meta}},
    ]


def has_pod_settings(pod: Object, service: Object) -> None:
    """Check that a pod and its Service have `POD_SETTINGS`."""
    meta, spec = pod["metadata"], pod["spec"]
    assert (meta["labels"]["team"], meta["annotations"]["example.com/note"]) == ("research", "of the owner's")
    assert (spec["serviceAccountName"], spec["imagePullSecrets"]) == ("of-the-owners", [{"name": "pull"}])
    assert spec["nodeSelector"] == POD_SETTINGS["nodeSelector"] and spec["affinity"] == POD_SETTINGS["affinity"]
    assert POD_SETTINGS["tolerations"][0] in spec["tolerations"]
    [container] = spec["containers"]
    wanted = POD_SETTINGS["resources"]
    assert container["resources"]["limits"] == wanted["limits"]
    assert container["resources"]["requests"] == {**wanted["requests"], "cpu": "100m"}
    assert service["spec"]["type"] == "ClusterIP"
    assert service["metadata"]["annotations"]["example.com/service"] == "yes"


def pod(name: str, image: str, command: list[str], uid: int, namespace: str = AI) -> Object:
    """A pod that passes ``restricted``."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": uid,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": command,
                    "workingDir": "/tmp",
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }


def served_by(
    name: str, image: str, port: int, files: dict[str, str], args: list[str], env: list[Object] | None = None
) -> list[Object]:
    """A server in namespace ``ai``: a Deployment of one ``restricted`` pod, a Secret with files, a Service."""
    meta = {"name": name, "namespace": AI}
    labels = {"app": name}
    container = {
        "name": "server",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "env": env or [],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "volumeMounts": [{"name": "files", "mountPath": "/files"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    security = {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}}
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    template = {
        "metadata": {"labels": labels, "annotations": {"files": digest}},
        "spec": {
            "securityContext": security,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            "volumes": [{"name": "files", "secret": {"secretName": name}}, {"name": "tmp", "emptyDir": {}}],
        },
    }
    deployment = {"selector": {"matchLabels": labels}, "strategy": {"type": "Recreate"}, "template": template}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": files},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": deployment},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": [{"port": port}]},
        },
    ]


def python_server(name: str, script: str, port: int, files: dict[str, str] | None = None) -> list[Object]:
    """One of ``servers/``, run by the Python of the operator's image, with more files in ``/files``."""
    text = (Path(__file__).parent / "servers" / f"{script}.py").read_text()
    manifests = served_by(name, images()["operator"], port, {**(files or {}), "server.py": text}, ["/files/server.py"])
    [container] = manifests[1]["spec"]["template"]["spec"]["containers"]
    container["command"] = ["/opt/litclaw/bin/python"]
    return manifests
