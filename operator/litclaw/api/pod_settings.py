"""The part of a pod's specification that a user may set for the proxy (`Managed`) and the gateway (`Gateway`).

`litclaw.render.pod_settings` renders it.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from litclaw.api.base import ConfigMapKeyRef, Model, ObjectName, SecretKeyRef, list_map
from litclaw.api.cel import CelRule, rules
from litclaw.api.free_form import FreeForm
from litclaw.api.kubernetes import (
    ANNOTATIONS_RULES,
    LABELS_RULES,
    OWN_LABELS_RULES,
    Annotations,
    Labels,
    LabelValue,
    Quantity,
)


class Resources(Model):
    """CPU and memory of a container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CelRule(
                "!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) || "
                "quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k]))) <= 0)",
                "each of requests must be at most its limit: lower it, or raise the one in limits",
                ".requests",
            )
        )
    )

    requests: Annotated[dict[str, Quantity], Field(max_length=20)] = Field(
        default_factory=dict, description="Resources that are reserved, such as cpu and memory."
    )
    limits: Annotated[dict[str, Quantity], Field(max_length=20)] = Field(
        default_factory=dict, description="Most that the container may use of each resource."
    )


class Toleration(Model):
    """A node taint that the pods tolerate."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CelRule(
                "has(self.key) && self.key != '' || has(self.operator) && self.operator == 'Exists'",
                "without a key, operator must be Exists",
            ),
            CelRule(
                "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
                "value must be left out with operator Exists",
                ".value",
            ),
            CelRule(
                "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
                "tolerationSeconds needs effect NoExecute",
                ".tolerationSeconds",
            ),
        )
    )

    key: str | None = Field(
        None, description="Key of the taint. If unset, operator must be Exists and every key matches.", max_length=317
    )
    operator: Literal["Exists", "Equal"] | None = Field(
        None, description="How the taint's value is compared. Defaults to Equal."
    )
    value: LabelValue | None = Field(None, description="Value of the taint, for operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint. If unset, every effect matches."
    )
    toleration_seconds: int | None = Field(
        None, description="How long a NoExecute taint is tolerated, in seconds.", ge=0, le=2**31 - 1
    )


class EnvVarSource(Model):
    """Where an environment variable's value comes from."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CelRule(
                "has(self.secretKeyRef) != has(self.configMapKeyRef)",
                "exactly one of secretKeyRef and configMapKeyRef must be set",
            )
        )
    )

    secret_key_ref: SecretKeyRef | None = Field(None, description="A key of a Secret in the same namespace.")
    config_map_key_ref: ConfigMapKeyRef | None = Field(None, description="A key of a ConfigMap in the same namespace.")


class EnvVar(Model):
    """One more environment variable for the container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CelRule("has(self.value) != has(self.valueFrom)", "exactly one of value and valueFrom must be set")
        )
    )

    name: str = Field(description="Name of the variable.", pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$", max_length=253)
    value: str | None = Field(
        None, description="Value of the variable, in plain text. Use valueFrom for secrets.", max_length=32768
    )
    value_from: EnvVarSource | None = Field(None, description="Where the value comes from.")


class LocalReference(Model):
    """The name of an object in the same namespace."""

    name: ObjectName = Field(description="Name of the object.")


class EnvFromSource(Model):
    """A ConfigMap or Secret all of whose keys become environment variables."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CelRule(
                "has(self.configMapRef) != has(self.secretRef)", "exactly one of configMapRef and secretRef must be set"
            )
        )
    )

    prefix: str | None = Field(
        None, description="Prefix of each variable's name.", pattern=r"^([-._a-zA-Z][-._a-zA-Z0-9]*)?$", max_length=253
    )
    config_map_ref: LocalReference | None = Field(None, description="A ConfigMap in the same namespace.")
    secret_ref: LocalReference | None = Field(None, description="A Secret in the same namespace.")


class PodSettings(Model):
    """Where and how the pods run."""

    resources: Resources | None = Field(None, description="CPU and memory of the container.")
    node_selector: Labels = Field(
        default_factory=dict, description="Labels that a node must have.", json_schema_extra=LABELS_RULES
    )
    tolerations: list[Toleration] = Field(
        default_factory=list, description="Taints that the pods tolerate.", max_length=50
    )
    affinity: FreeForm | None = Field(None, description="Affinity of the pods, as in a PodSpec.")
    env: list[EnvVar] = Field(
        default_factory=list,
        description="More environment variables for the container. They can't replace those that the operator sets. A "
        "change of a ConfigMap or Secret that one names rolls the proxy's pods; a gateway reads it at its next start.",
        max_length=200,
        json_schema_extra=list_map("name"),
    )
    env_from: list[EnvFromSource] = Field(
        default_factory=list,
        description="ConfigMaps and Secrets whose keys become environment variables. A change of one rolls the proxy's pods; a "
        "gateway reads it at its next start.",
        max_length=50,
    )
    image_pull_secrets: list[LocalReference] = Field(
        default_factory=list,
        description="Secrets with credentials for pulling the image.",
        max_length=20,
        json_schema_extra=list_map("name"),
    )
    pod_labels: Labels = Field(
        default_factory=dict, description="More labels for the pods.", json_schema_extra=OWN_LABELS_RULES
    )
    pod_annotations: Annotations = Field(
        default_factory=dict, description="More annotations for the pods.", json_schema_extra=ANNOTATIONS_RULES
    )
    service_account_name: ObjectName | None = Field(
        None,
        description="Service account of the pods, with its token mounted. If unset, the namespace's default account "
        "without a token.",
    )


def env_rule(own: tuple[str, ...]) -> CelRule:
    """A rule for a model that extends `PodSettings`: ``env`` must not set the operator's own variables."""
    names_in_cel = ", ".join(f"'{name}'" for name in own)
    return CelRule(
        f"!has(self.env) || self.env.all(e, !(e.name in [{names_in_cel}]))",
        f"env can't replace what the operator sets: remove {', '.join(own)}",
        ".env",
    )
