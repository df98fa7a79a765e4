"""Keys at a proxy that no agent's own pass looks after, and what is to become of them.

An agent's pass looks after its keys at the proxy of the route that it names. Keys elsewhere are its keys as well: until it has
got one where it is now, or for good where its route doesn't exist, doesn't allow it or isn't ready. And a retained key has
no agent at all. The route that sweeps the proxy revokes those: whoever may edit an agent can't escape that by naming another
route. docs/design/revocation.md has the table.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from litclaw.api import names
from litclaw.kube.errors import InvalidError
from litclaw.kube.objects import (
    agent_secret_name_of,
    forbids_retain,
    is_deleting,
    is_released,
    is_suspended,
    route_key_of,
)
from litclaw.kube.resources import NAMESPACE, ROUTE, SECRET
from litclaw.litellm.keys import KeyRow, Mark
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.owned_objects import get_live
from litclaw.reconcile.keys.block import BlockReason
from litclaw.reconcile.keys.due import UNKNOWN_CREATION, created_at, is_older, runs_for
from litclaw.reconcile.proxy.session import ProxySession, RouteKey
from litclaw.reconcile.route.allowed_namespaces import allows_namespace
from litclaw.reconcile.route.claims import is_looked_after, route_of, session_of

Body = Mapping[str, Any]

_CLOCKS_DIFFER = timedelta(days=1)
"""At the most. A key that is blocked by mistake is worse than one of a former namespace that works."""
_MOST_LOOKUPS = 50
"""In one pass over one proxy, which may name any number of namespaces and routes in the marks of keys."""


@dataclass(frozen=True, slots=True)
class Unattended:
    """A key without an agent that looks after it at the proxy.

    Attributes:
        agent: the agent, which names a route to another proxy; None: the cache has none, or a released one.
    """

    row: KeyRow
    agent: Body | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of a key. Nothing set: it stays as it is.

    Attributes:
        delete: it ends now.
        end_after: seconds after which the proxy refuses it.
        block: why it is blocked.
        unblock: what we blocked it for is over.
    """

    delete: bool = False
    end_after: int | None = None
    block: BlockReason | None = None
    unblock: bool = False


def unattended_keys(context: Context, session: ProxySession) -> Iterator[Unattended]:
    """The unattended keys of the namespaces that this operator serves. Agents that have our finalizer end theirs themselves."""
    agents = context.agents()
    for uid in session.table.agents():
        agent = agents.get(uid)
        if agent is None:
            rows = session.table.of(uid)
            yield from (Unattended(row, None) for row in rows if row.mark and context.serves(row.mark.namespace))
        elif not is_deleting(agent) and session_of(context, agent) is not session:
            rows = session.table.of(uid)
            yield from (Unattended(row, agent) for row in rows if not is_looked_after(context, agent, session, row))


async def has_moved(context: Context, agent: Body, session: ProxySession) -> bool:
    """True if an agent has a key of another route's proxy in its Secret."""
    connection = context.routes.get(route_key_of(agent))
    if connection is None or not connection.usable or connection.session.url == session.url:
        return False
    secret = await get_live(context, SECRET.kind, agent["metadata"]["namespace"], agent_secret_name_of(agent))
    delivered = ((secret or {}).get("data") or {}).get(names.API_KEY)
    row = connection.session.table.get(delivered) if delivered else None
    if row is None or session.table.get(row.token) is not None:
        return False
    # One proxy may have several URLs: then a read of its keys that began after the key was created shows it here too. The
    # proxy isn't asked for the key: if it is another one, it has no business to know of it.
    began = session.table.read_began
    return began is not None and connection.session.table.was_known(row.token, began)


def _is_another(namespace: Body, row: KeyRow, mark: Mark) -> bool:
    """True if a namespace isn't the one in which a key was created, but a later one of its name.

    A mark without the uid is compared by time, which is by two clocks, the operator's and the API server's.
    """
    meta = namespace["metadata"]
    if mark.namespace_uid:
        return bool(meta.get("uid", mark.namespace_uid) != mark.namespace_uid)
    created, began = created_at(row), meta.get("creationTimestamp")
    return created != UNKNOWN_CREATION and bool(began) and datetime.fromisoformat(began) - created > _CLOCKS_DIFFER


