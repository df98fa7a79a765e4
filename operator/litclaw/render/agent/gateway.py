"""An agent's gateway: a Deployment of one pod, its Service and its state volume.

The config is read-only for OpenClaw (``OPENCLAW_NIX_MODE=1``), which would otherwise copy it once and ignore later
changes. A changed config needs a new pod (measured). A changed key doesn't, because it is a mounted file.
"""

from typing import Any

from litclaw.api import names
from litclaw.api.agent import Gateway, OpenClawAgent
from litclaw.api.digest import digest
from litclaw.api.quantity import larger_size
from litclaw.render.agent.gateway_key import key_container
from litclaw.render.metadata import Manifest, labels, owned_object
from litclaw.render.openclaw.config import GATEWAY_PORT, KEY_DIR
from litclaw.render.pod_security import CONTAINER_SECURITY, pod_security
from litclaw.render.pod_settings import container_env, container_settings, pod_labels, pod_settings

GATEWAY_UID = 1000  # the official image's user
HOME = "/home/node"
STATE_DIR = f"{HOME}/.openclaw"
CACHE_DIR = f"{HOME}/.cache"  # OpenClaw copies its databases here to check them, and doesn't start without it
CONFIG_DIR = "/etc/openclaw"
_REQUESTS = {"cpu": "100m", "memory": "1536Mi"}  # 2026.9.6 used 1.1 to 1.4 GB after some turns


def gateway_name(agent: OpenClawAgent) -> str:
    """Name of the gateway's Deployment, Service and volume claim."""
    return names.agent_config(agent.metadata.name)


def gateway_service(agent: OpenClawAgent, gateway: Gateway) -> Manifest:
    """The Service in front of the gateway."""
    name, annotations = gateway_name(agent), gateway.service.annotations
    manifest = owned_object(agent, "v1", "Service", name, component="gateway", annotations=annotations)
    return {
        **manifest,
        "spec": {
            "type": gateway.service.type,
            "selector": labels(agent.metadata.name, "gateway"),
            "ports": [{"name": "gateway", "port": GATEWAY_PORT, "protocol": "TCP", "targetPort": "gateway"}],
        },
    }


def gateway_volume_claim(agent: OpenClawAgent, gateway: Gateway, present: str | None = None) -> Manifest:
    """The volume with the agent's state: sessions, memory, workspace. It is deleted with the agent.

    Args:
        agent: the resource.
        gateway: its ``spec.gateway``.
        present: the size that an existing claim asks for; None: there is none. A claim never shrinks, and somebody may
            have grown it.
    """
    manifest = owned_object(agent, "v1", "PersistentVolumeClaim", gateway_name(agent), component="gateway")
    return {
        **manifest,
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": larger_size(gateway.storage, present)}},
        },
    }


# A release that doesn't have a probe's path answers 200 with the Control UI. So the startup probe checks the JSON of
# each path once; after that, the status codes of the cheaper HTTP probes are reliable. /startupz is newer (2026.8.1)
# than the others. It ignores channels, so that a broken one doesn't stop the start.
_STARTED = f"""
const get = path => fetch('http://127.0.0.1:{GATEWAY_PORT}' + path).then(answer => answer.json());
const startup = get('/startupz').then(body => body.status === 'started', () => null);
Promise.all([startup, get('/readyz'), get('/healthz')]).then(
  ([started, ready, health]) => process.exit((started ?? ready.ready === true) && health.ok === true ? 0 : 1),
  () => process.exit(1));
""".strip()


def _answers(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "gateway", "scheme": "HTTP"}, "timeoutSeconds": 10}


def gateway_deployment(agent: OpenClawAgent, gateway: Gateway, configmap: Manifest, token: str) -> Manifest:
    """The Deployment of one pod.

    Args:
        agent: the resource.
        gateway: its ``spec.gateway``.
        configmap: the agent's ConfigMap; a change of its data makes a new pod.
        token: digest of the gateway's token; a change makes a new pod.
    """
    own: list[dict[str, Any]] = [
        {"name": "OPENCLAW_CONFIG_PATH", "value": f"{CONFIG_DIR}/{names.OPENCLAW_JSON}"},
        {"name": "OPENCLAW_STATE_DIR", "value": STATE_DIR},
        {"name": "OPENCLAW_NIX_MODE", "value": "1"},
        {"name": "HOME", "value": HOME},
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
    mounts: list[dict[str, Any]] = [
        {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
        {"name": "cache", "mountPath": CACHE_DIR},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    container: dict[str, Any] = {
        "name": "openclaw",
        "image": gateway.image,
        "imagePullPolicy": "IfNotPresent",
        # Relative to the image's working directory, both in the official image and in ours.
        "command": ["node", "openclaw.mjs", "gateway", "run", "--port", str(GATEWAY_PORT)],
        "env": container_env(own, gateway),
        "ports": [{"name": "gateway", "containerPort": GATEWAY_PORT, "protocol": "TCP"}],
        "startupProbe": {
            "exec": {"command": ["node", "-e", _STARTED]},
            "timeoutSeconds": 10,
            "periodSeconds": 5,
            "failureThreshold": 60,
        },
        "readinessProbe": {**_answers("/readyz"), "periodSeconds": 10, "failureThreshold": 3},
        "livenessProbe": {**_answers("/healthz"), "periodSeconds": 30, "failureThreshold": 5},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            *mounts,
            {"name": "state", "mountPath": STATE_DIR},
            {"name": "key", "mountPath": KEY_DIR, "readOnly": True},
        ],
        **container_settings(gateway, _REQUESTS),
    }
    selector = labels(agent.metadata.name, "gateway")
    key_items = [{"key": names.API_KEY, "path": names.API_KEY}]
    manifest = owned_object(agent, "apps/v1", "Deployment", gateway_name(agent), component="gateway")
    return {
        **manifest,
        "spec": {
            "replicas": 0 if agent.spec.suspend else 1,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": selector},
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {
                    "labels": pod_labels(gateway, selector),
                    "annotations": {
                        **gateway.pod_annotations,
                        names.ANNOTATION_CONFIG: digest(configmap["data"]),
                        names.ANNOTATION_SECRETS: token,
                    },
                },
                "spec": {
                    **pod_settings(gateway),
                    "securityContext": pod_security(GATEWAY_UID),
                    "terminationGracePeriodSeconds": 30,
                    "initContainers": [key_container(gateway.image, own, mounts)],
                    "containers": [container],
                    "volumes": [
                        {"name": "config", "configMap": {"name": agent.config_map_name}},
                        {
                            "name": "secret",
                            "secret": {"secretName": agent.secret_name, "defaultMode": 0o440, "items": key_items},
                        },
                        {"name": "key", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                        {"name": "state", "persistentVolumeClaim": {"claimName": gateway_name(agent)}},
                        {"name": "cache", "emptyDir": {}},
                        {"name": "tmp", "emptyDir": {}},
                    ],
                },
            },
        },
    }
