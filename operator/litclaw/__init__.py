"""Litclaw: LiteLLM for OpenClaw agents on Kubernetes, from custom resources."""

__version__ = "0.1.0"
