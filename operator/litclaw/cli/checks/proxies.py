"""What answers at the routes' URLs, asked from here: by the API server for a Service of the cluster, else directly.

A master key is read from its Secret where that is allowed, kept from all output, and sent in two ways only: through the API
server, and over HTTPS to a certificate that is trusted. Else what can be asked without one is.
"""

import asyncio
import base64
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr

from litclaw.api import names
from litclaw.cli.checks.check import MOST_NAMED, Check, fail, objects, ok, skip, warn
from litclaw.cli.output import plural
from litclaw.cli.view import Body, health, route_of, title
from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError
from litclaw.kube.resources import AGENT, NAMESPACE, ROUTE, SECRET
from litclaw.litellm.client import LiteLLM
from litclaw.litellm.errors import LiteLLMError, UnauthorizedError, UnreachableError, UntrustedError
from litclaw.litellm.transport import Answer, Http
from litclaw.net.address import Reach, base_url, reach
from litclaw.reconcile.proxy.key_table import KeyTable

_AT_A_TIME = 8
_SECONDS = 60.0
_ANSWER_SECONDS = 10.0
_MOST_NAMED = 5
_SERVICE = re.compile(r"([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.[a-z0-9.-]+)?")
_KEY_HEADER = "x-litellm-api-key"
"""Another name of LiteLLM's for Authorization, which the API server keeps for itself."""
_SYSTEM = "kube-system"


@dataclass(frozen=True, slots=True)
class Known:
    """What keys are compared with.

    Attributes:
        cluster: what stands for the cluster in the marks of keys; None: it mayn't be read.
        agents: all agents of the cluster; None: they mayn't be listed.
    """

    cluster: str | None
    agents: list[Body] | None


