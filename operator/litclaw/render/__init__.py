"""Kubernetes objects and files from resources and observations. Pure: no I/O, and equal input gives equal bytes."""
