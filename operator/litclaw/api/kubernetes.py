"""The parts of a pod's specification that a user may set, passed through to the pods as they are."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from litclaw.api import names
from litclaw.api.base import FREE_FORM, Matches, Model, ObjectName, SecretKeyRef, free, rules

Quantity = Annotated[
    int | str,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "pattern": r"^([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$",
            "maxLength": 32,
        }
    ),
]
"""A Kubernetes quantity, such as 500m or 1Gi. Two digits of an exponent are more than any has: over 1e999999999999 the
API server itself (1.36.3) computes for minutes and takes gigabytes, here in a rule and in every object that is made."""

StorageSize = Annotated[
    str,
    Field(max_length=20),
    Matches(
        r"^([1-9][0-9]*([.][0-9]+)?|0[.]0*[1-9][0-9]*)(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$",
        "must be a size of more than zero, such as 10Gi",
    ),
]
FreeForm = Annotated[dict[str, Any], BeforeValidator(free), WithJsonSchema(FREE_FORM)]

LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", max_length=63)]
Labels = Annotated[dict[str, LabelValue], Field(max_length=50)]
Annotations = Annotated[dict[str, Annotated[str, Field(max_length=65536)]], Field(max_length=50)]

_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_KEYS_RULE = (
    f"self.all(k, size(k) <= 317 && k.matches(r'{_KEY}'))",
    "each key must be a label key, such as team or example.com/team, of at most 63 characters after the /",
)
LABELS_RULES = rules(_KEYS_RULE)


class LabelSelector(Model):
    """Which objects, by their labels."""

    match_labels: Labels = Field(
        default_factory=dict, description="Labels that an object must have.", json_schema_extra=LABELS_RULES
    )


OWN_LABELS_RULES = rules(
    _KEYS_RULE,
    (
        (
            f"!('{names.LABEL_MANAGED_BY}' in self || '{names.LABEL_INSTANCE}' in self "
            f"|| '{names.LABEL_COMPONENT}' in self)"
        ),
        (
            f"{names.LABEL_MANAGED_BY}, {names.LABEL_INSTANCE} and {names.LABEL_COMPONENT} are set by the operator: "
            "remove them"
        ),
    ),
)
ANNOTATIONS_RULES = rules(
    _KEYS_RULE,
    (
        f"self.all(k, !k.startsWith('{names.GROUP}/'))",
        f"annotations below {names.GROUP}/ are set by the operator: remove them",
    ),
)


def env_rule(own: tuple[str, ...]) -> dict[str, Any]:
    """A rule for a part that extends `PodSettings`: these environment variables are the operator's."""
    names_in_cel = ", ".join(f"'{name}'" for name in own)
    return rules(
        (
            f"!has(self.env) || self.env.all(e, !(e.name in [{names_in_cel}]))",
            f"env can't replace what the operator sets: remove {', '.join(own)}",
            ".env",
        )
    )


class Resources(Model):
    """CPU and memory of a container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) || "
                    "quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k]))) <= 0)"
                ),
                "each of requests must be at most its limit: lower it, or raise the one in limits",
                ".requests",
            )
        )
    )

    requests: Annotated[dict[str, Quantity], Field(max_length=20)] = Field(
        default_factory=dict, description="What is reserved, such as cpu and memory."
    )
    limits: Annotated[dict[str, Quantity], Field(max_length=20)] = Field(
        default_factory=dict, description="What may be used at the most."
    )


class Toleration(Model):
    """A node taint that the pods tolerate."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.key) && self.key != '' || has(self.operator) && self.operator == 'Exists'",
                "without a key, operator must be Exists",
            ),
            (
                "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
                "value must be left out with operator Exists",
                ".value",
            ),
            (
                "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
                "tolerationSeconds needs effect NoExecute",
                ".tolerationSeconds",
            ),
        )
    )

    key: str | None = Field(
        None, description="Key of the taint; left out, with operator Exists, every taint.", max_length=317
    )
    operator: Literal["Exists", "Equal"] | None = Field(
        None, description="How the taint's value is compared. Left out: Equal."
    )
    value: LabelValue | None = Field(None, description="Value of the taint, with operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint; left out: every effect."
    )
    toleration_seconds: int | None = Field(
        None, description="How long a NoExecute taint is tolerated, in seconds.", ge=0, le=2**31 - 1
    )


class EnvVarSource(Model):
    """Where an environment variable's value comes from."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.secretKeyRef) != has(self.configMapKeyRef)",
                "exactly one of secretKeyRef and configMapKeyRef must be set",
            )
        )
    )

    secret_key_ref: SecretKeyRef | None = Field(None, description="A key of a Secret in the same namespace.")
    config_map_key_ref: SecretKeyRef | None = Field(
        None,
        description="A key of a ConfigMap in the same namespace.",
    )


class EnvVar(Model):
    """One more environment variable for the container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.value) != has(self.valueFrom)", "exactly one of value and valueFrom must be set")
        )
    )

    name: str = Field(description="Name of the variable.", pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$", max_length=253)
    value: str | None = Field(None, description="Its value, in the open. For secrets use valueFrom.", max_length=32768)
    value_from: EnvVarSource | None = Field(None, description="Where the value comes from.")


class LocalReference(Model):
    """The name of an object in the same namespace."""

    name: ObjectName = Field(description="Name of the object.")


class EnvFromSource(Model):
    """A ConfigMap or Secret all of whose keys become environment variables."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.configMapRef) != has(self.secretRef)", "exactly one of configMapRef and secretRef must be set")
        )
    )

    prefix: str | None = Field(
        None, description="Put before each name.", pattern=r"^([-._a-zA-Z][-._a-zA-Z0-9]*)?$", max_length=253
    )
    config_map_ref: LocalReference | None = Field(None, description="A ConfigMap in the same namespace.")
    secret_ref: LocalReference | None = Field(None, description="A Secret in the same namespace.")


def _keyed(by: str) -> dict[str, Any]:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [by]}


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
        description="More environment variables for the container. Those that the operator sets can't be replaced.",
        max_length=200,
        json_schema_extra=_keyed("name"),
    )
    env_from: list[EnvFromSource] = Field(
        default_factory=list,
        description="ConfigMaps and Secrets whose keys become environment variables.",
        max_length=50,
    )
    image_pull_secrets: list[LocalReference] = Field(
        default_factory=list,
        description="Secrets for pulling the image.",
        max_length=20,
        json_schema_extra=_keyed("name"),
    )
    pod_labels: Labels = Field(
        default_factory=dict, description="More labels for the pods.", json_schema_extra=OWN_LABELS_RULES
    )
    pod_annotations: Annotations = Field(
        default_factory=dict, description="More annotations for the pods.", json_schema_extra=ANNOTATIONS_RULES
    )
    service_account_name: ObjectName | None = Field(
        None, description="Service account of the pods; left out: the namespace's default, with no token mounted."
    )
