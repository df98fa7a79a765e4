"""A real single-node Kubernetes cluster without Docker, behind the calls of ``kind``."""
