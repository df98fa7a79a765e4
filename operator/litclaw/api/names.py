"""Names that users, manifests and tests rely on: API group, labels, annotations, keys of Secrets, objects."""

from typing import Final

GROUP: Final = "litclaw.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "litclaw"

ROUTE_KIND: Final = "LiteLLMRoute"
ROUTE_PLURAL: Final = "litellmroutes"
AGENT_KIND: Final = "OpenClawAgent"
AGENT_PLURAL: Final = "openclawagents"
ROTATION_KIND: Final = "LiteLLMKeyRotation"
ROTATION_PLURAL: Final = "litellmkeyrotations"

FIELD_MANAGER: Final = "litclaw"
FINALIZER: Final = f"{GROUP}/finalizer"

LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
MANAGED_BY: Final = "litclaw"
RESERVED_POD_LABELS: Final = (LABEL_MANAGED_BY, LABEL_INSTANCE, LABEL_COMPONENT, LABEL_NAME)
"""No owner of a resource sets these labels of its pods. NetworkPolicies, also other people's, say by them who a pod is."""
LABEL_METRICS: Final = f"{GROUP}/metrics"
"""On a namespace, set by the cluster's administrator: its Prometheus may read metrics."""
METRICS_ALLOWED: Final = "allowed"

ANNOTATION_DIGEST: Final = f"{GROUP}/digest"
"""On each rendered object: the digest of what was last applied, without secret values."""
ANNOTATION_CONFIG: Final = f"{GROUP}/config"
"""On pod templates: the digest of the configuration. A change rolls the pods."""
ANNOTATION_SECRETS: Final = f"{GROUP}/secrets"
"""On pod templates: a digest of the Secrets in use, keyed or of random values only, so that it reveals nothing about them.
A change rolls the pods."""
ANNOTATION_MIGRATED: Final = f"{GROUP}/migrated"
"""On a proxy's pod template: a keyed digest of the image and the database that the migration has run for."""
ANNOTATION_FORMER_PORTS: Final = f"{GROUP}/former-ports"
"""On a proxy's Service: ports that the route has given up, each with the moment at which the Service loses it."""
ANNOTATION_SALT: Final = f"{GROUP}/salt"
"""On a proxy's Deployment: a fingerprint of the salt in use, keyed with the salt itself, so that it reveals nothing."""

ANNOTATION_ROTATE: Final = f"{GROUP}/rotate"
"""On an agent, set by its owner: each new value rotates the key once."""
ANNOTATION_KEY: Final = f"{GROUP}/key"
"""On an agent's Secret: the first characters of the key's SHA-256, for tools that watch only metadata."""
ANNOTATION_MADE: Final = f"{GROUP}/made"
"""On the Secret with a generated master key: when the key was generated."""
RELOADER: Final = {"reloader.stakater.com/match": "true"}
"""On an agent's Secret: Reloader rolls workloads with ``reloader.stakater.com/search: "true"`` when the key changes."""

# Keys of the rendered Secrets.
MASTER_KEY: Final = "LITELLM_MASTER_KEY"
MASTER_KEY_BEFORE: Final = "LITELLM_MASTER_KEY_BEFORE"
"""The previous master key, while some of the proxy's pods still have no other."""
SALT_KEY: Final = "LITELLM_SALT_KEY"
DATABASE_URL: Final = "DATABASE_URL"
REDIS_URL: Final = "REDIS_URL"
POSTGRES_PASSWORD: Final = "POSTGRES_PASSWORD"
API_KEY: Final = "LITELLM_API_KEY"
BASE_URL: Final = "LITELLM_BASE_URL"
GATEWAY_TOKEN: Final = "OPENCLAW_GATEWAY_TOKEN"

OPENCLAW_JSON: Final = "openclaw.json"
CA_CERTIFICATES: Final = "ca.crt"
CONFIG_YAML: Final = "config.yaml"


def route_workload(route: str) -> str:
    """Name of a managed route's Deployment, Service, ConfigMap, NetworkPolicy and other objects around the proxy."""
    return f"{route}-litellm"


def route_migration(route: str, migration: str) -> str:
    """Name of the Job that migrates a managed route's database; at most 60 characters."""
    return f"{route}-migrate-{migration[:8]}"


def route_master_key(route: str) -> str:
    """Name of the Secret with a managed route's master key."""
    return f"{route}-master-key"


def route_salt_key(route: str) -> str:
    """Name of the Secret with a managed route's salt key."""
    return f"{route}-salt-key"


def route_postgres(route: str) -> str:
    """Name of an embedded database's StatefulSet, Service, Secret and NetworkPolicy."""
    return f"{route}-postgres"


def agent_secret(agent: str) -> str:
    """Default name of the Secret with an agent's virtual key."""
    return f"{agent}-litellm"


def agent_config(agent: str) -> str:
    """Default name of an agent's ConfigMap, and the name of its gateway's objects."""
    return f"{agent}-openclaw"


def agent_gateway_token(agent: str) -> str:
    """Name of the Secret with the token of an agent's gateway."""
    return f"{agent}-gateway"
