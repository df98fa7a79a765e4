"""A second route's database in the PostgreSQL of the route ``main``."""

from .api import Object
from .kube import Kube
from .resources import AI, secret


def let_in(route: str) -> Object:
    """A NetworkPolicy that lets a second route's pods reach the database of the route ``main``, as an owner may."""
    database = {"app.kubernetes.io/instance": "main", "app.kubernetes.io/component": "database"}
    source = {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": route}}}
    spec = {"podSelector": {"matchLabels": database}, "policyTypes": ["Ingress"], "ingress": [{"from": [source]}]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"{route}-reaches-main-postgres", "namespace": AI},
        "spec": spec,
    }


def own_database(kube: Kube, name: str) -> Object:
    """Make an empty database beside main's own; returns a Secret ``<name>-db`` with its ``URL``."""
    where = ("-n", AI, "exec", "main-postgres-0", "--", "psql", "--username=litellm", "--dbname=litellm", "--command")
    kube.run(*where, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    kube.run(*where, f"CREATE DATABASE {name}")
    return secret(
        f"{name}-db", URL=kube.secret(AI, "main-postgres")["DATABASE_URL"].removesuffix("/litellm") + f"/{name}"
    )
