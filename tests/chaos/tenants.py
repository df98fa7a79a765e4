"""The real LiteLLMs as each route sees them: one that has the keys of its own case alone, and perhaps two workers."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .answers import parsed
from .calls import case_of, case_of_alias, is_numbered
from .upstream import Answer, Proxies
from .workers import END, Workers, models_of

_NO_SUCH_KEY = b'{"error": {"message": "no such key", "type": "token_not_found_in_db", "code": "401"}}'


class Tenants:
    """The LiteLLMs of all routes.

    Args:
        proxies: the real ones.
        namespace: of the cases.
    """

    def __init__(self, proxies: Proxies, namespace: str) -> None:
        self._proxies = proxies
        self._namespace = namespace
        self._workers: dict[str, Workers] = {}

    async def answer(self, tenant: str, request: web.Request, path: str, body: bytes, master: str) -> Answer:
        """The answer to a request.

        Args:
            path: without the tenant.
            master: the master key of the managed route of the request's case; empty: there is none.
        """
        headers = self._headers(tenant, request, master)
        if tenant.endswith(END):
            return await self._by_workers(tenant, request, path, headers, body)
        query = f"?{request.query_string}" if request.query_string else ""
        answer = await self._pass_on(tenant, request.method, f"{path}{query}", headers, body)
        status, kept, content = answer
        if path == "/key/list" and status == 200 and is_numbered(tenant):
            return status, kept, own_keys(content, case_of(tenant), self._namespace)
        return answer

    def _headers(self, tenant: str, request: web.Request, master: str) -> Mapping[str, str]:
        """The headers; for a managed route of a case, with the master key of the LiteLLM that answers in place of its own."""
        is_managed = "." in tenant and is_numbered(tenant)
        if not is_managed or not master or request.headers.get("Authorization") != f"Bearer {master}":
            return request.headers
        others = {name: value for name, value in request.headers.items() if name.lower() != "authorization"}
        return {**others, "Authorization": f"Bearer {self._proxies.master_of(tenant)}"}

    async def _pass_on(self, tenant: str, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if method == "GET":
            return await self._proxies.read(tenant, path, headers)
        return await self._proxies.call(tenant, method, path, headers, body)

    async def _by_workers(
        self, tenant: str, request: web.Request, path: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        workers, now = self._workers.setdefault(tenant, Workers(tenant)), asyncio.get_running_loop().time()
        worker, key = workers.next(), headers.get("Authorization", "").removeprefix("Bearer ")
        if not workers.knows(worker, key, now):
            return 401, {"Content-Type": "application/json"}, _NO_SUCH_KEY
        if path == "/key/list" and "page" in request.query and "key_alias" not in request.query:
            return await self._page(tenant, workers, worker, int(request.query["page"]), headers)
        query = f"?{request.query_string}" if request.query_string else ""
        answer = await self._pass_on(tenant, request.method, f"{path}{query}", headers, body)
        status, kept, content = answer
        if path == "/key/generate" and status == 200:
            workers.create(parsed(body)["key"], now)
        if path == "/model/info" and status == 200:
            return status, kept, models_of(worker, content)
        if path == "/key/list" and status == 200:
            return status, kept, own_keys(content, case_of(tenant), self._namespace)
        return answer

    async def _page(self, tenant: str, workers: Workers, worker: int, page: int, headers: Mapping[str, str]) -> Answer:
        rows: list[dict[str, Any]] = []
        at = pages = 1
        while at <= pages:
            path = f"/key/list?size=100&page={at}&return_full_object=true"
            status, kept, content = await self._pass_on(tenant, "GET", path, headers, b"")
            if status != 200:
                return status, kept, content
            body = json.loads(own_keys(content, case_of(tenant), self._namespace))
            rows += body["keys"]
            at, pages = at + 1, body.get("total_pages") or 1
        return status, kept, json.dumps(workers.lists(worker, rows, page)).encode()


def own_keys(content: bytes, case: str, namespace: str) -> bytes:
    """A page of keys, with those of one case alone: each route's LiteLLM looks like a proxy of its own."""
    body = json.loads(content)
    keys = [row for row in body.get("keys") or [] if case_of_alias(row.get("key_alias") or "", namespace) == case]
    return json.dumps({**body, "keys": keys}).encode()
