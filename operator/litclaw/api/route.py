"""LiteLLMRoute: a LiteLLM proxy, managed or external, and its models."""

from functools import partial
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from litclaw.api.base import (
    CONDITIONS_SCHEMA,
    NO_REFERENCE,
    Condition,
    Model,
    ObjectMeta,
    SecretKeyRef,
    Timestamp,
    list_map,
)
from litclaw.api.cel import CelRule, Matches, name_rule, rules
from litclaw.api.free_form import FreeForm, limit_size
from litclaw.api.key import KeyLimits
from litclaw.api.kubernetes import LabelSelector
from litclaw.api.managed import Managed
from litclaw.api.models import Fallback, RouteModel
from litclaw.api.rotation import Rotation

_LONGEST_SPEC: Final = 256 * 1024
LONGEST_NAME: Final = 43
"""A StatefulSet's name has at most 52 characters, 9 of which are ``-postgres``. Its pods' label
``controller-revision-hash`` adds 11 characters to the name and may have 63."""


class External(Model):
    """A proxy that runs elsewhere."""

    url: Annotated[
        str,
        Field(max_length=2048),
        NO_REFERENCE,
        Matches(
            r"^https?://[^/?#@\s]+(/[^?#@\s]*)?$",
            "url must be http:// or https:// with a host and no user, query or fragment, "
            "such as https://litellm.example.com",
        ),
        CelRule(
            "!self.matches('/([.]|%2[eE]){1,2}(/|$)')",
            "url has a dot segment in its path: write the path that is meant",
        ),
        CelRule("isURL(self)", "url must be a URL, such as https://litellm.example.com"),
        CelRule(
            "!self.matches('^https?://(169[.]254[.]|0[.]0[.]0[.]0|metadata([.]google[.]internal)?([:/]|$)|"
            "[[]([fF][eE][89abAB][0-9a-fA-F]|::[]]|::[fF]{4}:169[.]254[.]))')",
            "url is a link-local or metadata address, which can't be a LiteLLM proxy",
        ),
    ] = Field(description="Base URL of the proxy, with or without /v1, such as https://litellm.example.com.")
    master_key_secret_ref: SecretKeyRef = Field(
        description="A Secret key with the proxy's master key, in the route's namespace."
    )
    ca_bundle_secret_ref: SecretKeyRef | None = Field(
        None,
        description="A Secret key with the CA certificates, in PEM, that the proxy's certificate is verified against. "
        "Agents get them too: their openclaw.json has them for this proxy alone, and ca.crt beside it for other programs. "
        "If unset, the public certificate authorities.",
    )


class AllowedNamespaces(Model):
    """Which namespaces' agents may use the route."""

    from_: Literal["Same", "All", "Selector"] = Field(
        "Same",
        alias="from",
        description="Same: the route's own namespace. All: every namespace. Selector: those that selector matches.",
    )
    selector: LabelSelector | None = Field(
        None, description="Labels that a namespace must have, for from: Selector. The route's own is always allowed."
    )


class KeyDefaults(KeyLimits):
    """Limits and rotation for keys of agents that set none of their own."""

    rotation: Rotation = Field(default_factory=Rotation, description="When keys are rotated automatically.")


class RouteKeyLimits(Model):
    """The most that agents may ask for."""

    retain: Literal["Allow", "Forbid"] = Field(
        "Allow",
        description="Whether agents may keep their key when they are deleted (key.deletionPolicy: Retain). Forbid: the "
        "key ends with the agent, and keys that were kept before end now.",
    )


class RouteSpec(Model):
    """Desired state of the route."""

    managed: Managed | None = Field(None, description="A proxy that the operator deploys and runs.")
    external: External | None = Field(
        None, description="A proxy that runs elsewhere. The operator manages keys there and deploys nothing."
    )
    models: list[RouteModel] = Field(
        default_factory=list,
        description="Models that agents may request. If unset for an external route, every model of the proxy, by name.",
        max_length=256,
        json_schema_extra=list_map("name"),
    )
    fallbacks: list[Fallback] = Field(
        default_factory=list,
        description="Models that LiteLLM tries when one fails.",
        max_length=64,
        json_schema_extra=list_map("model"),
    )
    router_settings: FreeForm = Field(
        default_factory=dict,
        description="LiteLLM's router_settings, passed through unchanged. Set fallbacks in spec.fallbacks.",
    )
    litellm_settings: FreeForm = Field(
        default_factory=dict, description="LiteLLM's litellm_settings, passed through unchanged."
    )
    general_settings: FreeForm = Field(
        default_factory=dict,
        description="LiteLLM's general_settings, passed through unchanged. The operator sets master_key, database_url, "
        "store_model_in_db, disable_prisma_schema_update, with redis coordination_redis and, without the dashboard, "
        "disable_env_credential_login.",
    )
    allowed_namespaces: AllowedNamespaces = Field(
        default_factory=AllowedNamespaces,
        description="Which namespaces' agents may use the route.",
        json_schema_extra=rules(
            CelRule(
                "self.from != 'Selector' || has(self.selector) && has(self.selector.matchLabels) "
                "&& size(self.selector.matchLabels) > 0",
                "from: Selector needs selector.matchLabels with at least one label; for every namespace use from: All",
                ".selector",
            ),
            CelRule(
                "self.from == 'Selector' || !has(self.selector)",
                "selector means something with from: Selector only: change from, or remove selector",
                ".selector",
            ),
        ),
    )
    key_defaults: KeyDefaults = Field(
        default_factory=KeyDefaults, description="Limits and rotation for keys of agents that set none of their own."
    )
    key_limits: RouteKeyLimits = Field(
        default_factory=RouteKeyLimits, description="The most that agents of the route may ask for."
    )


