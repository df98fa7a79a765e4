"""The Kubernetes API: the one place that reads and writes it."""
