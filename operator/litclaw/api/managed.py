"""``LiteLLMRoute.spec.managed``: a proxy that the operator runs."""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from litclaw.api import names
from litclaw.api.base import Image, Model, Says, SecretKeyRef, free, free_form, rules
from litclaw.api.images import LITELLM_IMAGE
from litclaw.api.kubernetes import ANNOTATIONS_RULES, Annotations, PodSettings, StorageSize, env_rule

PROXY_ENV: Final = (
    names.DATABASE_URL,
    names.MASTER_KEY,
    names.SALT_KEY,
    "DISABLE_SCHEMA_UPDATE",
    "LITELLM_MODE",
    "LITELLM_LOCAL_MODEL_COST_MAP",
    "LITELLM_MIGRATION_DIR",
)
"""Environment variables of the proxy that the operator sets, always."""

SHORTEST_SECRET: Final = 16
"""How many characters a master key or a salt must have: LiteLLM's own bound for the keys that it is given."""

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
    BeforeValidator(free),
    WithJsonSchema(
        {
            **free_form(
                topologyKey={
                    "type": "string",
                    "description": "Label of the nodes by which the pods are spread, such as topology.kubernetes.io/zone.",
                    "minLength": 1,
                    "maxLength": 317,
                },
                maxSkew={
                    "type": "integer",
                    "description": "By how many pods two values of the label may differ.",
                    "minimum": 1,
                    "maximum": 100,
                },
                whenUnsatisfiable={
                    "type": "string",
                    "description": "What becomes of a pod that would break this: it waits, or it runs nevertheless.",
                    "enum": ["DoNotSchedule", "ScheduleAnyway"],
                },
            ),
            "required": ["topologyKey", "maxSkew", "whenUnsatisfiable"],
        }
    ),
]


class EmbeddedDatabase(Model):
    """One PostgreSQL in a StatefulSet, for trials and small teams. It goes when the route goes."""

    storage: Annotated[
        StorageSize,
        Says("self == oldSelf", "embedded.storage can't be changed: a StatefulSet's volume keeps its size"),
    ] = Field("10Gi", description="Size of the volume. It can't be changed.")


class Database(Model):
    """Where LiteLLM keeps keys, budgets and spend."""

    secret_ref: SecretKeyRef | None = Field(None, description="A Secret key that holds a postgresql:// URL.")
    embedded: EmbeddedDatabase | None = Field(None, description="One PostgreSQL beside the proxy.")


class ServiceSettings(Model):
    """The Service in front of the pods."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field("ClusterIP", description="Type of the Service.")
    annotations: Annotations = Field(
        default_factory=dict, description="Annotations of the Service.", json_schema_extra=ANNOTATIONS_RULES
    )


class Autoscaling(Model):
    """How many proxy pods, by what they have to do."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.minReplicas <= self.maxReplicas",
                "minReplicas must be at most maxReplicas: lower it, or raise maxReplicas",
                ".minReplicas",
            )
        )
    )

    min_replicas: int = Field(1, description="How many pods there are at least.", ge=1, le=100)
    max_replicas: int = Field(description="How many pods there are at the most.", ge=1, le=100)
    target_cpu_utilization: int = Field(
        80,
        alias="targetCPUUtilization",
        description="Share of the requested CPU that the pods use on average before there are more, in percent.",
        ge=1,
        le=1000,
    )


class DisruptionBudget(Model):
    """How many proxy pods a node's drain leaves running."""

    min_available: IntOrPercent = Field(
        1,
        description="How many pods, or how many percent of them, must stay. As many as there are: no node that runs "
        "one can be drained.",
    )


class Redis(Model):
    """The Redis by which several proxy pods share limits, spend, and the news that a key has ended."""

    secret_ref: SecretKeyRef = Field(
        description="A Secret key that holds a redis:// or rediss:// URL. It reaches LiteLLM as REDIS_URL. The models' "
        "answers are not cached there."
    )


class NetworkPolicySettings(Model):
    """Who may reach the pods over the network."""

    enabled: bool = Field(
        True,
        description="Whether there are NetworkPolicies: the proxy is reached from the namespaces that allowedNamespaces "
        "names and from the operator, the embedded database from the proxy alone.",
    )


