"""OpenClawAgent: an agent's virtual key, its openclaw.json and, optionally, its gateway."""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from litclaw.api import names
from litclaw.api.base import (
    CONDITIONS_SCHEMA,
    LIST_SET,
    Condition,
    DnsLabel,
    Image,
    Model,
    ModelName,
    ObjectMeta,
    ObjectName,
    Timestamp,
)
from litclaw.api.cel import CelRule, Matches, name_rule, rules
from litclaw.api.duration import Timeout
from litclaw.api.free_form import FreeForm, limit_size
from litclaw.api.images import OPENCLAW_IMAGE
from litclaw.api.key import Key
from litclaw.api.kubernetes import StorageSize
from litclaw.api.managed import ServiceSettings
from litclaw.api.pod_settings import PodSettings, env_rule

LONGEST_NAME: Final = 54
"""The gateway's Service ``<name>-openclaw`` may have 63 characters."""

GATEWAY_ENV: Final = (
    names.API_KEY,
    names.GATEWAY_TOKEN,
    "OPENCLAW_CONFIG_PATH",
    "OPENCLAW_STATE_DIR",
    "OPENCLAW_NIX_MODE",
    "HOME",
)
"""Environment variables of the gateway that the operator sets, or excludes because they would contain the key."""


class RouteRef(Model):
    """The LiteLLMRoute that the agent uses."""

    name: ObjectName = Field(description="Name of the LiteLLMRoute.")
    namespace: DnsLabel | None = Field(
        None,
        description="Namespace of the LiteLLMRoute, which must allow the agent's namespace. Defaults to the agent's "
        "own.",
    )


class ImageModel(Model):
    """The model that generates images."""

    name: ModelName = Field(description="Name of one of the route's models.")
    timeout: Timeout | None = Field(None, description="Maximum time for one image, such as 180s.")


class Config(Model):
    """The agent's ConfigMap with openclaw.json."""

    config_map_name: ObjectName | None = Field(
        None, description="Name of the ConfigMap with openclaw.json. Defaults to <name>-openclaw."
    )
    openclaw_version: (
        Annotated[
            str,
            Field(max_length=32),
            Matches(
                r"^[0-9]{4}[.][0-9]{1,2}[.][0-9]{1,3}(-[0-9A-Za-z.]+)?$",
                "must be an OpenClaw release, such as 2026.9.6",
            ),
        ]
        | None
    ) = Field(
        None,
        description="OpenClaw release that reads openclaw.json, such as 2026.9.6, because its layout differs by "
        "release. Defaults to the tag of the gateway's image, or else the newest known layout.",
    )
    allow_private_network: Literal["Auto", "Always", "Never"] = Field(
        "Auto",
        description="Whether OpenClaw may call the proxy at a private address. Auto: only if the proxy's address is "
        "private.",
    )
    extra: FreeForm = Field(
        default_factory=dict,
        description="More settings for openclaw.json, merged deeply. The operator's own settings win, and conflicts "
        "are reported.",
    )
    files: Annotated[dict[str, Annotated[str, Field(max_length=1_000_000)]], Field(max_length=100)] = Field(
        default_factory=dict,
        description="More files for the ConfigMap, such as AGENTS.md.",
        json_schema_extra=rules(
            CelRule(f"!('{names.OPENCLAW_JSON}' in self)", "openclaw.json is the operator's own: use config.extra"),
            CelRule(f"!('{names.CA_CERTIFICATES}' in self)", "ca.crt is the operator's own: it comes from the route"),
            CelRule(
                "self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && !k.startsWith('..'))",
                "a file name may have letters, digits, -, _ and ., 253 at most, and not start with ..",
            ),
        ),
    )


class GatewayNetworkPolicy(Model):
    """What may reach the gateway's pod, and what the pod may reach."""

    enabled: bool = Field(
        True,
        description="Whether a NetworkPolicy is created. It allows traffic from the agent's namespace (from "
        "everywhere unless service.type is ClusterIP), and to DNS and the route's proxy.",
    )
    egress: list[FreeForm] = Field(
        default_factory=list,
        description="More egress rules, as in a NetworkPolicySpec, for channels, tools and the web.",
        max_length=50,
    )


class Gateway(PodSettings):
    """An OpenClaw gateway that the operator runs."""

    model_config = ConfigDict(json_schema_extra=rules(env_rule(GATEWAY_ENV)))

    # A factory, so that the CRD has no default: a resource without an image follows the operator's release.
    image: Image = Field(
        default_factory=lambda: OPENCLAW_IMAGE,
        description=f"OpenClaw image. Defaults to the release that the operator is made for, {OPENCLAW_IMAGE}.",
    )
    storage: Annotated[
        StorageSize,
        CelRule(
            "quantity(self).compareTo(quantity(oldSelf)) >= 0",
            "gateway.storage can't shrink: delete the agent, or keep the size",
        ),
    ] = Field(
        "10Gi",
        description="Size of the volume with the agent's state. It can grow if the storage class allows that. A volume that "
        "somebody else has grown stays as large.",
    )
    service: ServiceSettings = Field(default_factory=ServiceSettings, description="The Service in front of the pod.")
    network_policy: GatewayNetworkPolicy = Field(
        default_factory=GatewayNetworkPolicy, description="What may reach the pod, and what the pod may reach."
    )


