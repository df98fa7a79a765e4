"""``LiteLLMRoute.spec.managed``: a proxy that the operator runs."""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from litclaw.api import names
from litclaw.api.base import Image, Model, SecretKeyRef
from litclaw.api.cel import CelRule, rules
from litclaw.api.free_form import free_form, limit_depth
from litclaw.api.images import LITELLM_IMAGE
from litclaw.api.kubernetes import ANNOTATIONS_RULES, Annotations, StorageSize
from litclaw.api.pod_settings import PodSettings, env_rule

PROXY_ENV: Final = (
    names.DATABASE_URL,
    names.MASTER_KEY,
    names.SALT_KEY,
    "DISABLE_SCHEMA_UPDATE",
    "LITELLM_MODE",
    "LITELLM_LOCAL_MODEL_COST_MAP",
    "LITELLM_MIGRATION_DIR",
)
"""Environment variables of every proxy that the operator sets."""

SHORTEST_SECRET: Final = 16
"""Minimum length of a master key or a salt in characters: LiteLLM's own minimum for keys that it is given."""

IntOrPercent = Annotated[
    int | str,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "minimum": 0,
            "maximum": 2**31 - 1,
            "pattern": r"^(100|[1-9]?[0-9])%$",
            "maxLength": 4,
        }
    ),
]

TopologySpread = Annotated[
    dict[str, Any],
    BeforeValidator(limit_depth),
    WithJsonSchema(
        {
            **free_form(
                topologyKey={
                    "type": "string",
                    "description": "Node label over whose values pods are spread, such as topology.kubernetes.io/zone.",
                    "minLength": 1,
                    "maxLength": 317,
                },
                maxSkew={
                    "type": "integer",
                    "description": "Maximum difference in the number of pods between two values of the label.",
                    "minimum": 1,
                    "maximum": 100,
                },
                whenUnsatisfiable={
                    "type": "string",
                    "description": "What happens to a pod that would exceed maxSkew. DoNotSchedule: it waits. "
                    "ScheduleAnyway: it runs nevertheless.",
                    "enum": ["DoNotSchedule", "ScheduleAnyway"],
                },
            ),
            "required": ["topologyKey", "maxSkew", "whenUnsatisfiable"],
        }
    ),
]


class EmbeddedDatabase(Model):
    """One PostgreSQL pod in a StatefulSet, for trials and small teams. It is deleted with the route."""

    storage: Annotated[
        StorageSize,
        CelRule("self == oldSelf", "embedded.storage can't be changed: a StatefulSet's volume keeps its size"),
    ] = Field(
        "10Gi", description="Size of the volume. It can't be changed later, and a volume that exists keeps its size."
    )


class Database(Model):
    """The PostgreSQL database in which LiteLLM stores keys, budgets and spend."""

    secret_ref: SecretKeyRef | None = Field(None, description="A Secret key with a postgresql:// URL.")
    embedded: EmbeddedDatabase | None = Field(
        None,
        description="One PostgreSQL pod beside the proxy, for trials and small teams. It and its data are deleted "
        "with the route.",
    )


class ServiceSettings(Model):
    """The Service in front of the pods."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field("ClusterIP", description="Type of the Service.")
    annotations: Annotations = Field(
        default_factory=dict, description="Annotations of the Service.", json_schema_extra=ANNOTATIONS_RULES
    )


class Autoscaling(Model):
    """Settings of a HorizontalPodAutoscaler for the proxy's pods."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CelRule(
                "self.minReplicas <= self.maxReplicas",
                "minReplicas must be at most maxReplicas: lower it, or raise maxReplicas",
                ".minReplicas",
            )
        )
    )

    min_replicas: int = Field(1, description="Minimum number of pods.", ge=1, le=100)
    max_replicas: int = Field(description="Maximum number of pods.", ge=1, le=100)
    target_cpu_utilization: int = Field(
        80,
        alias="targetCPUUtilization",
        description="Average CPU use at which pods are added, in percent of the requested CPU.",
        ge=1,
        le=1000,
    )


class DisruptionBudget(Model):
    """How many proxy pods keep running while nodes are drained."""

    min_available: IntOrPercent = Field(
        1,
        description="Number or percentage of pods that must keep running. If it is as many as there are, no node with "
        "one of them can be drained.",
    )


class Redis(Model):
    """A Redis through which several proxy pods share limits, spend and the news that a key is blocked."""

    secret_ref: SecretKeyRef = Field(
        description="A Secret key with a redis:// or rediss:// URL. LiteLLM receives it as REDIS_URL. Models' answers "
        "are not cached there."
    )


class NetworkPolicySettings(Model):
    """Which pods may reach the proxy and the database."""

    enabled: bool = Field(
        True,
        description="Whether NetworkPolicies are created. They let the namespaces of allowedNamespaces, the operator "
        "and, with monitoring, Prometheus reach the proxy, and only the proxy and its migration the embedded database.",
    )


