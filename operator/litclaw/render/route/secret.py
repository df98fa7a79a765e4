"""The Secrets that a route gets when its owner names none: master key, salt key, the embedded database's password.

Each is made once. The caller makes up the value; a Secret that is there already is kept as it is.
"""

from collections.abc import Mapping

from litclaw.api import names
from litclaw.api.base import SecretKeyRef
from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, encode
from litclaw.render.owned import of_route


def master_key_ref(route: LiteLLMRoute, managed: Managed) -> SecretKeyRef:
    """Where the master key is."""
    own = SecretKeyRef(name=names.route_master_key(route.metadata.name), key=names.MASTER_KEY)
    return managed.master_key_secret_ref or own


def salt_key_ref(route: LiteLLMRoute, managed: Managed) -> SecretKeyRef:
    """Where the salt key is."""
    own = SecretKeyRef(name=names.route_salt_key(route.metadata.name), key=names.SALT_KEY)
    return managed.salt_key_secret_ref or own


def database_ref(route: LiteLLMRoute, managed: Managed) -> SecretKeyRef:
    """Where the database's URL is."""
    own = SecretKeyRef(name=names.route_postgres(route.metadata.name), key=names.DATABASE_URL)
    return managed.database.secret_ref or own


def generated_secret(
    route: LiteLLMRoute,
    name: str,
    component: str,
    data: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """A Secret with values that were made up for this route."""
    manifest = of_route(route, "v1", "Secret", name, component=component, annotations=annotations)
    return {**manifest, "type": "Opaque", "data": encode(data)}
