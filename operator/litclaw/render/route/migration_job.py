"""The Job that migrates a managed route's database before the proxy's pods get a new image or database.

It runs the proxy's command line with ``--skip_server_startup``, which migrates and exits (proxy_cli.py of LiteLLM
1.106.2). It has the proxy's configuration and environment, because general_settings may affect how the database is
reached.
"""

from typing import Any

from litclaw.api import names
from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, labels, owned_object
from litclaw.render.pod_security import pod_security
from litclaw.render.pod_settings import pod_labels, pod_settings
from litclaw.render.route.deployment import PROXY_UID, proxy_arguments, proxy_container, proxy_volumes

_RETRIES = 2
# LiteLLM also builds the indexes of its request logs, which takes longer the more logs there are.
_DEADLINE_SECONDS = 6 * 3600
KEPT_SECONDS = 10 * 60
"""How long a finished Job is kept for inspection. A failed migration is tried again after that."""


def route_migration_job(route: LiteLLMRoute, managed: Managed, migration: str) -> Manifest:
    """The Job.

    Args:
        route: the resource.
        managed: its ``spec.managed``.
        migration: digest of the image and the database; part of the name.
    """
    name = names.route_migration(route.metadata.name, migration)
    manifest = owned_object(route, "batch/v1", "Job", name, component="migration")
    container: dict[str, Any] = {
        **proxy_container(route, managed, migrates=True),
        "args": [*proxy_arguments(), "--skip_server_startup"],
    }
    return {
        **manifest,
        "spec": {
            "backoffLimit": _RETRIES,
            "activeDeadlineSeconds": _DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": pod_labels(managed, labels(route.metadata.name, "migration"))},
                "spec": {
                    **pod_settings(managed),
                    "securityContext": pod_security(PROXY_UID),
                    "restartPolicy": "Never",
                    "containers": [container],
                    "volumes": proxy_volumes(route),
                },
            },
        },
    }