class Monitoring(Model):
    """Metrics for Prometheus."""

    enabled: bool = Field(
        False,
        description="Whether LiteLLM serves metrics at /metrics, without authentication to everyone who can reach the "
        "port. A PodMonitor is created if the cluster has that kind. The NetworkPolicy admits Prometheus from namespaces "
        f"with the label {names.LABEL_METRICS}: {names.METRICS_ALLOWED}.",
    )


class Dashboard(Model):
    """LiteLLM's dashboard, at /ui."""

    enabled: bool = Field(
        True,
        description="Whether people may sign in to the dashboard, by default with the user admin and the master key as "
        "the password.",
    )


_RULES: Final = rules(
    env_rule(PROXY_ENV),
    CelRule(
        "!has(self.replicas) || !has(self.autoscaling)",
        "replicas and autoscaling exclude each other: remove one of them",
        ".replicas",
    ),
    CelRule(
        "!has(self.autoscaling) || !has(self.resources) || "
        "has(self.resources.requests) && 'cpu' in self.resources.requests || "
        "has(self.resources.limits) && 'cpu' in self.resources.limits",
        "autoscaling compares CPU with what is requested: add resources.requests.cpu",
        ".resources",
    ),
    CelRule(
        f"!has(self.redis) || !has(self.env) || self.env.all(e, e.name != '{names.REDIS_URL}')",
        f"env can't replace what redis.secretRef sets: remove {names.REDIS_URL}",
        ".env",
    ),
)


class Managed(PodSettings):
    """A proxy that the operator runs."""

    model_config = ConfigDict(json_schema_extra=_RULES)

    # A factory, so that the CRD has no default: a resource without an image follows the operator's release.
    image: Image = Field(
        default_factory=lambda: LITELLM_IMAGE,
        description="LiteLLM image, with database support. A new one first migrates the database in a Job. Defaults "
        f"to the release that the operator is made for, {LITELLM_IMAGE}.",
    )
    replicas: int | None = Field(
        None,
        description="Number of proxy pods. Defaults to 1. With 0, no call is answered. Can't be set together with "
        "autoscaling.",
        ge=0,
        le=100,
    )
    autoscaling: Autoscaling | None = Field(
        None, description="A HorizontalPodAutoscaler that sets the number of proxy pods by their CPU use."
    )
    port: int = Field(
        4000, description="Port of the Service. One that is given up is served for another hour.", ge=1, le=65535
    )
    service: ServiceSettings = Field(default_factory=ServiceSettings, description="The Service in front of the pods.")
    database: Database = Field(
        description="The PostgreSQL database in which LiteLLM stores keys, budgets and spend.",
        json_schema_extra=rules(
            CelRule(
                "has(self.secretRef) != has(self.embedded)",
                "exactly one of database.secretRef and database.embedded must be set",
            ),
        ),
    )
    redis: Redis | None = Field(
        None,
        description="A Redis through which several proxy pods share limits, spend and the news that a key is blocked. "
        "If unset, each pod counts limits for itself.",
    )
    master_key_secret_ref: SecretKeyRef | None = Field(
        None,
        description=f"A Secret key with the master key, which starts with sk- and has at least {SHORTEST_SECRET} "
        "characters. If unset, the operator generates one once, in the Secret <route>-master-key.",
    )
    salt_key_secret_ref: SecretKeyRef | None = Field(
        None,
        description="A Secret key with the salt key. It must never change, because LiteLLM can't decrypt what it has "
        "stored with another salt. If unset, the operator generates one once, in the Secret <route>-salt-key.",
    )
    topology_spread_constraints: Annotated[list[TopologySpread], Field(max_length=16)] = Field(
        default_factory=list,
        description="How the pods are spread, as in a PodSpec; labelSelector defaults to the proxy's pods. If unset, "
        "they are spread over nodes where possible.",
    )
    pod_disruption_budget: DisruptionBudget | None = Field(
        None,
        description="How many pods keep running while nodes are drained. If unset, one, provided that there are at "
        "least two.",
    )
    network_policy: NetworkPolicySettings = Field(
        default_factory=NetworkPolicySettings, description="Which pods may reach the proxy and the database."
    )
    monitoring: Monitoring = Field(default_factory=Monitoring, description="Metrics for Prometheus.")
    dashboard: Dashboard = Field(
        default_factory=Dashboard, description="LiteLLM's dashboard, at /ui, where people look at spend."
    )
    termination_grace_period_seconds: int = Field(
        300,
        description="How long a pod that ends may go on with the calls that it has, as in a PodSpec. It accepts new ones "
        "during the first 120 s, or half of a shorter time, and ends when the last call has been answered.",
        ge=10,
        le=86_400,
    )

    @property
    def fixed_replicas(self) -> int | None:
        """Number of pods in the Deployment; None if an autoscaler sets it."""
        if self.autoscaling:
            return None
        return 1 if self.replicas is None else self.replicas

    @property
    def least_replicas(self) -> int:
        """Minimum number of pods."""
        return self.autoscaling.min_replicas if self.autoscaling else self.fixed_replicas or 0
