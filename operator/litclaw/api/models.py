"""The models of a route: what LiteLLM is told of each, and what OpenClaw is."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from litclaw.api.base import Model, ModelName, SecretKeyRef, free, free_form, rules
from litclaw.api.kubernetes import FreeForm

SECRET_PARAMS = ("api_key", "aws_secret_access_key", "aws_session_token", "azure_ad_token", "client_secret")
"""What of litellm_params is a secret, whoever the provider."""


class OpenClawModel(Model):
    """What OpenClaw is told about a model. What is left out is taken from the proxy's own /model/info."""

    display_name: str | None = Field(None, description="Name for people.", min_length=1, max_length=200)
    reasoning: bool | None = Field(None, description="Whether the model reasons before it answers.")
    input: list[Literal["text", "image"]] | None = Field(
        None,
        description="Kinds of input that the model takes.",
        min_length=1,
        max_length=2,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    context_window: int | None = Field(None, description="Context window in tokens.", ge=1, le=100_000_000)
    max_tokens: int | None = Field(None, description="Largest answer in tokens.", ge=1, le=100_000_000)


def _secret_param(name: str) -> dict[str, Any]:
    field = "apiKeySecretRef" if name == "api_key" else f"secretParams.{name}"
    return {
        "type": "string",
        "description": f"A reference such as os.environ/NAME. For the value itself use {field}.",
        "maxLength": 253,
        **rules(
            (
                "self.startsWith('os.environ/')",
                f"litellmParams.{name} is a secret: put it into a Secret and name that in {field}",
            )
        ),
    }


_MODEL_PARAM = {
    "type": "string",
    "description": "The provider's model, such as anthropic/claude-opus-4-6.",
    "minLength": 1,
    "maxLength": 512,
}
LitellmParams = Annotated[
    dict[str, Any],
    BeforeValidator(free),
    WithJsonSchema(free_form(model=_MODEL_PARAM, **{name: _secret_param(name) for name in SECRET_PARAMS})),
]


class RouteModel(Model):
    """One model that agents may ask for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.apiKeySecretRef) || !has(self.secretParams) || !('api_key' in self.secretParams)",
                "secretParams.api_key is what apiKeySecretRef sets already: remove one of them",
                ".secretParams",
            ),
            (
                "!has(self.apiKeySecretRef) || !has(self.litellmParams) || !has(self.litellmParams.api_key)",
                "litellmParams.api_key is what apiKeySecretRef sets already: remove it from litellmParams",
                ".litellmParams",
            ),
            *(
                (
                    (
                        f"!has(self.secretParams) || !('{name}' in self.secretParams) || !has(self.litellmParams) "
                        f"|| !has(self.litellmParams.{name})"
                    ),
                    f"litellmParams.{name} is what secretParams.{name} sets already: remove it from litellmParams",
                    ".litellmParams",
                )
                for name in SECRET_PARAMS
            ),
        )
    )

    name: ModelName = Field(description="What agents ask for.")
    litellm_params: LitellmParams = Field(
        default_factory=dict,
        description="LiteLLM's litellm_params, such as model: anthropic/claude-opus-4-6. Passed through.",
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        None, description="A Secret key with the provider's API key. It reaches LiteLLM as an environment variable."
    )
    secret_params: Annotated[dict[str, SecretKeyRef], Field(max_length=20)] = Field(
        default_factory=dict,
        description="Any other parameter that is a secret, by its name in litellm_params.",
        json_schema_extra=rules(
            (
                "self.all(k, size(k) <= 100 && k.matches('^[a-zA-Z_][a-zA-Z0-9_]*$'))",
                "each name in secretParams must be one of litellm_params, such as aws_secret_access_key",
            )
        ),
    )
    model_info: FreeForm = Field(default_factory=dict, description="LiteLLM's model_info. Passed through.")
    openclaw: OpenClawModel = Field(default_factory=OpenClawModel, description="What OpenClaw is told about the model.")


class Fallback(Model):
    """Models that are asked when one fails."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!(self.model in self.to)", "to names the model that fails: a model can't stand in for itself", ".to")
        )
    )

    model: ModelName = Field(description="The model that fails.")
    to: list[ModelName] = Field(
        description="What is asked instead, in order.",
        min_length=1,
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
