"""The end of a route while an agent's key is being made at its proxy."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from litclaw.kube.cache import Cache
from litclaw.kube.client import Kube
from litclaw.litellm.keys import KeyRow, Limits, Mark
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.proxy.key_table import KeyTable
from litclaw.reconcile.route.deletion import finish

from .proxies import MASTER, Clock, FakeProxy

META = {"namespace": "n", "uid": "r", "resourceVersion": "1"}
ROUTE = {
    "apiVersion": "litclaw.dev/v1alpha1",
    "kind": "LiteLLMRoute",
    "metadata": {
        **META,
        "name": "r",
        "finalizers": ["litclaw.dev/finalizer"],
        "deletionTimestamp": "2026-01-01T00:00:00Z",
    },
    "spec": {"external": {"url": "http://litellm:4000", "masterKeySecretRef": {"name": "m", "key": "k"}}},
}
AGENT = {
    "apiVersion": "litclaw.dev/v1alpha1",
    "kind": "OpenClawAgent",
    "metadata": {**META, "name": "a", "uid": "u"},
    "spec": {"routeRef": {"name": "r"}},
    "status": {"key": {"hash": "12345678"}},
}


async def test_a_key_that_is_being_made_is_waited_for_and_ends_with_the_route() -> None:
    remove_finalizer: list[Mapping[str, Any]] = []

    async def apply(manifest: Mapping[str, Any], **_: object) -> dict[str, Any]:
        remove_finalizer.append(manifest)
        return {**manifest, "metadata": {**manifest["metadata"], "finalizers": []}}

    clock, cache = Clock(), Cache()
    proxy = FakeProxy(clock)
    cache.observe(AGENT)
    context = Context(
        kube=cast(Kube, cast(object, SimpleNamespace(apply=apply))),
        cache=cache,
        cluster="c",
        wake=lambda key: None,
        enqueue_after=lambda key, seconds: None,
        now=clock,
    )
    state = context.routes["n", "r"] = RouteState(proxy.client(), (MASTER, "", None), KeyTable("c"), usable=True)
    await state.table.refresh(state.client)
    state.refreshed_at = 0.0
    state.making = 1

    assert await finish(context, ROUTE) is not None and not remove_finalizer, "a key is being made"
    assert not state.usable, "and no other is begun"

    # It was made, and its maker never heard of that.
    mark = Mark("c", "u", 1, namespace="n", created_at=clock().isoformat())
    row = KeyRow("1" * 64, "n/a", Limits(), 0.0, mark)
    proxy.rows[row.token] = {"token": row.token, "key_alias": row.alias, "spend": 0.0, "metadata": row.marked(mark)}
    state.making = 0
    assert await finish(context, ROUTE) is None
    assert proxy.rows == {} and len(remove_finalizer) == 1
