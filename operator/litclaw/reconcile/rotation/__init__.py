"""LiteLLMKeyRotation: the run in memory, and its reconcile."""
