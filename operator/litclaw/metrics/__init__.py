"""Metrics for Prometheus. Nothing is decided here, and no decision depends on it."""
