"""LiteLLMRoute: deploy, connect, observe, delete."""
