"""A managed route's Deployment: the LiteLLM proxy's pods."""

from typing import Any

from ..api import names
from ..api.base import SecretKeyRef
from ..api.route import ROUTE_KIND, LiteLLMRoute, Managed
from .litellm_config import env_name, model_secrets
from .metadata import Manifest, child, labels
from .pod import CONTAINER_SECURITY, container_settings, env, pod_security, pod_settings
from .route_secret import database_ref, master_key_ref, salt_key_ref

PROXY_PORT = 4000
PROXY_UID = 65534
_CONFIG_DIR = "/etc/litellm"

# Measured: about 40 s from start to ready on two busy cores, more with the first migration of a new database.
_STARTUP_SECONDS = 15 * 60
_REQUESTS = {"cpu": "100m", "memory": "1Gi"}


def _from_secret(name: str, ref: SecretKeyRef) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": ref.key}}}


def proxy_env(route: LiteLLMRoute, managed: Managed) -> list[dict[str, Any]]:
    """The proxy's environment: every secret by reference."""
    own = [
        _from_secret(names.DATABASE_URL, database_ref(route, managed)),
        _from_secret(names.MASTER_KEY, master_key_ref(route, managed)),
        _from_secret(names.SALT_KEY, salt_key_ref(route, managed)),
        {"name": "LITELLM_MODE", "value": "PRODUCTION"},
        # The price map that ships with the release: what a model costs changes with a roll-out, not with a restart.
        {"name": "LITELLM_LOCAL_MODEL_COST_MAP", "value": "True"},
        # The root is read-only, and Prisma writes beside the migrations. HOME and the caches stay as the image bakes
        # them: its Prisma engines lie below.
        {"name": "LITELLM_MIGRATION_DIR", "value": "/tmp/litellm-migrations"},
    ]
    own += [_from_secret(env_name(ref), ref) for ref in model_secrets(route)]
    return env(own, managed)


def _probe(path: str, **settings: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http", "scheme": "HTTP"}, "timeoutSeconds": 10, **settings}


def route_deployment(route: LiteLLMRoute, managed: Managed, *, config_digest: str, secrets_digest: str) -> Manifest:
    """The Deployment.

    Args:
        route: the resource.
        managed: its ``spec.managed``.
        config_digest: digest of config.yaml; another one rolls the pods.
        secrets_digest: keyed digest of the Secrets in use; another one rolls the pods.
    """
    manifest = child(
        "apps/v1",
        "Deployment",
        names.route_workload(route.metadata.name),
        owner_kind=ROUTE_KIND,
        owner=route.metadata,
        component="proxy",
    )
    selector = labels(route.metadata.name, "proxy")
    container: dict[str, Any] = {
        "name": "litellm",
        "image": managed.image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--config", f"{_CONFIG_DIR}/{names.CONFIG_YAML}", "--host", "0.0.0.0", "--port", str(PROXY_PORT)],
        "env": proxy_env(route, managed),
        "ports": [{"name": "http", "containerPort": PROXY_PORT, "protocol": "TCP"}],
        "startupProbe": _probe("/health/liveliness", periodSeconds=5, failureThreshold=_STARTUP_SECONDS // 5),
        "readinessProbe": _probe("/health/readiness", periodSeconds=5, failureThreshold=3),
        "livenessProbe": _probe("/health/liveliness", periodSeconds=20, failureThreshold=6),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            {"name": "config", "mountPath": _CONFIG_DIR, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        **container_settings(managed, _REQUESTS),
    }
    return {
        **manifest,
        "spec": {
            "replicas": managed.replicas,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "progressDeadlineSeconds": _STARTUP_SECONDS + 60,
            "template": {
                "metadata": {
                    "labels": {**managed.pod_labels, **selector},
                    "annotations": {
                        **managed.pod_annotations,
                        names.ANNOTATION_CONFIG: config_digest,
                        names.ANNOTATION_SECRETS: secrets_digest,
                    },
                },
                "spec": {
                    **pod_settings(managed),
                    "securityContext": pod_security(PROXY_UID),
                    "terminationGracePeriodSeconds": 60,
                    "containers": [container],
                    "volumes": [
                        {"name": "config", "configMap": {"name": names.route_workload(route.metadata.name)}},
                        {"name": "tmp", "emptyDir": {}},
                    ],
                },
            },
        },
    }
