"""An agent's key while somebody else is at work on it: a leader that was paused, or a cache that is behind."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from litclaw.api.agent import OpenClawAgent
from litclaw.kube.cache import Cache, fingerprint
from litclaw.kube.client import Kube
from litclaw.kube.errors import ConflictError, UnavailableError
from litclaw.litellm.keys import KeyRow, Limits, Mark
from litclaw.reconcile.agent.accept import Access
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.keys.due import asked
from litclaw.reconcile.keys.ensure import ensure_key
from litclaw.reconcile.proxy.key_table import KeyTable
from litclaw.render.agent.secret import agent_secret
from litclaw.render.metadata import sealed

from .proxies import MASTER, Clock, FakeProxy

OLD, NEW = "sk-the-key-that-the-cache-shows", "sk-the-key-that-the-secret-holds"
AGENT = OpenClawAgent.model_validate(
    {
        "metadata": {"name": "a", "namespace": "n", "uid": "u", "annotations": {"litclaw.dev/rotate": "now"}},
        "spec": {"routeRef": {"name": "r"}},
    }
)


class OneSecret:
    """An API server with the agent's Secret, which is written to in one version only."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.patience = True
        """Otherwise the next write is given up, and stays to be carried out late."""
        self.given_up: list[Mapping[str, Any]] = []

    async def get(self, *_: object) -> dict[str, Any]:
        """The Secret."""
        return self.body

    async def apply(self, manifest: Mapping[str, Any], **_: object) -> dict[str, Any]:
        """The Secret as it is then; an event is taken and forgotten."""
        if manifest["kind"] != "Secret":
            return dict(manifest)
        if not self.patience:
            self.patience = True
            self.given_up.append(manifest)
            raise UnavailableError(0, "Timeout", "no answer")
        held = self.body["metadata"]
        if manifest["metadata"].get("resourceVersion", held["resourceVersion"]) != held["resourceVersion"]:
            raise ConflictError(409, "Conflict", "the object has been modified")
        version = str(int(held["resourceVersion"]) + 1)
        self.body = {**manifest, "metadata": {**manifest["metadata"], "uid": held["uid"], "resourceVersion": version}}
        return self.body


def _secret(key: str, version: str) -> dict[str, Any]:
    manifest = sealed(agent_secret(AGENT, key=key, token=fingerprint(key), base_url="http://litellm:4000"))
    return {**manifest, "metadata": {**manifest["metadata"], "uid": "s", "resourceVersion": version}}


def _row(proxy: FakeProxy, key: str, mark: Mark, alias: str) -> KeyRow:
    row = KeyRow(fingerprint(key), alias, Limits(), 1.0, mark)
    shown = {"token": row.token, "key_alias": alias, "spend": row.spend, "metadata": row.marked(mark)}
    proxy.rows[row.token] = shown
    return row


def _world(kube: OneSecret, cache: Cache, clock: Clock) -> Context:
    return Context(
        kube=cast(Kube, cast(object, SimpleNamespace(get=kube.get, apply=kube.apply))),
        cache=cache,
        cluster="c",
        wake=lambda key: None,
        enqueue_after=lambda key, seconds: None,
        now=clock,
    )


async def test_a_key_that_somebody_else_has_delivered_is_not_replaced_by_who_does_not_know_of_it() -> None:
    clock = Clock()
    proxy = FakeProxy(clock)
    made = clock().isoformat()
    old = _row(proxy, OLD, Mark("c", "u", 1, namespace="n", made=made), "n/a#1")
    mark = Mark("c", "u", 2, namespace="n", made=made, asked=asked(AGENT), replaces=old.short, grace=3600)
    new = _row(proxy, NEW, mark, AGENT.alias)
    cache, kube = Cache(), OneSecret(_secret(NEW, "2"))
    cache.observe(_secret(OLD, "1"))
    context = _world(kube, cache, clock)
    state = RouteState(proxy.client(), (MASTER, "", None), KeyTable("c"), usable=True)
    state.table.put(old)
    access = Access(state, (), Limits())

    with pytest.raises(ConflictError):
        await ensure_key(context, AGENT, access)
    assert kube.body == _secret(NEW, "2") and new.token in proxy.rows

    cache.observe(kube.body)
    for row in list(proxy.rows.values()):
        state.table.put(cast(KeyRow, await state.client.key(row["token"])))
    row, _ = await ensure_key(context, AGENT, access)
    assert row.token == new.token and row.alias == AGENT.alias
    assert set(proxy.rows) == {old.token, new.token}, "the one that nobody was given has gone"
    assert "expires" in proxy.rows[old.token] and "expires" not in proxy.rows[new.token]
    assert kube.body == _secret(NEW, "2")


@pytest.mark.parametrize("late_first", [True, False])
async def test_a_write_that_is_carried_out_late_puts_no_ended_key_back(late_first: bool) -> None:
    clock = Clock()
    proxy, cache, kube = FakeProxy(clock), Cache(), OneSecret(_secret(OLD, "1"))
    cache.observe(kube.body)
    context = _world(kube, cache, clock)
    state = RouteState(proxy.client(), (MASTER, "", None), KeyTable("c"), usable=True)

    kube.patience = False
    with pytest.raises(UnavailableError):
        await ensure_key(context, AGENT, Access(state, (), Limits()))
    [token], [late] = proxy.rows, kube.given_up
    if late_first:
        await kube.apply(late)
    # The limits have changed meanwhile, too.
    row, _ = await ensure_key(context, AGENT, Access(state, (), Limits(rpm_limit=60)))
    if not late_first:
        with pytest.raises(ConflictError):
            await kube.apply(late)
    assert fingerprint(base64.b64decode(kube.body["data"]["LITELLM_API_KEY"]).decode()) == row.token == token
    assert set(proxy.rows) == {token} and proxy.rows[token]["rpm_limit"] == 60 and not state.undelivered


async def test_a_rotation_whose_write_was_given_up_goes_on_with_the_same_key() -> None:
    clock = Clock()
    proxy, cache, kube = FakeProxy(clock), Cache(), OneSecret(_secret(OLD, "1"))
    cache.observe(kube.body)
    context = _world(kube, cache, clock)
    state = RouteState(proxy.client(), (MASTER, "", None), KeyTable("c"), usable=True)
    old = _row(proxy, OLD, Mark("c", "u", 1, namespace="n", made=clock().isoformat()), AGENT.alias)
    proxy.rows[old.token]["max_budget"] = 10.0
    state.table.put(replace(old, limits=Limits(max_budget=10.0)))
    access = Access(state, (), Limits(max_budget=10.0))

    kube.patience = False
    with pytest.raises(UnavailableError):
        await ensure_key(context, AGENT, access)
    [made] = proxy.rows.keys() - {fingerprint(OLD)}
    row, _ = await ensure_key(context, AGENT, access)
    assert row.token == made and set(proxy.rows) == {fingerprint(OLD), made}, "no third one is made"
    assert "expires" in proxy.rows[fingerprint(OLD)], "and the old one has an end, and lives until then"
    assert {each["spend"] for each in proxy.rows.values()} == {1.0}, "what was spent counts once"
    with pytest.raises(ConflictError):
        await kube.apply(kube.given_up[0])
