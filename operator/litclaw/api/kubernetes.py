"""The parts of a pod's specification that a user may set, passed through to the pods as they are."""

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from .base import FREE_FORM, Model, ObjectName, SecretKeyRef

Quantity = Annotated[
    int | str,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
        }
    ),
]
"""A Kubernetes quantity, such as 500m or 1Gi."""

StorageSize = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$", max_length=20)]
FreeForm = Annotated[dict[str, Any], WithJsonSchema(FREE_FORM)]


class Resources(Model):
    """CPU and memory of a container."""

    requests: dict[str, Quantity] = Field(default_factory=dict, description="What is reserved, such as cpu and memory.")
    limits: dict[str, Quantity] = Field(default_factory=dict, description="What may be used at the most.")


class Toleration(Model):
    """A node taint that the pods tolerate."""

    key: str | None = Field(None, description="Key of the taint; empty with operator Exists means every taint.")
    operator: Literal["Exists", "Equal"] | None = Field(None, description="How the taint's value is compared.")
    value: str | None = Field(None, description="Value of the taint, with operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint; left out: every effect."
    )
    toleration_seconds: int | None = Field(None, description="How long a NoExecute taint is tolerated, in seconds.")


class EnvVarSource(Model):
    """Where an environment variable's value comes from."""

    secret_key_ref: SecretKeyRef | None = Field(None, description="A key of a Secret in the same namespace.")
    config_map_key_ref: SecretKeyRef | None = Field(None, description="A key of a ConfigMap in the same namespace.")


class EnvVar(Model):
    """One more environment variable for the container."""

    name: str = Field(description="Name of the variable.", pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$", max_length=253)
    value: str | None = Field(None, description="Its value, in the open. For secrets use valueFrom.")
    value_from: EnvVarSource | None = Field(None, description="Where the value comes from.")


class LocalReference(Model):
    """The name of an object in the same namespace."""

    name: ObjectName = Field(description="Name of the object.")


class EnvFromSource(Model):
    """A ConfigMap or Secret all of whose keys become environment variables."""

    prefix: str | None = Field(None, description="Put before each name.")
    config_map_ref: LocalReference | None = Field(None, description="A ConfigMap in the same namespace.")
    secret_ref: LocalReference | None = Field(None, description="A Secret in the same namespace.")


class PodSettings(Model):
    """Where and how the pods run."""

    resources: Resources | None = Field(None, description="CPU and memory of the container.")
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels that a node must have.")
    tolerations: list[Toleration] = Field(
        default_factory=list, description="Taints that the pods tolerate.", max_length=50
    )
    affinity: FreeForm | None = Field(None, description="Affinity of the pods, as in a PodSpec.")
    env: list[EnvVar] = Field(
        default_factory=list,
        description="More environment variables for the container. Those that the operator sets can't be replaced.",
        max_length=200,
    )
    env_from: list[EnvFromSource] = Field(
        default_factory=list,
        description="ConfigMaps and Secrets whose keys become environment variables.",
        max_length=50,
    )
    image_pull_secrets: list[LocalReference] = Field(
        default_factory=list, description="Secrets for pulling the image.", max_length=20
    )
    pod_labels: dict[str, str] = Field(default_factory=dict, description="More labels for the pods.")
    pod_annotations: dict[str, str] = Field(default_factory=dict, description="More annotations for the pods.")
    service_account_name: str = Field(
        "", description="Service account of the pods; left out: the namespace's default, with no token mounted."
    )
