"""The embedded PostgreSQL: a StatefulSet of one pod, its Service and the data of its Secret.

It is for trials and small teams: one volume, no standby, and it is deleted with its route.
"""

from typing import Any
from urllib.parse import quote

from litclaw.api import names
from litclaw.api.images import POSTGRES_IMAGE
from litclaw.api.managed import EmbeddedDatabase
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, labels, owned_object
from litclaw.render.pod_security import CONTAINER_SECURITY, pod_security

POSTGRES_UID = 999  # the official image's user
POSTGRES_PORT = 5432
_DATA = "/var/lib/postgresql/data"


def postgres_secret_data(route: LiteLLMRoute, password: str) -> dict[str, str]:
    """The password, and the URL with which LiteLLM connects."""
    host = f"{names.route_postgres(route.metadata.name)}.{route.metadata.namespace}.svc.cluster.local"
    return {
        names.POSTGRES_PASSWORD: password,
        names.DATABASE_URL: f"postgresql://litellm:{quote(password, safe='')}@{host}:{POSTGRES_PORT}/litellm",
    }


def postgres_service(route: LiteLLMRoute) -> Manifest:
    """The headless Service that gives the pod its DNS name."""
    name = names.route_postgres(route.metadata.name)
    manifest = owned_object(route, "v1", "Service", name, component="database")
    return {
        **manifest,
        "spec": {
            "clusterIP": "None",
            "selector": labels(route.metadata.name, "database"),
            "ports": [{"name": "postgres", "port": POSTGRES_PORT, "protocol": "TCP", "targetPort": "postgres"}],
        },
    }


def postgres_statefulset(route: LiteLLMRoute, embedded: EmbeddedDatabase, present: str | None = None) -> Manifest:
    """The StatefulSet of one pod with one volume.

    Args:
        route: the resource.
        embedded: its ``spec.managed.database.embedded``.
        present: the size of the volume in an existing StatefulSet, which can't be changed; None: there is none.
    """
    name = names.route_postgres(route.metadata.name)
    selector = labels(route.metadata.name, "database")
    ready: dict[str, Any] = {
        "exec": {"command": ["pg_isready", "--quiet", "--host=127.0.0.1", "--username=litellm", "--dbname=litellm"]},
        "timeoutSeconds": 5,
    }
    container: dict[str, Any] = {
        "name": "postgres",
        "image": POSTGRES_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "POSTGRES_USER", "value": "litellm"},
            {"name": "POSTGRES_DB", "value": "litellm"},
            {
                "name": "POSTGRES_PASSWORD",
                "valueFrom": {"secretKeyRef": {"name": name, "key": names.POSTGRES_PASSWORD}},
            },
            {"name": "PGDATA", "value": f"{_DATA}/pgdata"},
        ],
        "ports": [{"name": "postgres", "containerPort": POSTGRES_PORT, "protocol": "TCP"}],
        "startupProbe": {**ready, "periodSeconds": 2, "failureThreshold": 150},
        "readinessProbe": {**ready, "periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**ready, "periodSeconds": 20, "failureThreshold": 6},
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            {"name": "data", "mountPath": _DATA},
            {"name": "run", "mountPath": "/var/run/postgresql"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    manifest = owned_object(route, "apps/v1", "StatefulSet", name, component="database")
    return {
        **manifest,
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": selector},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"},
            "template": {
                "metadata": {"labels": selector},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": pod_security(POSTGRES_UID),
                    "terminationGracePeriodSeconds": 60,
                    "containers": [container],
                    "volumes": [{"name": "run", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
                },
            },
            "volumeClaimTemplates": [
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": "data"},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": present or embedded.storage}},
                    },
                }
            ],
        },
    }
