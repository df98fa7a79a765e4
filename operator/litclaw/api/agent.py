"""OpenClawAgent: one agent's key, budget and config and, if wanted, its gateway."""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from litclaw.api import names
from litclaw.api.base import (
    CONDITIONS_SCHEMA,
    Condition,
    DnsLabel,
    Image,
    Matches,
    Model,
    ModelName,
    ObjectMeta,
    ObjectName,
    Says,
    Usd,
    free,
    free_form,
    name_rule,
    rules,
)
from litclaw.api.images import OPENCLAW_IMAGE
from litclaw.api.kubernetes import FreeForm, PodSettings, StorageSize, env_rule
from litclaw.api.managed import ServiceSettings
from litclaw.api.rotation import Rotation
from litclaw.api.route import BudgetDuration, Limit

LONGEST_NAME = 54
"""The Service ``<name>-openclaw`` may have 63 characters."""

GATEWAY_ENV = (
    names.API_KEY,
    names.GATEWAY_TOKEN,
    "OPENCLAW_CONFIG_PATH",
    "OPENCLAW_STATE_DIR",
    "OPENCLAW_NIX_MODE",
    "NODE_EXTRA_CA_CERTS",
    "HOME",
)
"""Environment variables of the gateway that the operator sets, or keeps out because they would hold the key."""

Duration = Annotated[
    str,
    Field(max_length=12),
    Matches(r"^[1-9][0-9]{0,8}(ms|s|m|h)$", "must be a number with ms, s, m or h, such as 180s"),
]
"""A length of time such as 500ms, 180s, 5m or 1h."""


_RESERVED = {
    "type": "object",
    "description": "Reserved for the operator.",
    "x-kubernetes-preserve-unknown-fields": True,
}
_TAGS = {
    "type": "array",
    "description": "Reserved: LiteLLM keeps a key's tags here.",
    "maxItems": 0,
    "items": {"type": "string", "maxLength": 1},
}


def _storable(value: Any) -> Any:
    """For a validator of what LiteLLM keeps in its database, after `free`.

    LiteLLM 1.106.2 answers 500 otherwise, as it does where it will be well again (measured).
    """
    if r"\u0000" in json.dumps(value).replace(r"\\", ""):
        raise ValueError("holds a NUL character, which PostgreSQL can't keep")
    return value


KeyMetadata = Annotated[
    dict[str, Any],
    BeforeValidator(_storable),
    BeforeValidator(free),
    WithJsonSchema(free_form(litclaw=_RESERVED, tags=_TAGS)),
]


class RouteRef(Model):
    """Which LiteLLMRoute the agent uses."""

    name: ObjectName = Field(description="Name of the LiteLLMRoute.")
    namespace: DnsLabel | None = Field(
        None, description="Its namespace; left out: the agent's own. The route must allow the agent's namespace."
    )


class ImageModel(Model):
    """The model for making images."""

    name: ModelName = Field(description="Name of the model, one of the route's.")
    timeout: Duration | None = Field(None, description="How long one image may take, such as 180s.")