class Monitoring(Model):
    """Metrics for Prometheus."""

    enabled: bool = Field(
        False,
        description="Whether LiteLLM counts for Prometheus at /metrics, without a key for whoever reaches the port, with "
        "a PodMonitor where the cluster knows that kind.",
    )


_RULES: Final = (
    (
        "!has(self.replicas) || !has(self.autoscaling)",
        "replicas and autoscaling exclude each other: remove one of them",
        ".replicas",
    ),
    (
        (
            "!has(self.autoscaling) || !has(self.resources) || "
            "has(self.resources.requests) && 'cpu' in self.resources.requests || "
            "has(self.resources.limits) && 'cpu' in self.resources.limits"
        ),
        "autoscaling compares CPU with what is requested: add resources.requests.cpu",
        ".resources",
    ),
    (
        f"!has(self.redis) || !has(self.env) || self.env.all(e, e.name != '{names.REDIS_URL}')",
        f"env can't replace what redis.secretRef sets: remove {names.REDIS_URL}",
        ".env",
    ),
)
_ENV_RULE: Final = env_rule(PROXY_ENV)


class Managed(PodSettings):
    """A proxy that the operator runs."""

    model_config = ConfigDict(json_schema_extra={key: [*_ENV_RULE[key], *more] for key, more in rules(*_RULES).items()})

    # A factory, so that the API server fills in none: a resource that names no image moves on with the operator.
    image: Image = Field(
        default_factory=lambda: LITELLM_IMAGE,
        description="LiteLLM image, with database support. Left out: the release that this operator is made for, "
        f"{LITELLM_IMAGE}. A new one migrates the database in a Job before the pods change.",
    )
    replicas: int | None = Field(
        None, description="How many proxy pods. Left out: 1, or as autoscaling says.", ge=0, le=100
    )
    autoscaling: Autoscaling | None = Field(
        None, description="Let a HorizontalPodAutoscaler say how many proxy pods there are, instead of replicas."
    )
    port: int = Field(4000, description="Port of the Service.", ge=1, le=65535)
    service: ServiceSettings = Field(default_factory=ServiceSettings, description="The Service in front of the pods.")
    database: Database = Field(
        description="Where LiteLLM keeps keys, budgets and spend.",
        json_schema_extra=rules(
            (
                "has(self.secretRef) != has(self.embedded)",
                "exactly one of database.secretRef and database.embedded must be set",
            ),
        ),
    )
    redis: Redis | None = Field(
        None, description="The Redis that several proxy pods share; without it each counts limits for itself."
    )
    master_key_secret_ref: SecretKeyRef | None = Field(
        None,
        description="A Secret key that holds the master key: sk- and more, at least 16 characters. Left out: made once, "
        "in Secret <route>-master-key.",
    )
    salt_key_secret_ref: SecretKeyRef | None = Field(
        None,
        description="A Secret key that holds the salt key. Left out: made once, in Secret <route>-salt-key. "
        "LiteLLM can't read what it has stored once the salt changes, so it must never change.",
    )
    topology_spread_constraints: Annotated[list[TopologySpread], Field(max_length=16)] = Field(
        default_factory=list,
        description="How the pods are spread, as in a PodSpec; without labelSelector, the proxy's pods are meant. Left "
        "out: over the nodes where there is room.",
    )
    pod_disruption_budget: DisruptionBudget | None = Field(
        None, description="How many pods a node's drain leaves running. Left out: one, where there are more than one."
    )
    network_policy: NetworkPolicySettings = Field(
        default_factory=NetworkPolicySettings, description="Who may reach the pods over the network."
    )
    monitoring: Monitoring = Field(default_factory=Monitoring, description="Metrics for Prometheus.")

    @property
    def fixed_replicas(self) -> int | None:
        """How many pods the resource asks for; None where an autoscaler decides."""
        if self.autoscaling:
            return None
        return 1 if self.replicas is None else self.replicas

    @property
    def least_replicas(self) -> int:
        """How many pods there are at least."""
        return self.autoscaling.min_replicas if self.autoscaling else self.fixed_replicas or 0
