"""A way to in-cluster proxies for an operator that runs outside of the cluster: by the faulty world's door."""

import os
from functools import partial
from typing import Any

import httpx

DOOR = "LITCLAW_CHAOS_DOOR"
"""Where ``http://<service>.<namespace>.svc.cluster.local:4000`` is to be found, as ``<door>/<service>.<namespace>``."""
NAME = "LITCLAW_CHAOS_NAME"
OPERATOR_HEADER = "X-Chaos-Operator"
"""Which operator calls: the faulty world can't tell by anything else."""
_INSIDE = ".svc.cluster.local"


class _Around(httpx.AsyncBaseTransport):
    def __init__(self, door: str, verify: Any) -> None:
        self._door = httpx.URL(door)
        self._inner = httpx.AsyncHTTPTransport(verify=verify, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers[OPERATOR_HEADER] = os.environ[NAME]
        url = request.url
        if url.host.endswith(_INSIDE):
            raw = f"/{url.host.removesuffix(_INSIDE)}".encode() + url.raw_path
            request.url = url.copy_with(host=self._door.host, port=self._door.port, raw_path=raw)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def reachable(client: Any) -> Any:
    """The class of the client, with a transport that goes to the door where a name is the cluster's own."""
    door = os.environ.get(DOOR)
    return partial(client, transport=_Around(door, True)) if door else client
