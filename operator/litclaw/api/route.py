"""LiteLLMRoute: one LiteLLM proxy, run here or elsewhere, and the models it routes."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from litclaw.api.base import (
    CONDITIONS_SCHEMA,
    Condition,
    Matches,
    Model,
    ObjectMeta,
    Says,
    SecretKeyRef,
    Usd,
    name_rule,
    rules,
)
from litclaw.api.kubernetes import FreeForm, LabelSelector
from litclaw.api.managed import Managed
from litclaw.api.models import Fallback, RouteModel
from litclaw.api.rotation import Rotation

LONGEST_NAME = 43
"""A StatefulSet's name may have 52 characters: its pods' label ``controller-revision-hash`` adds 11 to make 63."""

BudgetDuration = Annotated[
    str,
    Field(max_length=16),
    Matches(
        r"^(daily|weekly|monthly|[1-9][0-9]{0,4}(s|m|h|d|w|mo))$",
        "must be daily, weekly, monthly, or a number with s, m, h, d, w or mo, such as 24h or 30d",
    ),
]
"""What LiteLLM takes as a budget's period; anything else is answered with 400 (measured on 1.106.2)."""

Limit = Annotated[int, Field(ge=0, le=1_000_000_000)]


class External(Model):
    """A proxy that runs elsewhere."""

    url: Annotated[
        str,
        Field(max_length=2048),
        Matches(
            r"^https?://[^/?#@\s]+(/[^?#@\s]*)?$",
            "url must be http:// or https:// with a host and no user, query or fragment, "
            "such as https://litellm.example.com",
        ),
        Says(
            "!self.matches('/([.]|%2[eE]){1,2}(/|$)')",
            "url has a dot segment in its path: write the path that is meant",
        ),
        Says("isURL(self)", "url must be a URL, such as https://litellm.example.com"),
        Says(
            "!self.matches('^https?://(169[.]254[.]|0[.]0[.]0[.]0|metadata([.]google[.]internal)?([:/]|$)|"
            "[[]([fF][eE][89abAB][0-9a-fA-F]|::[]]|::[fF]{4}:169[.]254[.]))')",
            "url is a link-local or metadata address, which can't be a LiteLLM proxy",
        ),
    ] = Field(description="Base URL of the proxy, with or without /v1, such as https://litellm.example.com.")
    master_key_secret_ref: SecretKeyRef = Field(
        description="A Secret key, in the route's own namespace, that holds the proxy's master key."
    )
    ca_bundle_secret_ref: SecretKeyRef | None = Field(
        None,
        description="A Secret key with the certificates, in PEM, of the authorities that the proxy's own is checked "
        "against. Agents get them too, as ca.crt beside openclaw.json. Left out: the usual public ones.",
    )


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
        None, description="How often the budget starts anew: daily, weekly, monthly, 24h, 30d. Left out: never."
    )
    tpm_limit: Limit | None = Field(None, description="Tokens a minute; 0: no limit.")
    rpm_limit: Limit | None = Field(None, description="Requests a minute; 0: no limit.")
    rotation: Rotation = Field(default_factory=Rotation, description="When keys are rotated by themselves.")


class RouteSpec(Model):
    """What is wanted of the proxy."""

    managed: Managed | None = Field(None, description="A proxy that the operator runs.")
    external: External | None = Field(None, description="A proxy that runs elsewhere.")
    models: list[RouteModel] = Field(
        default_factory=list,
        description="The models that agents may ask for. For an external route, left out: every model of the proxy.",
        max_length=256,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    fallbacks: list[Fallback] = Field(
        default_factory=list,
        description="Models that are asked when one fails.",
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["model"]},
    )
    router_settings: FreeForm = Field(default_factory=dict, description="LiteLLM's router_settings. Passed through.")
    litellm_settings: FreeForm = Field(default_factory=dict, description="LiteLLM's litellm_settings. Passed through.")
    general_settings: FreeForm = Field(
        default_factory=dict,
        description="LiteLLM's general_settings. Passed through, but for what the operator owns: master_key, "
        "database_url, store_model_in_db, disable_prisma_schema_update and, with redis, coordination_redis.",
    )
    allowed_namespaces: AllowedNamespaces = Field(
        default_factory=AllowedNamespaces,
        description="Which namespaces' agents may use the route.",
        json_schema_extra=rules(
            (
                (
                    "self.from != 'Selector' || has(self.selector) && has(self.selector.matchLabels) "
                    "&& size(self.selector.matchLabels) > 0"
                ),
                "from: Selector needs selector.matchLabels with at least one label; for every namespace use from: All",
                ".selector",
            ),
            (
                "self.from == 'Selector' || !has(self.selector)",
                "selector means something with from: Selector only: change from, or remove selector",
                ".selector",
            ),
        ),
    )
    key_defaults: KeyDefaults = Field(
        default_factory=KeyDefaults, description="Limits for agents that set none of their own."
    )


class RouteKeys(Model):
    """Virtual keys that the operator holds at this proxy."""

    live: int = Field(0, description="Keys in use.", ge=0)
    retiring: int = Field(0, description="Keys that have an end set.", ge=0)


class RouteStatus(Model):
    """What was seen at the last look."""

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


_SPEC_RULES = rules(
    ("has(self.managed) != has(self.external)", "exactly one of spec.managed and spec.external must be set"),
    (
        "!has(self.managed) || has(self.models) && size(self.models) > 0",
        "a managed route needs at least one model in spec.models",
        ".models",
    ),
    (
        (
            "!has(self.managed) || !has(self.models) || "
            "self.models.all(m, has(m.litellmParams) && has(m.litellmParams.model))"
        ),
        "each of models needs litellmParams.model in a managed route, such as anthropic/claude-opus-4-6",
        ".models",
    ),
    (
        (
            "!has(self.external) || !has(self.models) || self.models.all(m, !has(m.litellmParams) && "
            "!has(m.apiKeySecretRef) && !has(m.secretParams) && !has(m.modelInfo))"
        ),
        (
            "an external proxy has its own models: remove litellmParams, apiKeySecretRef, secretParams and modelInfo from "
            "models, and set them there"
        ),
        ".models",
    ),
    *(
        (
            f"!has(self.external) || !has(self.{field})",
            f"an external proxy has its own {field}: remove spec.{field} and set them there",
            f".{field}",
        )
        for field in ("fallbacks", "routerSettings", "litellmSettings", "generalSettings")
    ),
    (
        (
            "!has(self.managed) || !has(self.models) || !has(self.fallbacks) || "
            "self.fallbacks.all(f, self.models.exists(m, m.name == f.model))"
        ),
        "each fallbacks[].model must be the name of one of spec.models: add the model or mend the name",
        ".fallbacks",
    ),
    (
        (
            "!has(self.managed) || !has(self.models) || !has(self.fallbacks) || "
            "self.fallbacks.all(f, f.to.all(t, self.models.exists(m, m.name == t)))"
        ),
        "each of fallbacks[].to must be the name of one of spec.models: add the model or mend the name",
        ".fallbacks",
    ),
)


class LiteLLMRoute(Model):
    """A LiteLLM proxy, run here or elsewhere, and the models it routes."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            name_rule(LONGEST_NAME, "the names of the Services and of the database's StatefulSet derive from it")
        )
    )

    metadata: ObjectMeta
    spec: RouteSpec = Field(description="What is wanted of the proxy.", json_schema_extra=_SPEC_RULES)
    status: RouteStatus = Field(default_factory=RouteStatus, description="What was seen at the last look.")


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
