"""Which resources an observed object concerns."""

from collections.abc import Iterator, Mapping
from typing import Any

from litclaw.kube.cache import Cache, owner_of
from litclaw.kube.resources import AGENT, NAMESPACE, ROTATION, ROUTE
from litclaw.reconcile.context import Request

_OWNERS = (ROUTE.kind, AGENT.kind)


def requests_for(cache: Cache, body: Mapping[str, Any]) -> Iterator[Request]:
    """The resources to look at: itself, its owner, or a namespace's agents."""
    kind, meta = body["kind"], body["metadata"]
    if kind in _OWNERS:
        yield (kind, meta["namespace"], meta["name"])
    elif kind == ROTATION.kind:
        yield (kind, "", meta["name"])
    elif kind == NAMESPACE.kind:
        for agent in cache.within(AGENT.kind, meta["name"]):
            yield (AGENT.kind, meta["name"], agent["metadata"]["name"])
    elif (owner := owner_of(meta)) and owner.kind in _OWNERS:
        yield (owner.kind, meta["namespace"], owner.name)
