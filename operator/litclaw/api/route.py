"""LiteLLMRoute: one LiteLLM proxy, run here or elsewhere, and the models it routes."""

from typing import Annotated, Any, Literal

from pydantic import Field

from . import names
from .base import CONDITIONS_SCHEMA, Condition, Model, ModelName, ObjectMeta, SecretKeyRef, Usd, rules
from .images import LITELLM_IMAGE
from .kubernetes import FreeForm, PodSettings, StorageSize

BudgetDuration = Annotated[str, Field(pattern=r"^(daily|weekly|monthly|[1-9][0-9]{0,4}(s|m|h|d|w|mo))$", max_length=16)]
"""What LiteLLM takes as a budget's period; anything else is answered with 400 (measured on 1.106.2)."""

Limit = Annotated[int, Field(ge=0, le=1_000_000_000)]


class EmbeddedDatabase(Model):
    """One PostgreSQL in a StatefulSet, for trials and small teams. It goes when the route goes."""

    storage: StorageSize = Field("10Gi", description="Size of the volume.")


class Database(Model):
    """Where LiteLLM keeps keys, budgets and spend."""

    secret_ref: SecretKeyRef | None = Field(None, description="A Secret key that holds a postgresql:// URL.")
    embedded: EmbeddedDatabase | None = Field(None, description="One PostgreSQL beside the proxy.")


class ServiceSettings(Model):
    """The Service in front of the pods."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field("ClusterIP", description="Type of the Service.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations of the Service.")


class Managed(PodSettings):
    """A proxy that the operator runs."""

    image: str = Field(LITELLM_IMAGE, description="LiteLLM image, with database support.", min_length=1, max_length=512)
    replicas: int = Field(1, description="How many proxy pods.", ge=0, le=100)
    port: int = Field(4000, description="Port of the Service.", ge=1, le=65535)
    service: ServiceSettings = Field(default_factory=ServiceSettings, description="The Service in front of the pods.")
    database: Database = Field(
        description="Where LiteLLM keeps keys, budgets and spend.",
        json_schema_extra=rules(
            ("has(self.secretRef) != has(self.embedded)", "exactly one of secretRef and embedded must be set"),
        ),
    )
    master_key_secret_ref: SecretKeyRef | None = Field(
        None,
        description="A Secret key that holds the master key (sk-…). Left out: made once, in Secret <route>-master-key.",
    )
    salt_key_secret_ref: SecretKeyRef | None = Field(
        None,
        description="A Secret key that holds the salt key. Left out: made once, in Secret <route>-salt-key. "
        "LiteLLM can't read what it has stored once the salt changes, so it must never change.",
    )


class External(Model):
    """A proxy that runs elsewhere."""

    url: str = Field(
        description="Base URL of the proxy, with or without /v1, such as https://litellm.example.com.",
        pattern=r"^https?://[^/?#@\s]+(/[^?#@\s]*)?$",
        max_length=2048,
        json_schema_extra=rules(
            ("isURL(self)", "must be a URL, such as https://litellm.example.com"),
            (
                "!self.matches('^https?://(169[.]254[.]|[[]([fF][eE][89abAB][0-9a-fA-F]|::[fF]{4}:169[.]254[.]))')",
                "a link-local or metadata address can't be a LiteLLM proxy",
            ),
        ),
    )
    master_key_secret_ref: SecretKeyRef = Field(
        description="A Secret key, in the route's own namespace, that holds the proxy's master key."
    )


class OpenClawModel(Model):
    """What OpenClaw is told about a model. What is left out is taken from the proxy's own /model/info."""

    display_name: str | None = Field(None, description="Name for people.", max_length=200)
    reasoning: bool | None = Field(None, description="Whether the model reasons before it answers.")
    input: list[Literal["text", "image"]] | None = Field(
        None, description="Kinds of input that the model takes.", max_length=2
    )
    context_window: int | None = Field(None, description="Context window in tokens.", ge=1, le=100_000_000)
    max_tokens: int | None = Field(None, description="Largest answer in tokens.", ge=1, le=100_000_000)


class RouteModel(Model):
    """One model that agents may ask for."""

    name: ModelName = Field(description="What agents ask for.")
    litellm_params: FreeForm = Field(
        default_factory=dict,
        description="LiteLLM's litellm_params, such as model: anthropic/claude-opus-4-6. Passed through. "
        "Ignored for an external route, whose proxy has its own.",
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        None, description="A Secret key with the provider's API key. It reaches LiteLLM as an environment variable."
    )
    secret_params: dict[str, SecretKeyRef] = Field(
        default_factory=dict, description="Any other parameter that is a secret, by its name in litellm_params."
    )
    model_info: FreeForm = Field(default_factory=dict, description="LiteLLM's model_info. Passed through.")
    openclaw: OpenClawModel = Field(default_factory=OpenClawModel, description="What OpenClaw is told about the model.")


