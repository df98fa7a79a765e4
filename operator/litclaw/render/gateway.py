"""An agent's gateway: a Deployment of one pod, its Service and its state volume.

The config is managed from outside (``OPENCLAW_NIX_MODE=1``: read-only), because OpenClaw would otherwise copy it once
and never see a change. A changed config needs a new pod (measured), a changed key doesn't: it is a mounted file.
"""

from typing import Any

from ..api import names
from ..api.agent import AGENT_KIND, Gateway, OpenClawAgent
from .metadata import Manifest, child, labels
from .openclaw_config import GATEWAY_PORT, KEY_DIR
from .pod import CONTAINER_SECURITY, container_settings, env, pod_security, pod_settings

GATEWAY_UID = 1000  # the official image's user
STATE_DIR = "/home/node/.openclaw"
CONFIG_DIR = "/etc/openclaw"
_REQUESTS = {"cpu": "100m", "memory": "1Gi"}


def gateway_name(agent: OpenClawAgent) -> str:
    """Name of the gateway's Deployment, Service and volume claim."""
    return names.agent_config(agent.metadata.name)


def gateway_service(agent: OpenClawAgent, gateway: Gateway) -> Manifest:
    """The Service in front of the gateway."""
    manifest = child(
        "v1",
        "Service",
        gateway_name(agent),
        owner_kind=AGENT_KIND,
        owner=agent.metadata,
        component="gateway",
        annotations=gateway.service.annotations,
    )
    return {
        **manifest,
        "spec": {
            "type": gateway.service.type,
            "selector": labels(agent.metadata.name, "gateway"),
            "ports": [{"name": "gateway", "port": GATEWAY_PORT, "protocol": "TCP", "targetPort": "gateway"}],
        },
    }


def gateway_volume_claim(agent: OpenClawAgent, gateway: Gateway) -> Manifest:
    """The volume with the agent's state: sessions, memory, workspace. It goes when the agent goes."""
    manifest = child(
        "v1",
        "PersistentVolumeClaim",
        gateway_name(agent),
        owner_kind=AGENT_KIND,
        owner=agent.metadata,
        component="gateway",
    )
    return {
        **manifest,
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": gateway.storage}}},
    }


def _ready(path: str, field: str) -> dict[str, Any]:
    # An unknown path answers 200 with the Control UI, so the probe asserts the JSON.
    script = (
        f"fetch('http://127.0.0.1:{GATEWAY_PORT}{path}').then(r=>r.json())"
        f".then(b=>process.exit(b.{field}===true?0:1),()=>process.exit(1))"
    )
    return {"exec": {"command": ["node", "-e", script]}, "timeoutSeconds": 10}


def gateway_deployment(agent: OpenClawAgent, gateway: Gateway, *, config_digest: str) -> Manifest:
    """The Deployment of one pod.

    Args:
        agent: the resource.
        gateway: its ``spec.gateway``.
        config_digest: digest of the ConfigMap; another one makes a new pod.
    """
    own: list[dict[str, Any]] = [
        {"name": "OPENCLAW_CONFIG_PATH", "value": f"{CONFIG_DIR}/{names.OPENCLAW_JSON}"},
        {"name": "OPENCLAW_STATE_DIR", "value": STATE_DIR},
        {"name": "OPENCLAW_NIX_MODE", "value": "1"},
        {"name": "HOME", "value": "/home/node"},
        {
            "name": names.GATEWAY_TOKEN,
            "valueFrom": {
                "secretKeyRef": {
                    "name": names.agent_gateway_token(agent.metadata.name),
                    "key": names.GATEWAY_TOKEN,
                }
            },
        },
    ]
    container: dict[str, Any] = {
        "name": "openclaw",
        "image": gateway.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["openclaw", "gateway", "run", "--port", str(GATEWAY_PORT)],
        "env": env(own, gateway),
        "ports": [{"name": "gateway", "containerPort": GATEWAY_PORT, "protocol": "TCP"}],
        "startupProbe": {**_ready("/readyz", "ready"), "periodSeconds": 5, "failureThreshold": 60},
        "readinessProbe": {**_ready("/readyz", "ready"), "periodSeconds": 10, "failureThreshold": 3},
        "livenessProbe": {**_ready("/healthz", "ok"), "periodSeconds": 30, "failureThreshold": 5},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            {"name": "key", "mountPath": KEY_DIR, "readOnly": True},
            {"name": "state", "mountPath": STATE_DIR},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        **container_settings(gateway, _REQUESTS),
    }
    selector = labels(agent.metadata.name, "gateway")
    key_items = [{"key": names.API_KEY, "path": names.API_KEY}]
    manifest = child(
        "apps/v1",
        "Deployment",
        gateway_name(agent),
        owner_kind=AGENT_KIND,
        owner=agent.metadata,
        component="gateway",
    )
    return {
        **manifest,
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": selector},
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {
                    "labels": {**gateway.pod_labels, **selector},
                    "annotations": {**gateway.pod_annotations, names.ANNOTATION_CONFIG: config_digest},
                },
                "spec": {
                    **pod_settings(gateway),
                    "securityContext": pod_security(GATEWAY_UID),
                    "terminationGracePeriodSeconds": 30,
                    "containers": [container],
                    "volumes": [
                        {"name": "config", "configMap": {"name": agent.config_map_name}},
                        {
                            "name": "key",
                            "secret": {"secretName": agent.secret_name, "defaultMode": 0o440, "items": key_items},
                        },
                        {"name": "state", "persistentVolumeClaim": {"claimName": gateway_name(agent)}},
                        {"name": "tmp", "emptyDir": {}},
                    ],
                },
            },
        },
    }
