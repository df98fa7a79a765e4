"""A way to in-cluster proxies for an operator that runs outside of the cluster: by the faulty world's door."""

import os
from typing import Any
from urllib.parse import urlsplit

from litclaw.litellm.transport import Http

DOOR = "LITCLAW_CHAOS_DOOR"
"""Where ``http://<service>.<namespace>.svc.cluster.local:4000`` is to be found, as ``<door>/<service>.<namespace>``."""
NAME = "LITCLAW_CHAOS_NAME"
OPERATOR_HEADER = "X-Chaos-Operator"
"""Which operator calls: the faulty world can't tell by anything else."""
_INSIDE = ".svc.cluster.local"


def lead_around() -> None:
    """Have calls to the cluster's own names go to the door, and all of them say who calls."""
    begin = Http.__init__

    def begin_around(self: Http, url: str, *args: Any, **given: Any) -> None:
        host = urlsplit(url).hostname or ""
        if host.endswith(_INSIDE):
            url = f"{os.environ[DOOR]}/{host.removesuffix(_INSIDE)}"
        begin(self, url, *args, **given)
        self._session.headers[OPERATOR_HEADER] = os.environ[NAME]

    Http.__init__ = begin_around  # type: ignore[method-assign]
