"""Each route's proxy, asked from here: whether it answers, its database, its release and its keys."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from litclaw.cli.doctor.check import MOST_LISTED, Check, fail, first_of, objects, ok, skip, warn
from litclaw.cli.doctor.proxy_access import Access, access, master_key_secret
from litclaw.cli.output import plural
from litclaw.cli.view import Body, health, name_of, title
from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError
from litclaw.kube.objects import is_deleting, is_released, route_key_of
from litclaw.kube.resources import AGENT, NAMESPACE, ROUTE
from litclaw.litellm.client import LiteLLM
from litclaw.litellm.errors import LiteLLMError, UnauthorizedError, UnreachableError, UntrustedError
from litclaw.reconcile.proxy.key_table import KeyTable

_CONCURRENCY = 8
_PROXY_SECONDS = 60.0
_FIRST_RESPONSE_SECONDS = 10.0
_MOST_NAMES = 5
_SYSTEM = "kube-system"
_SEE_ROUTE = "The route above has the operator's last observation."


@dataclass(frozen=True, slots=True)
class Known:
    """What the proxies' keys are compared with.

    Attributes:
        cluster: identifies the cluster in the keys' metadata; None: the user may not read it.
        agents: all agents of the cluster; None: the user may not list them.
    """

    cluster: str | None
    agents: list[Body] | None


async def check_proxies(kube: Kube, cluster_id: str) -> list[Check]:
    """Each route's proxy.

    Args:
        cluster_id: the operator's ``--cluster-id``; empty: it isn't set.
    """
    routes = await objects(kube, ROUTE)
    if isinstance(routes, str):
        return []  # reported by check_routes
    agents = await objects(kube, AGENT)
    known = Known(await _cluster(kube, cluster_id), None if isinstance(agents, str) else agents)
    limit = asyncio.Semaphore(_CONCURRENCY)

    async def check(route: Body) -> Check:
        async with limit:
            return await _check(kube, route, known)

    found = await asyncio.gather(*(check(route) for route in routes))
    checks = sorted(found, key=lambda each: each.outcome == "ok")
    more = len(checks) - MOST_LISTED
    return checks[:MOST_LISTED] + ([ok("proxies", f"and {more} more")] if more > 0 else [])


async def _cluster(kube: Kube, cluster_id: str) -> str | None:
    if cluster_id:
        return cluster_id
    try:
        found = await kube.get(NAMESPACE, None, _SYSTEM)
    except KubeError:
        return None
    return str(found["metadata"]["uid"]) if found else None


async def _check(kube: Kube, route: Body, known: Known) -> Check:
    name = f"proxy {title(route)}"
    found = await access(kube, route)
    if isinstance(found, str):
        return skip(name, f"not asked: {found}. {_SEE_ROUTE}")
    try:
        async with asyncio.timeout(_PROXY_SECONDS):
            return await _ask(name, route, found, known)
    except KubeError as error:
        return _refused(name, route, error)
    except (UnreachableError, TimeoutError) as error:
        why = "it takes too long to answer" if isinstance(error, TimeoutError) else str(error)
        return skip(name, f"not asked {found.way}: {why}. {_SEE_ROUTE}")
    except UntrustedError as error:
        return fail(name, str(error), "Name its certificate authority in spec.external.caBundleSecretRef.")
    except LiteLLMError as error:
        return fail(name, str(error), "See the route above: its conditions say what to do.")


def _refused(name: str, route: Body, error: KubeError) -> Check:
    """The check of a proxy to which the API server doesn't pass requests."""
    if error.status == 403:
        why = f"you aren't allowed to get services/proxy in {route['metadata']['namespace']}"
        return skip(name, f"not asked: {why}. {_SEE_ROUTE}")
    seen = f"the API server doesn't reach it: {error.message or error.reason}"
    if not health(route).ok:
        return fail(name, seen, "See the route above, and its pods.")
    return warn(name, seen, "The operator reaches it, so it works: a network may block the API server's way to pods.")


async def _ask(name: str, route: Body, proxy: Access, known: Known) -> Check:
    key = proxy.key or SecretStr("")
    async with LiteLLM(proxy.url, key, proxy.authorities, transport=proxy.transport) as client:
        started = time.monotonic()
        async with asyncio.timeout(_FIRST_RESPONSE_SECONDS):
            readiness = await client.readiness()
        seen = f"asked {proxy.way}: answers in {(time.monotonic() - started) * 1000:.0f} ms"
        if not readiness.database:
            remedy = "See the route's DatabaseReady, and the proxy's log: without a database it can't store keys."
            return fail(name, f"{seen}; its database isn't connected", remedy)
        seen += "; database connected"
        if proxy.key is None:
            return ok(name, f"{seen}; release and keys not asked: {proxy.no_key}")
        try:
            release = await client.release() or readiness.version
        except UnauthorizedError:
            remedy = "If the master key has just been changed, the proxy's pods restart soon; else see the route above."
            return fail(name, f"{seen}; it rejects the master key in Secret {master_key_secret(route)[0]}", remedy)
        seen += f"; LiteLLM {release or 'of an unknown release'}"
        if known.cluster is None or known.agents is None:
            return ok(name, f"{seen}; keys not compared: you aren't allowed to list all agents and read {_SYSTEM}")
        table = KeyTable(known.cluster)
        await table.refresh(client)
    return _compared(name, seen, route, table, known.agents)


def _compared(name: str, seen: str, route: Body, table: KeyTable, agents: Sequence[Body]) -> Check:
    if orphans := table.orphaned({each["metadata"]["uid"] for each in agents if not is_released(each)}):
        remedy = "The operator expires them within a minute. If it doesn't, its log has the proxy's response."
        aliases = first_of([row.alias for row in orphans], _MOST_NAMES)
        return warn(name, f"{seen}; {plural(len(orphans), 'key')} without an agent: {aliases}", remedy)
    here = name_of(route)
    mine = [each for each in agents if route_key_of(each) == here and not is_deleting(each)]
    lost = [title(each) for each in mine if (hash_ := _hash(each)) and not _has(table, each, hash_)]
    if lost:
        remedy = "The operator creates another within a minute. If it doesn't, see the agent's conditions."
        return warn(name, f"{seen}; it doesn't know the key of {first_of(lost, _MOST_NAMES)}", remedy)
    return ok(name, f"{seen}; {plural(len(table), 'key')} of this cluster's, none without an agent")


def _hash(agent: Body) -> str:
    return str(((agent.get("status") or {}).get("key") or {}).get("hash") or "")


def _has(table: KeyTable, agent: Body, hash_: str) -> bool:
    return any(row.token.startswith(hash_) for row in table.of(agent["metadata"]["uid"]))
