"""An agent's gateway: a Deployment of one pod, its Service and its state volume.

The config is managed from outside (``OPENCLAW_NIX_MODE=1``: read-only), because OpenClaw would otherwise copy it once
and never see a change. A changed config needs a new pod (measured), a changed key doesn't: it is a mounted file.
"""

from typing import Any

from litclaw.api import names
from litclaw.api.agent import Gateway, OpenClawAgent
from litclaw.render.agent.gateway_key import key_container
from litclaw.render.metadata import Manifest, digest, labels
from litclaw.render.openclaw.config import GATEWAY_PORT, KEY_DIR
from litclaw.render.owned import of_agent
from litclaw.render.pod import CONTAINER_SECURITY, container_settings, env, pod_security, pod_settings

GATEWAY_UID = 1000  # the official image's user
HOME = "/home/node"
STATE_DIR = f"{HOME}/.openclaw"
CACHE_DIR = f"{HOME}/.cache"  # where OpenClaw copies its databases to before it checks them: it doesn't start without
CONFIG_DIR = "/etc/openclaw"
_REQUESTS = {"cpu": "100m", "memory": "1536Mi"}  # 2026.9.6 used 1.1 to 1.4 GB after some turns


def gateway_name(agent: OpenClawAgent) -> str:
    """Name of the gateway's Deployment, Service and volume claim."""
    return names.agent_config(agent.metadata.name)


def gateway_service(agent: OpenClawAgent, gateway: Gateway) -> Manifest:
    """The Service in front of the gateway."""
    manifest = of_agent(
        agent,
        "v1",
        "Service",
        gateway_name(agent),
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
    manifest = of_agent(
        agent,
        "v1",
        "PersistentVolumeClaim",
        gateway_name(agent),
        component="gateway",
    )
    return {
        **manifest,
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": gateway.storage}}},
    }


# A release that doesn't know a probe's path answers it with 200 and the Control UI. So the startup probe asserts the
# JSON of each path once, and after it the status codes of the cheap HTTP probes can be believed. /startupz is newer
# (2026.8.1) than the others; it leaves out channels, one of which may be broken without stopping the start.
_STARTED = f"""
const get = path => fetch('http://127.0.0.1:{GATEWAY_PORT}' + path).then(answer => answer.json());
const startup = get('/startupz').then(body => body.status === 'started', () => null);
Promise.all([startup, get('/readyz'), get('/healthz')]).then(
  ([started, ready, health]) => process.exit((started ?? ready.ready === true) && health.ok === true ? 0 : 1),
  () => process.exit(1));
""".strip()


def _answers(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "gateway", "scheme": "HTTP"}, "timeoutSeconds": 10}


def gateway_deployment(agent: OpenClawAgent, gateway: Gateway, configmap: Manifest) -> Manifest:
    """The Deployment of one pod.

    Args:
        agent: the resource.
        gateway: its ``spec.gateway``.
        configmap: the agent's ConfigMap; other data in it make a new pod.
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
    if names.CA_CERTIFICATES in configmap["data"]:
        own.append({"name": "NODE_EXTRA_CA_CERTS", "value": f"{CONFIG_DIR}/{names.CA_CERTIFICATES}"})
    mounts: list[dict[str, Any]] = [
        {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
        {"name": "cache", "mountPath": CACHE_DIR},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    container: dict[str, Any] = {
        "name": "openclaw",
        "image": gateway.image,
        "imagePullPolicy": "IfNotPresent",
        # Relative to the image's working directory, where the official image has it and ours.
        "command": ["node", "openclaw.mjs", "gateway", "run", "--port", str(GATEWAY_PORT)],
        "env": env(own, gateway),
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
    manifest = of_agent(
        agent,
        "apps/v1",
        "Deployment",
        gateway_name(agent),
        component="gateway",
    )
    return {
        **manifest,
        "spec": {
            "replicas": 0 if agent.spec.suspend else 1,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": selector},
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {
                    "labels": {**gateway.pod_labels, **selector},
                    "annotations": {**gateway.pod_annotations, names.ANNOTATION_CONFIG: digest(configmap["data"])},
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
