"""kopf's settings and login."""

from typing import Any

import kopf


@kopf.on.startup()
async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Watch in pages, and write nothing: this operator's events and finalizers are its own."""
    settings.posting.enabled = False
    settings.watching.chunk_size = 100  # an agent may be 1 MB large
    settings.process.ultimate_exiting_timeout = None  # `operator` ends the process, after the running passes


@kopf.on.login()
async def login(**given: Any) -> kopf.ConnectionInfo | None:
    """The pod's service account or, outside a cluster, the kubeconfig. kopf's default would import another client."""
    return kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)
