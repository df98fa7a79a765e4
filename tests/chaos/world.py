"""The faulty world: one HTTP server between the operator and what it calls, which fails it where it is told to.

It has a door to the API server (a port for each operator) and one to LiteLLM (a port, with a path for each route).
Everything that isn't struck by a fault is passed on as it is, and noted. What all routes ask their LiteLLMs alike is asked
once in five seconds (`Proxies.read`).
"""

import asyncio
import base64
import contextlib
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from .detour import OPERATOR_HEADER
from .faults import EVERY, KUBE, LITELLM, STALE, Fault, Name, kube_name, litellm_name
from .upstream import ApiServer, Proxies

LATE_SECONDS = 3.0
SLOW_SECONDS = 7.0
"""Longer than a lease call may take."""
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server", "te", "upgrade"}
NOT_SECRET = {"LITELLM_BASE_URL"}
"""What Secrets hold beside secrets, by key."""
_REASONS = {
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has come to a door.

    Attributes:
        at: when, by the event loop's clock.
        operator: which process has made it.
        fault: the kind of fault that has struck it; empty: none.
    """

    at: float
    operator: str
    door: str
    name: Name
    fault: str


@dataclass
class Watched:
    """What is known of one case.

    Attributes:
        fault: laid, and not yet struck where ``struck`` is empty.
        struck_at: when, by the event loop's clock.
        delivered: token of the virtual key that the Secret holds, as last written; empty: none.
        ending: whether its keys may end while a Secret holds them, since the agent goes.
        wrong: what must never happen, and has.
    """

    fault: Fault | None = None
    struck: str = ""
    struck_at: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    calls: list[Call] = field(default_factory=list)
    delivered: str = ""
    ending: bool = False
    wrong: list[str] = field(default_factory=list)


@dataclass
class WatchTrouble:
    """What happens to watches, while it lasts.

    Attributes:
        kind: ``cut``, ``gone`` or ``refuse``; empty: nothing.
        after: after how many events of a stream.
        status: with which they are refused.
        seconds: for how long, after the stories are told.
        stale: whether lists are answered as they were when this began.
    """

    kind: str = ""
    after: int = 1
    status: int = 0
    stale: bool = False
    seconds: float = 15.0


class World:
    """The doors, and what has come through them.

    Args:
        api: the real API server.
        proxies: the real LiteLLMs.
        namespace: where the cases are.
    """

    def __init__(self, api: ApiServer, proxies: Proxies, namespace: str) -> None:
        self._api = api
        self._proxies = proxies
        self._namespace = namespace
        self._runners: list[web.AppRunner] = []
        self.cases: defaultdict[str, Watched] = defaultdict(Watched)
        self.calls: list[Call] = []
        self.secrets: set[str] = set()
        self.watch_trouble = WatchTrouble()
        self.strikes = 0
        """How often something bad was done that isn't one case's: to a watch, a list, a lease call."""
        self._common: Sequence[Fault] = ()
        self._common_counts: Counter[str] = Counter()
        self._cut_off: set[str] = set()
        self.lease: Callable[[str, int], str] = lambda operator, number: ""
        """What kind of fault the n-th lease call of an operator meets; empty: none."""
        self._lease_calls: Counter[str] = Counter()
        self._watching: dict[asyncio.Transport, str] = {}
        self._answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self._held = asyncio.Event()
        self.waiting: set[str] = set()
        """Cases whose call is held for a kill."""
        self._late: set[asyncio.Task[None]] = set()
        self.litellm_port = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["World"]:
        """LiteLLM's door; the API server's are opened by `door`."""
        self.litellm_port = await self._serve(self._at_litellm)
        try:
            yield self
        finally:
            self.let_go()
            for task in self._late:
                task.cancel()
            for runner in self._runners:
                await runner.cleanup()

    async def door(self, operator: str) -> str:
        """A door to the API server for one operator process; returns its URL."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._at_kube(request, operator)

        return f"http://127.0.0.1:{await self._serve(handle)}"

    def litellm_url(self, tenant: str) -> str:
        """Where a route finds its LiteLLM."""
        return f"http://127.0.0.1:{self.litellm_port}/{tenant}"

    async def _serve(self, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> int:
        server = web.Server(handle, access_log=None)  # type: ignore[arg-type]
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._runners.append(runner)  # type: ignore[arg-type]
        return int(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]

    # What the campaign does

    def lay(self, case: str, fault: Fault | None) -> None:
        """Begin a case's story: its calls are counted from here, and the fault is laid."""
        watched = self.cases[case]
        watched.fault, watched.struck = fault, ""
        watched.counts.clear()
        watched.calls.clear()
        watched.wrong.clear()

    def let_go(self) -> None:
        """Let the calls go that are held for a kill; they are answered by nothing."""
        self._held.set()
        self._held = asyncio.Event()
        self.waiting.clear()

    def trouble_watches(self, trouble: WatchTrouble) -> None:
        """Have something happen to watches from now on; those that are open end now."""
        self.watch_trouble = trouble
        for transport in list(self._watching):
            transport.abort()

    def trouble_calls(self, faults: Sequence[Fault]) -> None:
        """Have faults strike calls that are nobody's alone, such as lists, from now on; they are counted from here."""
        self._common = faults
        self._common_counts.clear()

    @contextlib.contextmanager
    def cut_off(self, operator: str) -> Iterator[None]:
        """An operator doesn't reach the API server for some time, and hears nothing of it."""
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
        if "leases" in name.call:
            self._lease_calls[operator] += 1
            kind = self.lease(operator, self._lease_calls[operator])
            self.strikes += bool(kind)
        if lists and self.watch_trouble.stale and request.path_qs in self._answers:
            kind = STALE
            self.strikes += 1

        async def forward() -> tuple[int, dict[str, str], bytes]:
            self._take_secrets(name, body)
            status, headers, answer = await self._api.call(request.method, request.path_qs, request.headers, body)
            if status < 300:
                self._note_delivered(name, body)
            if lists and status == 200 and not self.watch_trouble.stale:
                self._answers[request.path_qs] = (status, headers, answer)
            return status, headers, answer

        return await self._answer(request, KUBE, name, kind, forward)

    def _take_secrets(self, name: Name, body: bytes) -> None:
        if name.reads or " secrets" not in name.call or not body:
            return
        for key, value in (_object(body).get("data") or {}).items():
            if key not in NOT_SECRET:
                self.secrets.add(base64.b64decode(value).decode(errors="replace"))

    def _note_delivered(self, name: Name, body: bytes) -> None:
        if not name.case or name.reads or " secrets" not in name.call:
            return
        key = (_object(body).get("data") or {}).get("LITELLM_API_KEY")
        if key:
            self.cases[name.case].delivered = hashlib.sha256(base64.b64decode(key)).hexdigest()

    async def _watch(self, request: web.Request, operator: str) -> web.StreamResponse:
        """Pass a watch on, line by line, until it is to end."""
        if self.watch_trouble.kind == "refuse":
            self.strikes += 1
            return _refusal(KUBE, self.watch_trouble.status)
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
        async with self._api.stream(request.path_qs, request.headers) as upstream:
            response = web.StreamResponse(status=upstream.status, headers=_end_to_end(upstream.headers))
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
                await response.write(line)
            return response

    # LiteLLM's door

    async def _at_litellm(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        tenant, _, rest = request.path.lstrip("/").partition("/")
        path = f"/{rest}"
        name = litellm_name(request.method, tenant, path)
        kind = self._strike(LITELLM, name, request, request.headers.get(OPERATOR_HEADER, ""))

        async def forward() -> tuple[int, dict[str, str], bytes]:
            self._look_at_keys(name, path, body)
            query = f"?{request.query_string}" if request.query_string else ""
            answer = await self._pass_on(tenant, request, f"{path}{query}", body)
            if path != "/key/list" or answer[0] != 200 or "." in tenant:
                return answer
            status, headers, content = answer
            content = self._own_keys(name.case, content)
            self._answers.setdefault(request.path_qs, (status, headers, content))
            return status, headers, content

        return await self._answer(request, LITELLM, name, kind, forward)

    async def _pass_on(
        self, tenant: str, request: web.Request, path: str, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if request.method == "GET":
            return await self._proxies.read(tenant, path, request.headers)
        return await self._proxies.call(tenant, request.method, path, request.headers, body)

    def _look_at_keys(self, name: Name, path: str, body: bytes) -> None:
        given = _object(body) if body else {}
        if path == "/key/generate" and given.get("key"):
            self.secrets.add(given["key"])
        watched = self.cases[name.case]
        ended = given.get("keys") or [] if path == "/key/delete" else []
        if path == "/key/update" and given.get("duration"):
            ended = [given["key"]]
        if watched.delivered and watched.delivered in ended and not watched.ending:
            watched.wrong.append(f"{path} ends the key that the Secret holds")

    def _own_keys(self, case: str, content: bytes) -> bytes:
        """A page of keys with those of one case alone: each route's LiteLLM is as if it were a proxy of its own."""
        body = json.loads(content)
        alias = f"{self._namespace}/{case}"
        keys = [row for row in body.get("keys") or [] if (row.get("key_alias") or "").partition("#")[0] == alias]
        return json.dumps({**body, "keys": keys}).encode()

    # Faults

    def _strike(self, door: str, name: Name, request: web.Request, operator: str) -> str:
        """Note a call; returns the kind of the fault that it meets, or nothing."""
        kind = ""
        if name.case:
            watched = self.cases[name.case]
            watched.counts[f"{door}:{name.call}"] += 1
            number, fault = watched.counts[f"{door}:{name.call}"], watched.fault
            may = fault is not None and (fault.call == EVERY or not watched.struck)
            if fault and may and fault.is_at(door, name, number) and self._can(fault.kind, request):
                watched.struck = kind = fault.kind
                watched.struck_at = asyncio.get_running_loop().time()
        elif self._common and "leases" not in name.call:
            self._common_counts[f"{door}:{name.call}"] += 1
            number = self._common_counts[f"{door}:{name.call}"]
            kind = next((fault.kind for fault in self._common if fault.is_at(door, name, number)), "")
            self.strikes += bool(kind)
        call = Call(asyncio.get_running_loop().time(), operator, door, name, kind)
        if name.case:
            self.cases[name.case].calls.append(call)
        self.calls.append(call)
        return kind

    def _can(self, kind: str, request: web.Request) -> bool:
        """Whether a fault is possible: what has never been answered has no older answer."""
        return kind != STALE or request.path_qs in self._answers

    async def _answer(
        self,
        request: web.Request,
        door: str,
        name: Name,
        kind: str,
        forward: Callable[[], Awaitable[tuple[int, dict[str, str], bytes]]],
    ) -> web.StreamResponse:
        if kind == "drop-request":
            return await self._reset(request)
        if kind == "late":
            task = asyncio.ensure_future(self._forward_late(forward))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return await self._reset(request)
        if kind.isdigit():
            return _refusal(door, int(kind))
        if kind == "kill-before":
            await self._hold(name.case)
            return await self._reset(request)
        if kind in ("delay", "slow"):
            await asyncio.sleep(LATE_SECONDS if kind == "delay" else SLOW_SECONDS)
        if kind == STALE:
            return _response(*self._answers[request.path_qs])
        try:
            status, headers, content = await forward()
        except aiohttp.ClientError:  # of its own accord; the operator has to bear that too
            return await self._reset(request)
        if kind == "drop-answer":
            return await self._reset(request)
        if kind == "504-done":
            return _refusal(door, 504)
        if kind == "kill-after":
            await self._hold(name.case)
            return await self._reset(request)
        return _response(status, headers, content)

    async def _hold(self, case: str) -> None:
        self.waiting.add(case)
        await self._held.wait()

    async def _forward_late(self, forward: Callable[[], Awaitable[object]]) -> None:
        await asyncio.sleep(LATE_SECONDS)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            await forward()

    async def _reset(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)


def _object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _end_to_end(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP}


def _response(status: int, headers: dict[str, str], content: bytes) -> web.Response:
    return web.Response(status=status, headers=_end_to_end(headers), body=content)


def _refusal(door: str, status: int) -> web.Response:
    """An answer as the real one gives it when it can't."""
    text = f"{status}, because the campaign says so"
    if door == KUBE:
        reason = _REASONS[status]
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": text, "reason": reason}
        body["code"] = status  # type: ignore[assignment]
    else:
        body = {"error": {"message": text, "type": "internal_server_error", "code": str(status)}}  # type: ignore[dict-item]
    headers = {"Retry-After": "1"} if status == 429 else {}
    return web.json_response(body, status=status, headers=headers)
