"""LiteLLM's admin API: the one place that speaks HTTP with a proxy."""
