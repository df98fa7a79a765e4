"""The Job that brings a managed route's database up to date before the proxy's pods get a new image or database.

It is LiteLLM's own way: the proxy's command line with ``--skip_server_startup`` migrates and ends (proxy_cli.py of
1.106.2). It has the proxy's configuration and environment, since general_settings may say how the database is reached.
"""

from typing import Any

from litclaw.api import names
from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, labels
from litclaw.render.owned import of_route
from litclaw.render.pod import pod_security, pod_settings
from litclaw.render.route.deployment import PROXY_UID, proxy_arguments, proxy_container, proxy_volumes

_RETRIES = 2
# LiteLLM builds the indexes of its request logs here too, which takes as long as there are logs.
_DEADLINE_SECONDS = 6 * 3600
KEPT_SECONDS = 10 * 60
"""How long a finished Job stays to be looked at; a failed one is tried again after that."""


def route_migration_job(route: LiteLLMRoute, managed: Managed, migration: str) -> Manifest:
    """The Job.

    Args:
        route: the resource.
        managed: its ``spec.managed``.
        migration: digest of what is migrated; it becomes part of the name.
    """
    manifest = of_route(
        route,
        "batch/v1",
        "Job",
        names.route_migration(route.metadata.name, migration),
        component="migration",
    )
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
                "metadata": {"labels": {**managed.pod_labels, **labels(route.metadata.name, "migration")}},
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
