"""A managed route's Deployment: the LiteLLM proxy's pods."""

from typing import Any

from litclaw.api import names
from litclaw.api.base import SecretKeyRef
from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, labels, owned_object
from litclaw.render.pod_security import CONTAINER_SECURITY, pod_security
from litclaw.render.pod_settings import container_env, container_settings, pod_labels, pod_settings
from litclaw.render.route.config_yaml import env_name, model_secrets
from litclaw.render.route.secret import database_ref, master_key_ref, salt_key_ref

PROXY_PORT = 4000
PROXY_UID = 65534
_CONFIG_DIR = "/etc/litellm"

_STARTUP_SECONDS = 15 * 60  # it takes about 40 s on two busy cores (measured)
_STILL_ACCEPTS_SECONDS = 120
"""How long a pod that ends still accepts calls, because it gets some until every node and load balancer knows that it
ends. It is longer than a start: a Service whose pods all end leads to them until there is another (kube-proxy), such as
when the node of the only pod is drained."""
_REQUESTS = {"cpu": "100m", "memory": "1Gi"}
_NO_API_DOCS = dict.fromkeys(("NO_DOCS", "NO_REDOC", "NO_OPENAPI"), "True")
"""LiteLLM's pages and schema of its whole API, which it serves without a key at /, /redoc and /openapi.json (get_docs_url in
proxy/utils.py of 1.106.2)."""


def _from_secret(name: str, ref: SecretKeyRef) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": ref.key}}}


def proxy_env(route: LiteLLMRoute, managed: Managed, *, migrates: bool = False) -> list[dict[str, Any]]:
    """The proxy's environment variables. Every secret is a reference.

    Args:
        route: the resource.
        managed: its ``spec.managed``.
        migrates: whether the container migrates the database. The proxy's pods don't, because replicas would race.
    """
    own = [
        _from_secret(names.DATABASE_URL, database_ref(route, managed)),
        _from_secret(names.MASTER_KEY, master_key_ref(route, managed)),
        _from_secret(names.SALT_KEY, salt_key_ref(route, managed)),
        {"name": "DISABLE_SCHEMA_UPDATE", "value": "false" if migrates else "true"},
        {"name": "LITELLM_MODE", "value": "PRODUCTION"},
        # The price map of the release instead of a download: prices change with an upgrade, not with a restart.
        {"name": "LITELLM_LOCAL_MODEL_COST_MAP", "value": "True"},
        # Prisma writes beside the migrations, and the root file system is read-only. HOME and the caches stay as the
        # image sets them, because its Prisma engines are below.
        {"name": "LITELLM_MIGRATION_DIR", "value": "/tmp/litellm-migrations"},
    ]
    if managed.redis:
        own.append(_from_secret(names.REDIS_URL, managed.redis.secret_ref))
    if not managed.dashboard.enabled:
        own.append({"name": "DISABLE_ADMIN_UI", "value": "True"})
    own += [_from_secret(env_name(ref), ref) for ref in model_secrets(route)]
    return container_env(own, managed, _NO_API_DOCS)


def proxy_arguments() -> list[str]:
    """The arguments that the proxy and its migration have in common."""
    return ["--config", f"{_CONFIG_DIR}/{names.CONFIG_YAML}"]


def proxy_container(route: LiteLLMRoute, managed: Managed, *, migrates: bool = False) -> dict[str, Any]:
    """A container with LiteLLM, its configuration and its environment. The caller adds the arguments."""
    return {
        "name": "litellm",
        "image": managed.image,
        "imagePullPolicy": "IfNotPresent",
        "env": proxy_env(route, managed, migrates=migrates),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            {"name": "config", "mountPath": _CONFIG_DIR, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        **container_settings(managed, _REQUESTS),
    }


def proxy_volumes(route: LiteLLMRoute) -> list[dict[str, Any]]:
    """The volumes of `proxy_container`."""
    return [
        {"name": "config", "configMap": {"name": names.route_workload(route.metadata.name)}},
        {"name": "tmp", "emptyDir": {}},
    ]


def _spread(route: LiteLLMRoute, managed: Managed) -> list[dict[str, Any]]:
    """Topology spread constraints, also for a single pod: otherwise a second replica would roll the first one."""
    selector = {"matchLabels": labels(route.metadata.name, "proxy")}
    anywhere = {"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
    return [{"labelSelector": selector, **given} for given in managed.topology_spread_constraints or [anywhere]]


def _probe(path: str, **settings: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http", "scheme": "HTTP"}, "timeoutSeconds": 10, **settings}


def _lifecycle(managed: Managed) -> dict[str, Any]:
    """Kubernetes itself sleeps before it sends SIGTERM, over which LiteLLM stops listening. The image may have no shell."""
    seconds = min(_STILL_ACCEPTS_SECONDS, managed.termination_grace_period_seconds // 2)
    return {"preStop": {"sleep": {"seconds": seconds}}}


def route_deployment(
    route: LiteLLMRoute, managed: Managed, *, config_digest: str, secrets_digest: str, migration: str, salt: str
) -> Manifest:
    """The Deployment. It has no ``replicas`` if an autoscaler sets them.

    Args:
        route: the resource.
        managed: its ``spec.managed``.
        config_digest: digest of config.yaml; a change rolls the pods.
        secrets_digest: keyed digest of the Secrets in use; a change rolls the pods.
        migration: keyed digest of the image and the database that the migration has run for.
        salt: fingerprint of the salt.
    """
    name, annotations = names.route_workload(route.metadata.name), {names.ANNOTATION_SALT: salt}
    manifest = owned_object(route, "apps/v1", "Deployment", name, component="proxy", annotations=annotations)
    selector = labels(route.metadata.name, "proxy")
    container: dict[str, Any] = {
        **proxy_container(route, managed),
        "args": [*proxy_arguments(), "--host", "0.0.0.0", "--port", str(PROXY_PORT)],
        "ports": [{"name": "http", "containerPort": PROXY_PORT, "protocol": "TCP"}],
        "startupProbe": _probe("/health/liveliness", periodSeconds=5, failureThreshold=_STARTUP_SECONDS // 5),
        "readinessProbe": _probe("/health/readiness", periodSeconds=5, failureThreshold=3),
        "livenessProbe": _probe("/health/liveliness", periodSeconds=20, failureThreshold=6),
        "lifecycle": _lifecycle(managed),
    }
    replicas = managed.fixed_replicas
    return {
        **manifest,
        "spec": {
            **({} if replicas is None else {"replicas": replicas}),
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "progressDeadlineSeconds": _STARTUP_SECONDS + 60,
            "template": {
                "metadata": {
                    "labels": pod_labels(managed, selector),
                    "annotations": {
                        **managed.pod_annotations,
                        names.ANNOTATION_CONFIG: config_digest,
                        names.ANNOTATION_SECRETS: secrets_digest,
                        names.ANNOTATION_MIGRATED: migration,
                    },
                },
                "spec": {
                    **pod_settings(managed),
                    "topologySpreadConstraints": _spread(route, managed),
                    "securityContext": pod_security(PROXY_UID),
                    "terminationGracePeriodSeconds": managed.termination_grace_period_seconds,
                    "containers": [container],
                    "volumes": proxy_volumes(route),
                },
            },
        },
    }
