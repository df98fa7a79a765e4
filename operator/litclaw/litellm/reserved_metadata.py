"""Names in a key's metadata that control LiteLLM, so that no agent may set them."""

CONTROLS = frozenset(
    {
        *("allowed_passthrough_routes", "allowed_vector_store_indexes", "cache", "callback_settings"),
        *("default_estimated_output_tokens", "default_estimated_output_tokens_per_model", "denied_passthrough_routes"),
        *("disable_fallbacks", "disable_global_guardrails", "enable_prompt_caching", "end_user_budget_id"),
        *("enforced_batch_output_expires_after", "enforced_file_expires_after", "enforced_params", "guardrails"),
        *("litellm_disabled_callbacks", "logging", "mcp_rpm_limit", "model_itpm_limit", "model_otpm_limit"),
        *("model_rpm_limit", "model_tpm_limit", "password_reset_required", "policies", "prompts", "rpm_limit_type"),
        *("secret_manager_settings", "service_account_id", "tag_rpm_limit", "team_member_key_duration"),
        *("temp_budget_expiry", "temp_budget_increase", "throttle_on_budget_exceeded", "tpm_limit_type"),
    }
)
"""Names in a key's metadata that control LiteLLM 1.106.2 (its ``proxy/_types.py`` and the code that reads a key's metadata
at a request). An agent's owner isn't LiteLLM's administrator, so none of them may be set from an agent."""
