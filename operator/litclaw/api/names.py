"""Every name that users, manifests and tests rely on, in one place."""

from typing import Final

GROUP: Final = "litclaw.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "litclaw"

FIELD_MANAGER: Final = "litclaw"
FINALIZER: Final = f"{GROUP}/finalizer"

LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
MANAGED_BY: Final = "litclaw"

ANNOTATION_DIGEST: Final = f"{GROUP}/digest"
"""On each object that we make: the digest of what we last applied (secret values excluded)."""
ANNOTATION_CONFIG: Final = f"{GROUP}/config"
"""On pod templates: the digest of the configuration; a new one rolls the pods."""
ANNOTATION_SECRETS: Final = f"{GROUP}/secrets"
"""On pod templates: a keyed digest of the Secrets in use, which tells nothing about them; a new one rolls the pods."""
ANNOTATION_MIGRATED: Final = f"{GROUP}/migrated"
"""On a proxy's pod template: a keyed digest of the image and the database that a migration has run for."""
ANNOTATION_SALT: Final = f"{GROUP}/salt"
"""On a proxy's Deployment: a fingerprint of the salt in use, keyed with the salt itself, so that it tells nothing."""

ANNOTATION_ROTATE: Final = f"{GROUP}/rotate"
"""On an agent, by its owner: each new value has its key rotated once."""
ANNOTATION_KEY: Final = f"{GROUP}/key"
"""On an agent's Secret: the first characters of the key's SHA-256, for what watches metadata alone."""
ANNOTATION_MADE: Final = f"{GROUP}/made"
"""On a route's master key that we have made: when."""
RELOADER: Final = {"reloader.stakater.com/match": "true"}
"""On an agent's Secret: workloads with ``reloader.stakater.com/search: "true"`` are rolled when the key changes."""

# Keys of the Secrets that we make.
MASTER_KEY: Final = "LITELLM_MASTER_KEY"
MASTER_KEY_BEFORE: Final = "LITELLM_MASTER_KEY_BEFORE"
"""The master key that is being replaced, while some of the proxy's pods still know no other."""
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
    """Name of a managed route's Deployment and of what stands around it: Service, ConfigMap, NetworkPolicy and others."""
    return f"{route}-litellm"


def route_migration(route: str, migration: str) -> str:
    """Name of the Job that brings a managed route's database up to date; at most 60 characters."""
    return f"{route}-migrate-{migration[:8]}"


def route_master_key(route: str) -> str:
    """Name of the Secret with a managed route's master key."""
    return f"{route}-master-key"


def route_salt_key(route: str) -> str:
    """Name of the Secret with a managed route's salt key."""
    return f"{route}-salt-key"


def route_postgres(route: str) -> str:
    """Name of an embedded PostgreSQL's StatefulSet, Service, Secret and NetworkPolicy."""
    return f"{route}-postgres"


def agent_secret(agent: str) -> str:
    """Default name of the Secret with an agent's virtual key."""
    return f"{agent}-litellm"


def agent_config(agent: str) -> str:
    """Default name of an agent's ConfigMap; also the name of its gateway's objects."""
    return f"{agent}-openclaw"


def agent_gateway_token(agent: str) -> str:
    """Name of the Secret with the token that guards an agent's gateway."""
    return f"{agent}-gateway"