MOST_FORMER_PROXIES: Final = 5
"""How many former proxies a route remembers."""


class KnownProxy(Model):
    """An external proxy at which the route's agents may have keys."""

    url: str = Field(description="URL of the proxy.", max_length=2048)
    master_key_secret_ref: SecretKeyRef = Field(description="The Secret key with its master key.")
    ca_bundle_secret_ref: SecretKeyRef | None = Field(
        None, description="The Secret key with the CA certificates that its certificate is verified against."
    )
    master_key_digest: str = Field(
        "",
        description="Digest of the URL, keyed with the master key. A Secret whose master key has changed isn't sent to "
        "this URL. Empty for a master key that could be guessed from a digest.",
        max_length=64,
    )
    left_at: Timestamp | None = Field(
        None, description="When the route left the proxy for another. If unset, it is the current one."
    )
    message: str = Field("", description="Why keys may still be there, after the route has left it.", max_length=1024)


class RouteKeys(Model):
    """How many of the operator's virtual keys the proxy has."""

    live: int = Field(0, description="Keys in use.", ge=0)
    retiring: int = Field(0, description="Keys that have an expiry, because a newer one replaces them.", ge=0)


class RouteStatus(Model):
    """Observed state of the route."""

    observed_generation: int = Field(0, description="The metadata.generation that this status is based on.", ge=0)
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Conditions: Ready, which requires SecretsReady, DatabaseReady, ProxyReady and ModelsReady; "
        "Reconciling; Stalled.",
        json_schema_extra=CONDITIONS_SCHEMA,
    )
    url: str = Field("", description="URL at which agents reach the proxy.")
    version: str = Field("", description="LiteLLM release of the proxy.")
    models: int = Field(0, description="How many models the proxy routes.")
    agents: int = Field(0, description="How many agents use the route.")
    keys: RouteKeys = Field(
        default_factory=RouteKeys, description="How many of the operator's virtual keys the proxy has."
    )
    spend: str = Field("", description="What those keys have spent, in US dollars.")
    proxies: list[KnownProxy] = Field(
        default_factory=list,
        description="External proxies at which agents may have keys: the current one, and at most "
        f"{MOST_FORMER_PROXIES} that the route has left, each until its keys have ended.",
        max_length=MOST_FORMER_PROXIES + 1,
        json_schema_extra=list_map("url"),
    )


_MODELS_OF_EXTERNAL: Final = (
    "an external proxy has its own models: remove litellmParams, apiKeySecretRef, secretParams and modelInfo from "
    "models, and set them there"
)
_SPEC_RULES: Final = rules(
    CelRule("has(self.managed) != has(self.external)", "exactly one of spec.managed and spec.external must be set"),
    CelRule(
        "!has(self.managed) || has(self.models) && size(self.models) > 0",
        "a managed route needs at least one model in spec.models",
        ".models",
    ),
    CelRule(
        "!has(self.managed) || !has(self.models) || "
        "self.models.all(m, has(m.litellmParams) && has(m.litellmParams.model))",
        "each of models needs litellmParams.model in a managed route, such as anthropic/claude-opus-4-6",
        ".models",
    ),
    CelRule(
        "!has(self.external) || !has(self.models) || self.models.all(m, !has(m.litellmParams) && "
        "!has(m.apiKeySecretRef) && !has(m.secretParams) && !has(m.modelInfo))",
        _MODELS_OF_EXTERNAL,
        ".models",
    ),
    *(
        CelRule(
            f"!has(self.external) || !has(self.{field})",
            f"an external proxy has its own {field}: remove spec.{field} and set them there",
            f".{field}",
        )
        for field in ("fallbacks", "routerSettings", "litellmSettings", "generalSettings")
    ),
    CelRule(
        "!has(self.managed) || !has(self.models) || !has(self.fallbacks) || "
        "self.fallbacks.all(f, self.models.exists(m, m.name == f.model))",
        "each fallbacks[].model must be the name of one of spec.models: add the model or fix the name",
        ".fallbacks",
    ),
    CelRule(
        "!has(self.managed) || !has(self.models) || !has(self.fallbacks) || "
        "self.fallbacks.all(f, f.to.all(t, self.models.exists(m, m.name == t)))",
        "each of fallbacks[].to must be the name of one of spec.models: add the model or fix the name",
        ".fallbacks",
    ),
)


class LiteLLMRoute(Model):
    """A LiteLLM proxy that agents use, run by the operator or elsewhere, and the models that it routes."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            name_rule(LONGEST_NAME, "the names of the Services and of the database's StatefulSet derive from it")
        )
    )

    metadata: ObjectMeta
    spec: Annotated[RouteSpec, BeforeValidator(partial(limit_size, characters=_LONGEST_SPEC))] = Field(
        description="Desired state of the route.", json_schema_extra=_SPEC_RULES
    )
    status: RouteStatus = Field(default_factory=RouteStatus, description="Observed state of the route.")


ROUTE_COLUMNS: Final[list[dict[str, Any]]] = [
    {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"},
    {"name": "URL", "type": "string", "jsonPath": ".status.url"},
    {"name": "Models", "type": "integer", "jsonPath": ".status.models"},
    {"name": "Agents", "type": "integer", "jsonPath": ".status.agents"},
    {"name": "Version", "type": "string", "jsonPath": ".status.version"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