class Key(Model):
    """The agent's virtual key: what it may spend and how fast."""

    alias: str | None = Field(
        None, description="The key's name in LiteLLM; left out: <namespace>/<name>.", min_length=1, max_length=255
    )
    max_budget: Usd | None = Field(None, description="Budget in US dollars, as a decimal string such as '50'.")
    budget_duration: BudgetDuration | None = Field(
        None, description="How often the budget starts anew: daily, weekly, monthly, 24h, 30d. Left out: never."
    )
    tpm_limit: Limit | None = Field(None, description="Tokens a minute; 0: no limit.")
    rpm_limit: Limit | None = Field(None, description="Requests a minute; 0: no limit.")
    max_parallel_requests: Limit | None = Field(None, description="Requests at the same time; 0: no limit.")
    team: (
        Annotated[
            str,
            Field(min_length=1, max_length=255),
            Matches(r"^[^\x00]*$", "must have no NUL character, which PostgreSQL can't keep"),
        ]
        | None
    ) = Field(None, description="Id of a LiteLLM team whose budget and models hold too.")
    tags: list[Annotated[str, Field(min_length=1, max_length=128)]] = Field(
        default_factory=list,
        description="Tags for LiteLLM's spend reports. LiteLLM refuses them without its enterprise licence.",
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    metadata: KeyMetadata = Field(
        default_factory=dict,
        description="More metadata for the key in LiteLLM. The name litclaw is the operator's own.",
        json_schema_extra=rules(
            ("!has(self.litclaw)", "the name litclaw is the operator's own: choose another"),
            ("!has(self.tags)", "LiteLLM keeps tags under that name: use spec.key.tags"),
        ),
    )
    secret_name: ObjectName | None = Field(
        None, description="Name of the Secret with LITELLM_API_KEY and LITELLM_BASE_URL; left out: <name>-litellm."
    )
    rotation: Rotation = Field(
        default_factory=Rotation,
        description="When the key is rotated by itself; left out: as the route's keyDefaults say.",
    )
    deletion_policy: Literal["Delete", "Retain"] = Field(
        "Delete",
        description="What becomes of the key when the agent is deleted. Delete: it ends. Retain: the key and its Secret "
        "stay as they are, and an agent of the same namespace and name takes them back.",
    )


class Config(Model):
    """The agent's openclaw.json."""

    config_map_name: ObjectName | None = Field(
        None, description="Name of the ConfigMap with openclaw.json; left out: <name>-openclaw."
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
        description="The OpenClaw release that reads the config, such as 2026.9.6: its layout differs by release. Left "
        "out: what the gateway's image tag names, else the newest known layout.",
    )
    allow_private_network: Literal["Auto", "Always", "Never"] = Field(
        "Auto",
        description="Whether OpenClaw may call the proxy at a private address. Auto: where the proxy's is private.",
    )
    extra: FreeForm = Field(
        default_factory=dict,
        description="Any more openclaw.json, merged deeply. What the operator renders wins, and a clash is reported.",
    )
    files: Annotated[dict[str, Annotated[str, Field(max_length=1_000_000)]], Field(max_length=100)] = Field(
        default_factory=dict,
        description="More files for the ConfigMap, such as AGENTS.md.",
        json_schema_extra=rules(
            (f"!('{names.OPENCLAW_JSON}' in self)", "openclaw.json is the operator's own: use config.extra"),
            (f"!('{names.CA_CERTIFICATES}' in self)", "ca.crt is the operator's own: it comes from the route"),
            (
                "self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && !k.startsWith('..'))",
                "a file name may have letters, digits, -, _ and ., 253 at most, and not start with ..",
            ),
        ),
    )


class GatewayNetworkPolicy(Model):
    """What the gateway's pod may reach, and what may reach it."""

    enabled: bool = Field(
        True,
        description="Whether there is a NetworkPolicy: in from the agent's namespace (from anywhere where the Service "
        "isn't a ClusterIP), out to DNS and the route's proxy alone.",
    )
    egress: list[FreeForm] = Field(
        default_factory=list,
        description="More egress rules, as in a NetworkPolicySpec: for channels, tools and the web.",
        max_length=50,
    )


class Gateway(PodSettings):
    """An OpenClaw gateway that the operator runs."""

    model_config = ConfigDict(json_schema_extra=env_rule(GATEWAY_ENV))

    # A factory, so that the API server fills in none: a resource that names no image moves on with the operator.
    image: Image = Field(
        default_factory=lambda: OPENCLAW_IMAGE,
        description=f"OpenClaw image. Left out: the release that this operator is made for, {OPENCLAW_IMAGE}.",
    )
    storage: Annotated[
        StorageSize,
        Says(
            "quantity(self).compareTo(quantity(oldSelf)) >= 0",
            "gateway.storage can't shrink: delete the agent, or keep the size",
        ),
    ] = Field(
        "10Gi",
        description="Size of the volume with the agent's state. It can grow where the storage class allows that.",
    )
    service: ServiceSettings = Field(default_factory=ServiceSettings, description="The Service in front of the pod.")
    network_policy: GatewayNetworkPolicy = Field(
        default_factory=GatewayNetworkPolicy, description="What the pod may reach, and what may reach it."
    )


class AgentSpec(Model):
    """What is wanted for the agent."""

    route_ref: RouteRef = Field(description="Which LiteLLMRoute the agent uses.")
    models: list[ModelName] = Field(
        default_factory=list,
        description="The models that the key may use; left out: every model of the route.",
        max_length=256,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    default_model: ModelName | None = Field(None, description="What the agent asks by default; left out: the first.")
    fallback_models: list[ModelName] = Field(
        default_factory=list, description="What OpenClaw asks when the default model fails, in order.", max_length=20
    )
    image_model: ImageModel | None = Field(None, description="The model for making images.")
    key: Key = Field(default_factory=Key, description="The agent's virtual key.")
    config: Config = Field(default_factory=Config, description="The agent's openclaw.json.")
    gateway: Gateway | None = Field(
        None, description="An OpenClaw gateway. Left out: none; the Secret and the ConfigMap are the product."
    )
    suspend: bool = Field(
        False,
        description="Whether the agent rests: its key is blocked and its gateway scaled to zero. Nothing is lost.",
    )


class KeyStatus(Model):
    """The live key. Its value is in the Secret alone."""

    alias: str = Field("", description="Its name in LiteLLM.")
    hash: str = Field("", description="First eight characters of its SHA-256, as LiteLLM's key list shows it.")
    generation: int = Field(0, description="How often the agent has been given a key.", ge=0)
    rotated_at: str | None = Field(
        None, description="When this key was minted.", json_schema_extra={"format": "date-time"}
    )
    next_rotation: str | None = Field(
        None, description="When it is rotated by itself.", json_schema_extra={"format": "date-time"}
    )
    retiring_until: str | None = Field(
        None, description="When the last of the keys before it ends.", json_schema_extra={"format": "date-time"}
    )


class AgentStatus(Model):
    """What was seen at the last look."""

    observed_generation: int = Field(0, description="The metadata.generation that this status is about.", ge=0)
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Ready, Reconciling, Stalled, and what they rest on: RouteAccepted, KeyReady, ConfigReady, "
        "GatewayReady, WithinBudget.",
        json_schema_extra=CONDITIONS_SCHEMA,
    )
    base_url: str = Field("", alias="baseURL", description="Where the agent reaches LiteLLM.")
    allow_private_network: bool = Field(
        False, description="Whether openclaw.json opens the private network for the proxy."
    )
    key: KeyStatus = Field(default_factory=KeyStatus, description="The live key.")
    secret_name: str = Field("", description="The Secret with the key.")
    config_map_name: str = Field("", description="The ConfigMap with openclaw.json.")
    default_model: str = Field("", description="What the agent asks by default.")
    spend: str = Field("", description="What the key has spent in this period, in US dollars.")
    budget: str = Field("", description="What it may spend, in US dollars; empty: no limit.")
    budget_resets_at: str | None = Field(
        None, description="When the budget starts anew.", json_schema_extra={"format": "date-time"}
    )
    last_handled_rotation: str = Field(
        "", description=f"The value of annotation {names.ANNOTATION_ROTATE} for which the key was last rotated."
    )


def _among_models(condition: str, field: str, what: str) -> tuple[str, str, str]:
    return (
        f"!has(self.models) || size(self.models) == 0 || !has(self.{field}) || {condition}",
        f"{what} must be one of spec.models: add it there, or mend the name",
        f".{field}",
    )


_SPEC_RULES = rules(
    _among_models("self.defaultModel in self.models", "defaultModel", "defaultModel"),
    _among_models("self.fallbackModels.all(m, m in self.models)", "fallbackModels", "each of fallbackModels"),
    _among_models("self.imageModel.name in self.models", "imageModel", "imageModel.name"),
)


class OpenClawAgent(Model):
    """One agent's access to a LiteLLMRoute: its key, its config and, if wanted, its gateway."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            name_rule(LONGEST_NAME, "the name of the gateway's Service derives from it"),
            (
                (
                    "!has(self.spec.key) || !has(self.spec.key.secretName) "
                    "|| self.spec.key.secretName != self.metadata.name + '-gateway'"
                ),
                "<name>-gateway is the Secret of the gateway's token: choose another secretName",
                ".spec.key",
            ),
        )
    )

    metadata: ObjectMeta
    spec: AgentSpec = Field(description="What is wanted for the agent.", json_schema_extra=_SPEC_RULES)
    status: AgentStatus = Field(default_factory=AgentStatus, description="What was seen at the last look.")

    @property
    def route_key(self) -> tuple[str, str]:
        """Namespace and name of the route that the agent asks for."""
        ref = self.spec.route_ref
        return (ref.namespace or self.metadata.namespace, ref.name)

    @property
    def alias(self) -> str:
        """The virtual key's name in LiteLLM."""
        return self.spec.key.alias or f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def secret_name(self) -> str:
        """Name of the Secret with the virtual key."""
        return self.spec.key.secret_name or names.agent_secret(self.metadata.name)

    @property
    def config_map_name(self) -> str:
        """Name of the ConfigMap with openclaw.json."""
        return self.spec.config.config_map_name or names.agent_config(self.metadata.name)


AGENT_COLUMNS: list[dict[str, Any]] = [
    {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"},
    {"name": "Route", "type": "string", "jsonPath": ".spec.routeRef.name"},
    {"name": "Model", "type": "string", "jsonPath": ".status.defaultModel"},
    {"name": "Spend", "type": "string", "jsonPath": ".status.spend"},
    {"name": "Budget", "type": "string", "jsonPath": ".status.budget"},
    {"name": "Key-Age", "type": "date", "jsonPath": ".status.key.rotatedAt"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]

AGENT_KIND = "OpenClawAgent"
AGENT_PLURAL = "openclawagents"
