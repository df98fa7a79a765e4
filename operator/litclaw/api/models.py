"""``LiteLLMRoute.spec.models`` and ``fallbacks``: models with their settings for LiteLLM and for OpenClaw."""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from litclaw.api.base import LIST_SET, NO_REFERENCE, Model, ModelName, SecretKeyRef
from litclaw.api.cel import CelRule, rules
from litclaw.api.free_form import FreeForm, free_form, limit_depth

SECRET_PARAMS: Final = ("api_key", "aws_secret_access_key", "aws_session_token", "azure_ad_token", "client_secret")
"""Parameters in litellm_params that are secrets with every provider."""


class OpenClawModel(Model):
    """Facts about a model in openclaw.json. Unset fields come from the proxy's /model/info."""

    display_name: Annotated[str, Field(min_length=1, max_length=200), NO_REFERENCE] | None = Field(
        None, description="Name that people see."
    )
    reasoning: bool | None = Field(None, description="Whether the model reasons before it answers.")
    input: list[Literal["text", "image"]] | None = Field(
        None,
        description="Kinds of input that the model accepts.",
        min_length=1,
        max_length=2,
        json_schema_extra=LIST_SET,
    )
    context_window: int | None = Field(None, description="Context window in tokens.", ge=1, le=100_000_000)
    max_tokens: int | None = Field(None, description="Maximum length of an answer in tokens.", ge=1, le=100_000_000)


def secret_field(param: str) -> str:
    """The field of a `RouteModel` that takes a secret parameter from a Secret."""
    return "apiKeySecretRef" if param == "api_key" else f"secretParams.{param}"


def _secret_param(name: str) -> dict[str, Any]:
    return {
        "type": "string",
        "description": f"A reference such as os.environ/NAME. For the value itself use {secret_field(name)}.",
        "maxLength": 253,
        **rules(
            CelRule(
                "self.startsWith('os.environ/')",
                f"litellmParams.{name} is a secret: put it into a Secret and name that in {secret_field(name)}",
            )
        ),
    }


_MODEL_PARAM: Final = {
    "type": "string",
    "description": "The provider and its model, such as anthropic/claude-opus-4-6.",
    "minLength": 1,
    "maxLength": 512,
}
LitellmParams = Annotated[
    dict[str, Any],
    BeforeValidator(limit_depth),
    WithJsonSchema(free_form(model=_MODEL_PARAM, **{name: _secret_param(name) for name in SECRET_PARAMS})),
]


class RouteModel(Model):
    """One model that agents may request."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CelRule(
                "!has(self.apiKeySecretRef) || !has(self.secretParams) || !('api_key' in self.secretParams)",
                "secretParams.api_key is what apiKeySecretRef sets already: remove one of them",
                ".secretParams",
            ),
            CelRule(
                "!has(self.apiKeySecretRef) || !has(self.litellmParams) || !has(self.litellmParams.api_key)",
                "litellmParams.api_key is what apiKeySecretRef sets already: remove it from litellmParams",
                ".litellmParams",
            ),
            *(
                CelRule(
                    f"!has(self.secretParams) || !('{name}' in self.secretParams) || !has(self.litellmParams) "
                    f"|| !has(self.litellmParams.{name})",
                    f"litellmParams.{name} is what secretParams.{name} sets already: remove it from litellmParams",
                    ".litellmParams",
                )
                for name in SECRET_PARAMS
            ),
        )
    )

    name: ModelName = Field(description="Name that agents request.")
    litellm_params: LitellmParams = Field(
        default_factory=dict,
        description="LiteLLM's litellm_params, passed through unchanged, such as model: anthropic/claude-opus-4-6.",
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        None,
        description="A Secret key with the provider's API key. LiteLLM receives it as an environment variable.",
    )
    secret_params: Annotated[dict[str, SecretKeyRef], Field(max_length=20)] = Field(
        default_factory=dict,
        description="Other secret parameters, by their name in litellm_params. LiteLLM receives each as an environment "
        "variable.",
        json_schema_extra=rules(
            CelRule(
                "self.all(k, size(k) <= 100 && k.matches('^[a-zA-Z_][a-zA-Z0-9_]*$'))",
                "each name in secretParams must be one of litellm_params, such as aws_secret_access_key",
            )
        ),
    )
    model_info: FreeForm = Field(default_factory=dict, description="LiteLLM's model_info, passed through unchanged.")
    openclaw: OpenClawModel = Field(
        default_factory=OpenClawModel,
        description="Facts about the model in openclaw.json. Unset fields come from the proxy's /model/info.",
    )


class Fallback(Model):
    """Models that LiteLLM tries when one fails."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CelRule(
                "!(self.model in self.to)", "to names the model that fails: a model can't stand in for itself", ".to"
            )
        )
    )

    model: ModelName = Field(description="The model that fails.")
    to: list[ModelName] = Field(
        description="Models to try instead, in order.", min_length=1, max_length=8, json_schema_extra=LIST_SET
    )