class _ApiServer(Http):
    """The way through the API server to a Service."""

    def __init__(self, kube: Kube, namespace: str, service: str, port: int) -> None:
        self._kube = kube
        self._where = (namespace, service, port)

    async def close(self) -> None:
        """The connection is the API server's, and is kept."""

    async def send(
        self,
        method: str,
        path: str,
        *,
        bearer: SecretStr | None,
        payload: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; nothing but GET is asked here."""
        assert method == "GET" and payload is None
        headers = {"Accept": "application/json"}
        if bearer:
            headers[_KEY_HEADER] = f"Bearer {bearer.get_secret_value()}"
        query = f"?{urlencode(params)}" if params else ""
        status, content = await self._kube.through(*self._where, f"{path}{query}", headers)
        return Answer(status, content)


@dataclass(frozen=True, slots=True)
class _Asked:
    """How a proxy is asked.

    Attributes:
        url: its root.
        way: in words.
        http: through the API server; None: directly.
        authorities: of its certificate, in PEM; empty: the usual ones.
        key: its master key; None: it is asked without.
        unknown: why it is asked without.
    """

    url: str
    way: str
    http: _ApiServer | None
    authorities: str
    key: SecretStr | None
    unknown: str


async def check_proxies(kube: Kube, cluster_id: str) -> list[Check]:
    """Each route's proxy: reachable, with a database, of which release, and whose keys it has.

    Args:
        cluster_id: what the operator is told by ``--cluster-id``; empty: nothing.
    """
    routes = await objects(kube, ROUTE)
    if isinstance(routes, str):
        return []  # it has been said of the routes
    agents = await objects(kube, AGENT)
    known = Known(await _cluster(kube, cluster_id), None if isinstance(agents, str) else agents)
    limit = asyncio.Semaphore(_AT_A_TIME)

    async def check(body: Body) -> Check:
        async with limit:
            return await _check(kube, body, known)

    found = await asyncio.gather(*(check(body) for body in routes))
    checks = sorted(found, key=lambda each: each.outcome == "ok")
    more = len(checks) - MOST_NAMED
    return checks[:MOST_NAMED] + ([ok("proxies", f"and {more} more")] if more > 0 else [])


async def _cluster(kube: Kube, cluster_id: str) -> str | None:
    if cluster_id:
        return cluster_id
    try:
        found = await kube.get(NAMESPACE, None, _SYSTEM)
    except KubeError:
        return None
    return str(found["metadata"]["uid"]) if found else None


async def _check(kube: Kube, body: Body, known: Known) -> Check:
    name = f"proxy {title(body)}"
    asked = await _way(kube, body)
    if isinstance(asked, str):
        return skip(name, f"not asked: {asked}. What the operator saw counts, at the route above.")
    try:
        async with asyncio.timeout(_SECONDS):
            return await _ask(name, body, asked, known)
    except KubeError as error:
        if error.status == 403:
            why = f"you aren't allowed to get services/proxy in {body['metadata']['namespace']}"
            return skip(name, f"not asked: {why}. What the operator saw counts, at the route above.")
        seen = f"the API server doesn't reach it: {error.message or error.reason}"
        if not health(body).fine:
            return fail(name, seen, "See the route above, and its pods.")
        remedy = "The operator does, so it works: a network may keep the API server from pods."
        return warn(name, seen, remedy)
    except (UnreachableError, TimeoutError) as error:
        why = "it takes too long to answer" if isinstance(error, TimeoutError) else str(error)
        return skip(name, f"not asked {asked.way}: {why}. What the operator saw counts, at the route above.")
    except UntrustedError as error:
        return fail(name, str(error), "Name its authority's certificate in spec.external.caBundleSecretRef.")
    except LiteLLMError as error:
        return fail(name, str(error), "See the route above: its conditions say what to do.")


async def _ask(name: str, body: Body, asked: _Asked, known: Known) -> Check:
    key = asked.key or SecretStr("")
    async with LiteLLM(asked.url, key, asked.authorities, http=asked.http) as client:
        started = time.monotonic()
        async with asyncio.timeout(_ANSWER_SECONDS):
            readiness = await client.readiness()
        seen = f"asked {asked.way}: answers in {(time.monotonic() - started) * 1000:.0f} ms"
        if not readiness.database:
            remedy = "See the route's DatabaseReady, and the proxy's log: without a database it keeps no keys."
            return fail(name, f"{seen}; its database isn't connected", remedy)
        seen += "; database connected"
        if asked.key is None:
            return ok(name, f"{seen}; release and keys not asked: {asked.unknown}")
        try:
            release = await client.release() or readiness.version
        except UnauthorizedError:
            remedy = "Where the master key has just been changed, the proxy's pods are about to be; else see the route above."
            return fail(name, f"{seen}; it doesn't take the master key in Secret {_key_of(body)[0]}", remedy)
        seen += f"; LiteLLM {release or 'of a release that it does not say'}"
        if known.cluster is None or known.agents is None:
            return ok(name, f"{seen}; keys not compared: you aren't allowed to list all agents and read {_SYSTEM}")
        table = KeyTable(known.cluster)
        await table.refresh(client)
    return _compared(name, seen, body, table, known.agents)


def _compared(name: str, seen: str, body: Body, table: KeyTable, agents: list[Body]) -> Check:
    living = {each["metadata"]["uid"] for each in agents}
    if orphans := table.orphaned(living):
        remedy = "The operator ends them within a minute. If it doesn't, its log says what the proxy answers."
        return warn(
            name, f"{seen}; {plural(len(orphans), 'key')} without an agent: {_some(r.alias for r in orphans)}", remedy
        )
    here = (body["metadata"]["namespace"], body["metadata"]["name"])
    mine = [each for each in agents if route_of(each) == here and "deletionTimestamp" not in each["metadata"]]
    lost = [each for each in mine if (hash_ := _hash(each)) and not _holds(table, each, hash_)]
    if lost:
        remedy = "The operator makes another within a minute. If it doesn't, see the agent's conditions."
        return warn(name, f"{seen}; it doesn't know the key of {_some(map(title, lost))}", remedy)
    return ok(name, f"{seen}; {plural(len(table), 'key')} of this cluster's, none without an agent")


def _hash(agent: Body) -> str:
    return str(((agent.get("status") or {}).get("key") or {}).get("hash") or "")


def _holds(table: KeyTable, agent: Body, hash_: str) -> bool:
    return any(row.token.startswith(hash_) for row in table.of(agent["metadata"]["uid"]))


def _some(found: Any) -> str:
    listed = list(found)
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return f"{', '.join(listed[:_MOST_NAMED])}{more}"


async def _way(kube: Kube, body: Body) -> _Asked | str:
    """How to ask a route's proxy, or why it can't be asked."""
    external = body["spec"].get("external")
    url = base_url(external["url"]) if external else (body.get("status") or {}).get("url") or ""
    parts = urlsplit(url)
    if not parts.hostname:
        return "it has no address yet"
    service = _SERVICE.fullmatch(parts.hostname)
    if service and parts.scheme == "http":
        way = _ApiServer(kube, service[2], service[1], parts.port or 80)
        key, unknown = await _master_key(kube, body)
        return _Asked(url, "through the API server", way, "", key, unknown)
    if service or reach(url) in (Reach.LOOPBACK, Reach.LINK_LOCAL):
        return f"{url} is only for the cluster"
    if parts.scheme != "https":
        return _Asked(url, "directly", None, "", None, f"a master key isn't sent over {parts.scheme}")
    authorities = ""
    if reference := external and external.get("caBundleSecretRef"):
        found = await _value(kube, body, reference["name"], reference["key"])
        if found is None:
            return f"its certificate's authority, in Secret {reference['name']}, can't be read by you"
        try:
            ssl.create_default_context(cadata=found)
        except ssl.SSLError:
            return f"what Secret {reference['name']} holds under {reference['key']} are no certificates"
        authorities = found
    key, unknown = await _master_key(kube, body)
    return _Asked(url, "directly", None, authorities, key, unknown)


def _key_of(body: Body) -> tuple[str, str]:
    """The Secret with a route's master key, and the key in it."""
    spec = body["spec"]
    reference = (spec.get("external") or spec.get("managed") or {}).get("masterKeySecretRef")
    if reference:
        return reference["name"], reference["key"]
    return names.route_master_key(body["metadata"]["name"]), names.MASTER_KEY


async def _master_key(kube: Kube, body: Body) -> tuple[SecretStr | None, str]:
    secret, key = _key_of(body)
    value = await _value(kube, body, secret, key)
    if not value:
        return None, f"you aren't allowed to read Secret {body['metadata']['namespace']}/{secret}, or it lacks {key}"
    return SecretStr(value), ""


async def _value(kube: Kube, body: Body, secret: str, key: str) -> str | None:
    """A value of a Secret beside the route; None: there is none, or it mayn't be read."""
    try:
        found: Mapping[str, Any] | None = await kube.get(SECRET, body["metadata"]["namespace"], secret)
        return base64.b64decode((found or {})["data"][key]).decode().strip()
    except (KubeError, KeyError, TypeError, ValueError):
        return None