class Fallback(Model):
    """Models that are asked when one fails."""

    model: ModelName = Field(description="The model that fails.")
    to: list[ModelName] = Field(description="What is asked instead, in order.", min_length=1, max_length=20)


class LabelSelector(Model):
    """Which namespaces, by their labels."""

    match_labels: dict[str, str] = Field(default_factory=dict, description="Labels that the namespace must have.")


class AllowedNamespaces(Model):
    """Which namespaces' agents may use the route."""

    from_: Literal["Same", "All", "Selector"] = Field(
        "Same", alias="from", description="Same: the route's own. All: every one. Selector: those that match."
    )
    selector: LabelSelector | None = Field(None, description="With from: Selector, the labels to match.")


class KeyDefaults(Model):
    """Limits for agents that set none of their own."""

    max_budget: Usd | None = Field(None, description="Budget in US dollars, as a decimal string.")
    budget_duration: BudgetDuration | None = Field(
        None, description="How often the budget starts anew: daily, weekly, monthly, 24h, 30d."
    )
    tpm_limit: Limit | None = Field(None, description="Tokens a minute; 0: no limit.")
    rpm_limit: Limit | None = Field(None, description="Requests a minute; 0: no limit.")


class RouteSpec(Model):
    """What is wanted of the proxy."""

    managed: Managed | None = Field(None, description="A proxy that the operator runs.")
    external: External | None = Field(None, description="A proxy that runs elsewhere.")
    models: list[RouteModel] = Field(
        default_factory=list,
        description="The models that agents may ask for. For an external route, left out: every model of the proxy.",
        max_length=500,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    fallbacks: list[Fallback] = Field(
        default_factory=list, description="Models that are asked when one fails.", max_length=500
    )
    router_settings: FreeForm = Field(default_factory=dict, description="LiteLLM's router_settings. Passed through.")
    litellm_settings: FreeForm = Field(default_factory=dict, description="LiteLLM's litellm_settings. Passed through.")
    general_settings: FreeForm = Field(
        default_factory=dict,
        description="LiteLLM's general_settings. Passed through, but for what the operator owns: "
        "master_key, database_url and store_model_in_db.",
    )
    allowed_namespaces: AllowedNamespaces = Field(
        default_factory=AllowedNamespaces,
        description="Which namespaces' agents may use the route.",
        json_schema_extra=rules(
            ("self.from != 'Selector' || has(self.selector)", "from: Selector needs a selector"),
        ),
    )
    key_defaults: KeyDefaults = Field(
        default_factory=KeyDefaults, description="Limits for agents that set none of their own."
    )


class RouteKeys(Model):
    """Virtual keys that the operator holds at this proxy."""

    live: int = Field(0, description="Keys in use.", ge=0)


class RouteStatus(Model):
    """What is."""

    observed_generation: int = Field(0, description="The metadata.generation that this status is about.", ge=0)
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Ready, Reconciling, Stalled, and what they rest on: SecretsReady, DatabaseReady, ProxyReady, "
        "ModelsReady.",
        json_schema_extra=CONDITIONS_SCHEMA,
    )
    url: str = Field("", description="Where agents reach the proxy.")
    version: str = Field("", description="The proxy's LiteLLM release.")
    models: int = Field(0, description="How many models it routes.")
    agents: int = Field(0, description="How many agents use it.")
    keys: RouteKeys = Field(default_factory=RouteKeys, description="Virtual keys held at this proxy.")
    spend: str = Field("", description="What those keys have spent, in US dollars.")


class LiteLLMRoute(Model):
    """A LiteLLM proxy, run here or elsewhere, and the models it routes."""

    metadata: ObjectMeta
    spec: RouteSpec = Field(
        description="What is wanted of the proxy.",
        json_schema_extra=rules(
            ("has(self.managed) != has(self.external)", "exactly one of managed and external must be set"),
            (
                "!has(self.managed) || (has(self.models) && size(self.models) > 0)",
                "a managed route needs at least one model in spec.models",
            ),
            (
                ("!has(self.managed) || !has(self.models) || self.models.all(m, has(m.litellmParams) && "
                "'model' in m.litellmParams)"),
                "each model of a managed route needs litellmParams.model, such as anthropic/claude-opus-4-6",
            ),
        ),
    )
    status: RouteStatus = Field(default_factory=RouteStatus, description="What is.")


ROUTE_COLUMNS: list[dict[str, Any]] = [
    {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"},
    {"name": "URL", "type": "string", "jsonPath": ".status.url"},
    {"name": "Models", "type": "integer", "jsonPath": ".status.models"},
    {"name": "Agents", "type": "integer", "jsonPath": ".status.agents"},
    {"name": "Version", "type": "string", "jsonPath": ".status.version"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]

ROUTE_KIND = "LiteLLMRoute"
ROUTE_PLURAL = "litellmroutes"
ROUTE_REFERENCE = {"apiVersion": names.API_VERSION, "kind": ROUTE_KIND}
