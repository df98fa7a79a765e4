"""The faulty world: one HTTP server between the operator and the API server and LiteLLM, which injects the faults.

It has a door to the API server (a port for each operator) and a door to LiteLLM (one port, with a path for each route).
A request that no fault strikes is passed on unchanged, except to what isn't there in that number: workloads whose pods run
(`played`), and LiteLLMs with two workers (`workers`). Every request is recorded. What all routes read alike from their LiteLLM
is read once in five seconds (`Proxies.read`).
"""

import asyncio
import base64
import contextlib
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import aiohttp
from aiohttp import web
from litclaw.api import names

from .answers import end_to_end, parsed, passed_on, refusal
from .calls import KUBE, LITELLM, Call, Name, is_numbered, kube_name, litellm_name
from .case_record import CaseRecord
from .detour import OPERATOR_HEADER
from .faults import EVERY, STALE, Fault, WatchTrouble
from .played import is_played, played
from .tenants import Tenants
from .upstream import Answer, ApiServer, Proxies

LATE_SECONDS = 3.0
SLOW_SECONDS = 7.0
"""Longer than a lease call may take."""
NOT_SECRET = {"LITELLM_BASE_URL"}
"""Keys of Secrets whose values aren't secret."""


class World:
    """The doors, and the record of the requests that arrived at them.

    Args:
        api: the real API server.
        proxies: the real LiteLLMs.
        namespace: the namespace of the cases.

    Attributes:
        strikes: how many faults have struck that belong to no single case: of watches, lists and lease calls.
        lease: the kind of fault that the n-th lease call of an operator meets; empty: none.
        waiting: cases with a call that waits for a kill.
        table_reads: how many reads of the whole key table have begun, by tenant.
    """

    def __init__(self, api: ApiServer, proxies: Proxies, namespace: str) -> None:
        self._api = api
        self._tenants = Tenants(proxies, namespace)
        self._runners: list[web.ServerRunner] = []
        self.cases: defaultdict[str, CaseRecord] = defaultdict(CaseRecord)
        self.calls: list[Call] = []
        self.secrets: set[str] = set()
        self.watch_trouble = WatchTrouble()
        self.strikes = 0
        self.lease: Callable[[str, int], str] = lambda operator, number: ""
        self.waiting: set[str] = set()
        self.table_reads: Counter[str] = Counter()
        self.litellm_port = 0
        self._common: Sequence[Fault] = ()
        self._common_counts: Counter[str] = Counter()
        self._cut_off: set[str] = set()
        self._lease_calls: Counter[str] = Counter()
        self._watching: dict[asyncio.Transport, str] = {}
        self._answers: dict[str, Answer] = {}
        self._released = asyncio.Event()
        self._late: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["World"]:
        """Open LiteLLM's door; `door` opens those of the API server."""
        self.litellm_port = await self._serve(self._at_litellm)
        try:
            yield self
        finally:
            self.release()
            for task in self._late:
                task.cancel()
            for runner in self._runners:
                await runner.cleanup()

    async def door(self, operator: str) -> str:
        """Open a door to the API server for one operator process; returns its URL."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._at_kube(request, operator)

        return f"http://127.0.0.1:{await self._serve(handle)}"

    def litellm_url(self, tenant: str) -> str:
        """The URL of a tenant's LiteLLM."""
        return f"http://127.0.0.1:{self.litellm_port}/{tenant}"

    async def _serve(self, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> int:
        server = web.Server(handle, access_log=None)  # type: ignore[arg-type]
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._runners.append(runner)
        return int(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]

    # For the campaign

    def lay(self, case: str, fault: Fault | None) -> None:
        """Set a case's fault. The case's calls are counted from here."""
        record = self.cases[case]
        record.fault, record.struck = fault, ""
        record.counts.clear()
        record.calls.clear()
        record.wrong.clear()

    def release(self) -> None:
        """Release the calls that wait for a kill; their connections are reset."""
        self._released.set()
        self._released = asyncio.Event()
        self.waiting.clear()

    def trouble_watches(self, trouble: WatchTrouble) -> None:
        """Set the fault of watches from now on, and end those that are open."""
        self.watch_trouble = trouble
        for transport in list(self._watching):
            transport.abort()

    def trouble_calls(self, faults: Sequence[Fault]) -> None:
        """Set faults for calls that belong to no single case, such as lists. They are counted from here."""
        self._common = faults
        self._common_counts.clear()

    @contextlib.contextmanager
    def cut_off(self, operator: str) -> Iterator[None]:
        """One operator can't reach the API server, and its watches end."""
        self._cut_off.add(operator)
        for transport in [each for each, whose in self._watching.items() if whose == operator]:
            transport.abort()
        try:
            yield
        finally:
            self._cut_off.discard(operator)

    # The API server's door

    async def _at_kube(self, request: web.Request, operator: str) -> web.StreamResponse:
        if operator in self._cut_off:
            self.strikes += 1
            return await self._reset(request)
        body = await request.read()
        name = kube_name(request.method, request.path)
        if "watch" in request.query:
            return await self._watch(request, operator)
        kind = self._strike(KUBE, name, request, operator)
        lists = name.reads and name.call.endswith("(list)")
        sent = {**request.headers, "Accept-Encoding": "identity"} if is_played(name.call) else request.headers
        if "leases" in name.call:
            self._lease_calls[operator] += 1
            kind = self.lease(operator, self._lease_calls[operator])
            self.strikes += bool(kind)
        if lists and self.watch_trouble.stale and request.path_qs in self._answers:
            kind = STALE
            self.strikes += 1

        async def forward() -> Answer:
            self._record_secrets(name, body)
            status, headers, answer = await self._api.call(request.method, request.path_qs, sent, body)
            if is_played(name.call):
                answer = played(answer, name.call)
            if status < 300 and "dryRun" not in request.query:
                self.record_written(name, body)
            if lists and status == 200 and not self.watch_trouble.stale:
                self._answers[request.path_qs] = (status, headers, answer)
            return status, headers, answer

        return await self._answer(request, KUBE, name, kind, forward)

    def _record_secrets(self, name: Name, body: bytes) -> None:
        if name.reads or " secrets" not in name.call or not body:
            return
        for key, value in (parsed(body).get("data") or {}).items():
            if key not in NOT_SECRET:
                self.secrets.add(base64.b64decode(value).decode(errors="replace"))

    def record_written(self, name: Name, body: bytes) -> None:
        """Record what a case's Secret holds after a write."""
        if not name.case or name.reads or " secrets" not in name.call:
            return
        manifest, record = parsed(body), self.cases[name.case]
        data = {key: base64.b64decode(value) for key, value in (manifest.get("data") or {}).items()}
        if key := data.get(names.API_KEY):
            agent = manifest["metadata"]["labels"][names.LABEL_INSTANCE]
            record.delivered[agent] = hashlib.sha256(key).hexdigest()
        if master := data.get(names.MASTER_KEY):
            record.master = master.decode()

    async def _watch(self, request: web.Request, operator: str) -> web.StreamResponse:
        """Pass a watch on, line by line, until its fault ends it."""
        if self.watch_trouble.kind == "refuse":
            self.strikes += 1
            return refusal(KUBE, self.watch_trouble.status)
        transport = request.transport
        assert transport
        self._watching[transport] = operator
        try:
            return await self._stream(request)
        except (ConnectionError, aiohttp.ClientError):
            return await self._reset(request)
        finally:
            self._watching.pop(transport, None)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        call = kube_name(request.method, request.path).call
        async with self._api.stream(request.path_qs, request.headers) as upstream:
            response = web.StreamResponse(status=upstream.status, headers=end_to_end(upstream.headers))
            await response.prepare(request)
            passed = 0
            async for line in upstream.content:
                trouble = self.watch_trouble
                self.strikes += trouble.kind in ("gone", "cut") and passed >= trouble.after
                if trouble.kind == "gone" and passed >= trouble.after:
                    gone = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}
                    await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
                    return response
                if trouble.kind == "cut" and passed >= trouble.after:
                    return await self._reset(request)
                passed += 1
                await response.write(played(line, call) + b"\n" if is_played(call) else line)
            return response

    # LiteLLM's door

    async def _at_litellm(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        tenant, _, rest = request.path.lstrip("/").partition("/")
        path = f"/{rest}"
        name = litellm_name(request.method, tenant, path)
        if path == "/key/list" and request.query.get("page") == "1" and "key_alias" not in request.query:
            self.table_reads[tenant] += 1
        kind = self._strike(LITELLM, name, request, request.headers.get(OPERATOR_HEADER, ""))

        async def forward() -> Answer:
            self.check_ends(name, path, body)
            answer = await self._tenants.answer(tenant, request, path, body, self.cases[name.case].master)
            if path == "/key/list" and answer[0] == 200 and is_numbered(tenant):
                self._answers.setdefault(request.path_qs, answer)
            return answer

        return await self._answer(request, LITELLM, name, kind, forward)

    def check_ends(self, name: Name, path: str, body: bytes) -> None:
        """Record what may never happen: that a key ends while it is the one that its agent's Secret was given last."""
        given = parsed(body)
        if path == "/key/generate" and given.get("key"):
            self.secrets.add(given["key"])
        record = self.cases[name.case]
        ended = given.get("keys") or [] if path == "/key/delete" else []
        if path == "/key/update" and given.get("duration"):
            ended = [given["key"]]
        if not record.ending and set(record.delivered.values()) & set(ended):
            record.wrong.append(f"{path} ends the key that is in the Secret")

    # Faults

    def _strike(self, door: str, name: Name, request: web.Request, operator: str) -> str:
        """Record a call; returns the kind of the fault that strikes it, or an empty string."""
        kind = ""
        now = asyncio.get_running_loop().time()
        if name.case:
            record = self.cases[name.case]
            record.counts[f"{door}:{name.call}"] += 1
            number, fault = record.counts[f"{door}:{name.call}"], record.fault
            may = fault is not None and (fault.call == EVERY or not record.struck)
            if fault and may and fault.is_at(door, name, number) and self._can(fault.kind, request):
                record.struck = kind = fault.kind
                record.struck_at = now
        elif self._common and "leases" not in name.call:
            self._common_counts[f"{door}:{name.call}"] += 1
            number = self._common_counts[f"{door}:{name.call}"]
            kind = next((fault.kind for fault in self._common if fault.is_at(door, name, number)), "")
            self.strikes += bool(kind)
        call = Call(now, operator, door, name, kind)
        if name.case:
            self.cases[name.case].calls.append(call)
        self.calls.append(call)
        return kind

    def _can(self, kind: str, request: web.Request) -> bool:
        """Whether a fault is possible: a request that was never answered has no older answer."""
        return kind != STALE or request.path_qs in self._answers

    async def _answer(
        self, request: web.Request, door: str, name: Name, kind: str, forward: Callable[[], Awaitable[Answer]]
    ) -> web.StreamResponse:
        if kind == "drop-request":
            return await self._reset(request)
        if kind == "late":
            task = asyncio.ensure_future(self._forward_late(forward))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return await self._reset(request)
        if kind.isdigit():
            return refusal(door, int(kind))
        if kind == "kill-before":
            await self._wait_for_kill(name.case)
            return await self._reset(request)
        if kind in ("delay", "slow"):
            await asyncio.sleep(LATE_SECONDS if kind == "delay" else SLOW_SECONDS)
        if kind == STALE:
            return passed_on(*self._answers[request.path_qs])
        try:
            status, headers, content = await forward()
        except aiohttp.ClientError:  # a real failure, which the operator has to survive too
            return await self._reset(request)
        if kind == "drop-answer":
            return await self._reset(request)
        if kind == "504-done":
            return refusal(door, 504)
        if kind == "kill-after":
            await self._wait_for_kill(name.case)
            return await self._reset(request)
        return passed_on(status, headers, content)

    async def _wait_for_kill(self, case: str) -> None:
        self.waiting.add(case)
        await self._released.wait()

    async def _forward_late(self, forward: Callable[[], Awaitable[object]]) -> None:
        await asyncio.sleep(LATE_SECONDS)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            await forward()

    async def _reset(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)