@dataclass(slots=True)
class Judge:
    """Decides on the unattended keys of one proxy, in one pass.

    Attributes:
        routes: the routes whose proxy it is.
    """

    context: Context
    session: ProxySession
    routes: list[RouteKey]
    _gone: dict[RouteKey, bool] = field(default_factory=dict)
    _namespaces: dict[str, Body | None] = field(default_factory=dict)

    async def verdict(self, key: Unattended) -> Verdict:
        """What is to become of a key whose agent hasn't moved, or is gone.

        Raises:
            KubeError: it can't be decided now.
        """
        row, agent = key.row, key.agent
        mark = row.mark
        if mark is None:
            return Verdict()
        if agent is None and not mark.retained_for:
            return Verdict(delete=True)
        routes = await self._routes(row, agent)
        if routes is None and agent is not None and self._may_look_after_it(agent):
            return Verdict()
        if routes is None or (agent is None and routes and all(map(forbids_retain, routes))):
            return Verdict(delete=True)
        namespace = agent["metadata"]["namespace"] if agent else mark.namespace
        allowed = {allows_namespace(self.context, route, namespace) for route in routes}
        why = await self._why_blocked(row, agent, mark, allowed)
        end_after = self._end_after(row, agent)
        if why is None:
            over = mark.block_reason == BlockReason.NOT_ALLOWED and True in allowed
            # The suspension of an agent that is gone never is over.
            over = over or (mark.block_reason == BlockReason.SUSPENDED and agent is not None)
            return Verdict(end_after=end_after, unblock=over)
        ours = not row.blocked or bool(mark.block_reason)
        overrides = why == BlockReason.NAMESPACE_GONE and mark.block_reason == BlockReason.NOT_ALLOWED
        return Verdict(end_after=end_after, block=why if ours and (not row.blocked or overrides) else None)

    def _may_look_after_it(self, agent: Body) -> bool:
        """True if the route that an agent names hasn't had a pass in this process: it may be one to the same proxy."""
        named = route_key_of(agent)
        route = self.context.cache.get(ROUTE.kind, *named)
        return route is not None and not is_released(route) and named not in self.context.routes_seen

    async def _routes(self, row: KeyRow, agent: Body | None) -> list[Body] | None:
        """The routes that decide about a key: its own or, where that isn't known, every one that may be.

        None: its own is gone, and with it the reason for the key.
        """
        cached = self.context.cache
        if (own := route_of(row)) is None:
            named = [route_key_of(agent)] if agent else []
            return [body for key in {*self.routes, *named} if (body := cached.get(ROUTE.kind, *key))]
        body = cached.get(ROUTE.kind, *own)
        if body and not is_released(body):
            return [body]
        return None if self.context.serves(own[0]) and (body or await self._route_is_gone(own)) else []

    async def _why_blocked(
        self, row: KeyRow, agent: Body | None, mark: Mark, allowed: set[bool | None]
    ) -> BlockReason | None:
        if agent is not None and is_suspended(agent):
            return BlockReason.SUSPENDED
        if agent is None and mark.block_reason == BlockReason.NAMESPACE_GONE:
            return BlockReason.NAMESPACE_GONE  # who knows the key isn't who makes a namespace of that name later
        if agent is None and await self._namespace_is_gone(row, mark):
            return BlockReason.NAMESPACE_GONE
        return BlockReason.NOT_ALLOWED if allowed == {False} else None

    async def _namespace_is_gone(self, row: KeyRow, mark: Mark) -> bool:
        """True if the namespace of a key doesn't exist, is being deleted, or is another one of that name.

        The API server decides, not the cache, which may be behind.
        """
        name = mark.namespace
        body = self.context.cache.get(NAMESPACE.kind, "", name)
        if body and not _is_another(body, row, mark):
            return is_deleting(body)
        if name not in self._namespaces:
            if len(self._gone) + len(self._namespaces) >= _MOST_LOOKUPS:
                return False  # the next pass looks at it
            self._namespaces[name] = await self._read_namespace(name)
        live = self._namespaces[name]
        return live is None or is_deleting(live) or _is_another(live, row, mark)

    async def _read_namespace(self, name: str) -> Body | None:
        """What tells namespaces of one name apart; nothing of it where a namespace may not be read; None: there is none."""
        try:
            live = await self.context.kube.get(NAMESPACE, None, name)
        except InvalidError:
            return {"metadata": {}}
        kept = ("uid", "creationTimestamp", "deletionTimestamp")
        return live and {"metadata": {field: value for field, value in live["metadata"].items() if field in kept}}

    async def _route_is_gone(self, key: RouteKey) -> bool:
        """True if a route that the cache doesn't have doesn't exist: the cache has every route of its namespace."""
        if key not in self._gone:
            if len(self._gone) + len(self._namespaces) >= _MOST_LOOKUPS:
                return False
            namespace = key[0]
            live, _ = await self.context.kube.uids(ROUTE, namespace=namespace)
            known = {body["metadata"]["uid"] for body in self.context.cache.within(ROUTE.kind, namespace)}
            self._gone[key] = live <= known
        return self._gone[key]

    def _end_after(self, row: KeyRow, agent: Body | None) -> int | None:
        """The grace period of the rotations that cover a key. They replace an agent's key where the agent is now, so that
        only one without a grace period, after a leak, ends the others as well."""
        runs = [run for run in runs_for(self.context, row.token) if is_older(self.context, row, run.not_before)]
        graces = [run.grace for run in runs if agent is None or run.grace == 0]
        home = session_of(self.context, agent) if agent else None
        # One that the agent's proxy lists may be the key in use, which the agent's pass replaces now.
        in_use = home is not None and home.table.get(row.token) is not None
        return intervals.UPTAKE if graces and in_use else min(graces, default=None)
