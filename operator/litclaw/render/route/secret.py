"""Secrets that are generated for a managed route whose owner names none: master key, salt key, database password.

The caller generates the value, once: the value of an existing Secret is kept.
"""

from collections.abc import Mapping

from litclaw.api import names
from litclaw.api.base import SecretKeyRef
from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, encode, owned_object


def master_key_ref(route: LiteLLMRoute, managed: Managed) -> SecretKeyRef:
    """The Secret key with the master key."""
    own = SecretKeyRef(name=names.route_master_key(route.metadata.name), key=names.MASTER_KEY)
    return managed.master_key_secret_ref or own


def salt_key_ref(route: LiteLLMRoute, managed: Managed) -> SecretKeyRef:
    """The Secret key with the salt key."""
    own = SecretKeyRef(name=names.route_salt_key(route.metadata.name), key=names.SALT_KEY)
    return managed.salt_key_secret_ref or own


def database_ref(route: LiteLLMRoute, managed: Managed) -> SecretKeyRef:
    """The Secret key with the database's URL."""
    own = SecretKeyRef(name=names.route_postgres(route.metadata.name), key=names.DATABASE_URL)
    return managed.database.secret_ref or own


def generated_secret(
    route: LiteLLMRoute,
    name: str,
    component: str,
    data: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """A Secret with generated values."""
    manifest = owned_object(route, "v1", "Secret", name, component=component, annotations=annotations)
    return {**manifest, "type": "Opaque", "data": encode(data)}
