"""Leads an operator that runs outside the cluster to in-cluster proxies, through a door of the faulty world."""

import os
from typing import Any
from urllib.parse import urlsplit

from litclaw.litellm.transport import Transport

DOOR = "LITCLAW_CHAOS_DOOR"
"""``http://<service>.<namespace>.svc.cluster.local:4000`` is found at ``<door>/<service>.<namespace>``."""
NAME = "LITCLAW_CHAOS_NAME"
OPERATOR_HEADER = "X-Chaos-Operator"
"""Names the operator that calls: the faulty world has no other way to know it."""
_INSIDE = ".svc.cluster.local"


def lead_around() -> None:
    """Send calls to the cluster's own names to the door, with the operator's name in a header."""
    begin = Transport.__init__

    def begin_around(self: Transport, url: str, *args: Any, **given: Any) -> None:
        host = urlsplit(url).hostname or ""
        if host.endswith(_INSIDE):
            url = f"{os.environ[DOOR]}/{host.removesuffix(_INSIDE)}"
        begin(self, url, *args, **given)
        self._headers[OPERATOR_HEADER] = os.environ[NAME]

    Transport.__init__ = begin_around  # type: ignore[method-assign]