class AgentSpec(Model):
    """Desired state of the agent."""

    route_ref: RouteRef = Field(description="The LiteLLMRoute that the agent uses.")
    models: list[ModelName] = Field(
        default_factory=list,
        description="Models that the key may use. If unset, every model of the route.",
        max_length=256,
        json_schema_extra=LIST_SET,
    )
    default_model: ModelName | None = Field(
        None,
        description="Model that the agent uses by default. Defaults to the first one that answers chats. If spec.models is "
        "unset, a default that was chosen before stays while the route has it.",
    )
    fallback_models: list[ModelName] = Field(
        default_factory=list,
        description="Models that OpenClaw tries when the default model fails, in order.",
        max_length=20,
    )
    image_model: ImageModel | None = Field(None, description="The model that generates images.")
    key: Key = Field(default_factory=Key, description="The agent's virtual key: what it may spend, and how fast.")
    config: Config = Field(default_factory=Config, description="The agent's ConfigMap with openclaw.json.")
    gateway: Gateway | None = Field(
        None,
        description="An OpenClaw gateway that the operator runs. If unset, only the Secret and the ConfigMap exist.",
    )
    suspend: bool = Field(
        False,
        description="Blocks the key and scales the gateway to zero. Nothing is deleted.",
    )


class KeyStatus(Model):
    """The current virtual key. Its value is only in the Secret."""

    alias: str = Field("", description="Name of the key in LiteLLM.")
    hash: str = Field("", description="First eight characters of the key's SHA-256, which LiteLLM lists keys by.")
    generation: int = Field(0, description="How many keys the agent has had so far.", ge=0)
    rotated_at: Timestamp | None = Field(None, description="When this key was generated.")
    next_rotation: Timestamp | None = Field(None, description="When the key will be rotated automatically.")
    retiring_until: Timestamp | None = Field(None, description="When the last of the previous keys expires.")


class AgentStatus(Model):
    """Observed state of the agent."""

    observed_generation: int = Field(0, description="The metadata.generation that this status is based on.", ge=0)
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Conditions: Ready, which requires RouteAccepted, KeyReady, ConfigReady and, with a gateway, "
        "GatewayReady; Reconciling; Stalled; WithinBudget.",
        json_schema_extra=CONDITIONS_SCHEMA,
    )
    base_url: str = Field("", alias="baseURL", description="URL at which the agent reaches LiteLLM.")
    allow_private_network: bool = Field(
        False, description="Whether openclaw.json allows calling the proxy at a private address."
    )
    key: KeyStatus = Field(
        default_factory=KeyStatus, description="The current virtual key. Its value is only in the Secret."
    )
    secret_name: str = Field("", description="Name of the Secret with the key.")
    config_map_name: str = Field("", description="Name of the ConfigMap with openclaw.json.")
    default_model: str = Field("", description="Model that the agent uses by default.")
    spend: str = Field("", description="What the key has spent in this budget period, in US dollars.")
    budget: str = Field("", description="What the key may spend per budget period, in US dollars. Empty: no limit.")
    budget_resets_at: Timestamp | None = Field(None, description="When the budget is reset.")
    last_handled_rotation: str = Field(
        "", description=f"Value of the annotation {names.ANNOTATION_ROTATE} that the last rotation was requested with."
    )


def _among_models(condition: str, field: str, subject: str) -> CelRule:
    return CelRule(
        f"!has(self.models) || size(self.models) == 0 || !has(self.{field}) || {condition}",
        f"{subject} must be one of spec.models: add it there, or fix the name",
        f".{field}",
    )


_SPEC_RULES: Final = rules(
    _among_models("self.defaultModel in self.models", "defaultModel", "defaultModel"),
    _among_models("self.fallbackModels.all(m, m in self.models)", "fallbackModels", "each of fallbackModels"),
    _among_models("self.imageModel.name in self.models", "imageModel", "imageModel.name"),
)


class OpenClawAgent(Model):
    """An OpenClaw agent's access to a LiteLLMRoute: its virtual key, its openclaw.json and, optionally, its gateway."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            name_rule(LONGEST_NAME, "the name of the gateway's Service derives from it"),
            CelRule(
                "!has(self.spec.key) || !has(self.spec.key.secretName) "
                "|| self.spec.key.secretName != self.metadata.name + '-gateway'",
                "<name>-gateway is the Secret of the gateway's token: choose another secretName",
                ".spec.key",
            ),
        )
    )

    metadata: ObjectMeta
    spec: Annotated[AgentSpec, BeforeValidator(limit_size)] = Field(
        description="Desired state of the agent.", json_schema_extra=_SPEC_RULES
    )
    status: AgentStatus = Field(default_factory=AgentStatus, description="Observed state of the agent.")

    @property
    def route_key(self) -> tuple[str, str]:
        """Namespace and name of the route that the agent refers to."""
        ref = self.spec.route_ref
        return (ref.namespace or self.metadata.namespace, ref.name)

    @property
    def alias(self) -> str:
        """Name of the virtual key in LiteLLM."""
        return self.spec.key.alias or f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def secret_name(self) -> str:
        """Name of the Secret with the virtual key."""
        return self.spec.key.secret_name or names.agent_secret(self.metadata.name)

    @property
    def config_map_name(self) -> str:
        """Name of the ConfigMap with openclaw.json."""
        return self.spec.config.config_map_name or names.agent_config(self.metadata.name)


AGENT_COLUMNS: Final[list[dict[str, Any]]] = [
    {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"},
    {"name": "Route", "type": "string", "jsonPath": ".spec.routeRef.name"},
    {"name": "Model", "type": "string", "jsonPath": ".status.defaultModel"},
    {"name": "Spend", "type": "string", "jsonPath": ".status.spend"},
    {"name": "Budget", "type": "string", "jsonPath": ".status.budget"},
    {"name": "Key-Age", "type": "date", "jsonPath": ".status.key.rotatedAt"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
