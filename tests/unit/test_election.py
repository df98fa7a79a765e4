"""Who works: one at a time, whatever is slow, dead or paused."""

import asyncio
import contextlib
import copy
import socket
from collections.abc import AsyncIterator
from typing import Any, NoReturn, Self

import pytest
from litclaw.kube import election as election_module
from litclaw.kube.client import Kube
from litclaw.kube.election import Election
from litclaw.kube.errors import ConflictError, UnavailableError
from litclaw.kube.fence import Fence, boot_seconds
from litclaw.kube.resources import SECRET
from litclaw.litellm.client import LiteLLM
from pydantic import SecretStr


class Ended(BaseException):
    """The process would have ended here."""


def end(why: str) -> NoReturn:
    raise Ended(why)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Leases:
    """One Lease as the API server keeps it: a write names the version that it changes."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.down = False
        self.lose_answers = False
        self.writes = 0

    async def get(self, *_: object) -> dict[str, Any] | None:
        self._reached()
        return copy.deepcopy(self.lease)

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self._reached()
        if self.lease is not None:
            raise ConflictError(409, "AlreadyExists", "")
        return self._keep(manifest)

    async def replace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self._reached()
        assert self.lease is not None
        if manifest["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "")
        return self._keep(manifest)

    def _reached(self) -> None:
        if self.down:
            raise UnavailableError(0, "Unreachable", "")

    def _keep(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.writes += 1
        meta = {**manifest["metadata"], "resourceVersion": str(self.writes)}
        self.lease = copy.deepcopy({**manifest, "metadata": meta})
        if self.lose_answers:
            raise UnavailableError(0, "Unreachable", "the answer got lost")
        return copy.deepcopy(self.lease)

    @property
    def holder(self) -> str:
        assert self.lease
        return str(self.lease["spec"]["holderIdentity"])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(election_module, "RETRY_SECONDS", 0.002)


def candidate(leases: Leases, name: str, clock: Clock) -> tuple[Election, Fence]:
    fence = Fence(lost=end, clock=clock)
    return Election(leases, fence, namespace="n", identity=name, clock=clock), fence  # type: ignore[arg-type]


async def soon(task: "asyncio.Task[None]", seconds: float = 0.05) -> bool:
    await asyncio.wait([task], timeout=seconds)
    return task.done()


@contextlib.asynccontextmanager
async def running(work: Any) -> AsyncIterator["asyncio.Task[None]"]:
    task: asyncio.Task[None] = asyncio.ensure_future(work)
    yield task
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Ended):
        await task


async def test_of_two_one_leads_and_the_other_takes_over_when_the_lease_has_run_out() -> None:
    leases, clock = Leases(), Clock()
    (one, one_fence), (two, two_fence) = candidate(leases, "one", clock), candidate(leases, "two", clock)
    await one.acquire()
    assert one_fence.is_open and leases.holder == "one"
    async with running(two.acquire()) as taking:
        assert not await soon(taking)
        clock.now += election_module.RENEW_DEADLINE_SECONDS
        assert not one_fence.is_open, "the first has stopped"
        assert not await soon(taking) and not two_fence.is_open, "before the second may begin"
        clock.now += election_module.LEASE_SECONDS - election_module.RENEW_DEADLINE_SECONDS
        assert await soon(taking) and two_fence.is_open
    assert leases.holder == "two" and leases.lease["spec"]["leaseTransitions"] == 1  # type: ignore[index]


async def test_a_leader_that_renews_keeps_the_lease() -> None:
    leases, clock = Leases(), Clock()
    (one, fence), (two, _) = candidate(leases, "one", clock), candidate(leases, "two", clock)
    await one.acquire()
    async with running(one.keep()) as keeping, running(two.acquire()) as taking:
        for _ in range(10):
            clock.now += 6
            before = leases.writes
            await asyncio.sleep(0.02)
            assert leases.writes > before and fence.is_open
        assert not keeping.done() and not taking.done()


async def test_a_lease_that_is_given_back_is_taken_at_once() -> None:
    leases, clock = Leases(), Clock()
    (one, fence), (two, two_fence) = candidate(leases, "one", clock), candidate(leases, "two", clock)
    await one.acquire()
    async with running(two.acquire()) as taking:
        assert not await soon(taking)
        await one.release()
        assert not fence.is_open
        assert await soon(taking) and two_fence.is_open


async def test_a_leader_that_was_paused_too_long_ends_before_it_does_anything() -> None:
    leases, clock = Leases(), Clock()
    one, fence = candidate(leases, "one", clock)
    await one.acquire()
    clock.now += election_module.RENEW_DEADLINE_SECONDS
    with pytest.raises(Ended):
        fence.check()
    with pytest.raises(Ended):
        await one.keep()
    assert leases.writes == 1, "it doesn't renew what may be another's"


async def test_a_leader_that_reaches_nobody_ends_and_one_whose_answers_are_late_goes_on() -> None:
    leases, clock = Leases(), Clock()
    one, fence = candidate(leases, "one", clock)
    await one.acquire()
    async with running(one.keep()) as keeping:
        leases.lose_answers = True
        await asyncio.sleep(0.02)
        leases.lose_answers = False
        clock.now += 5
        await asyncio.sleep(0.03)
        assert fence.seconds_left == election_module.RENEW_DEADLINE_SECONDS and not keeping.done()
        leases.down = True
        await asyncio.sleep(0.02)
        clock.now += election_module.RENEW_DEADLINE_SECONDS
        assert await soon(keeping)
        assert isinstance(keeping.exception(), Ended) and one.trouble


async def test_a_lease_that_is_another_s_ends_the_leader() -> None:
    leases, clock = Leases(), Clock()
    one, _ = candidate(leases, "one", clock)
    await one.acquire()
    assert leases.lease
    leases.lease["spec"]["holderIdentity"] = "somebody"
    leases.lease["metadata"]["resourceVersion"] = "99"
    with pytest.raises(Ended):
        await one.keep()


async def test_of_many_at_one_moment_one_leads() -> None:
    leases, clock = Leases(), Clock()
    candidates = [candidate(leases, str(number), clock) for number in range(20)]
    tasks = [asyncio.ensure_future(each.acquire()) for each, _ in candidates]
    await asyncio.sleep(0.05)
    assert sum(task.done() for task in tasks) == 1
    assert [str(number) for number, (_, fence) in enumerate(candidates) if fence.is_open] == [leases.holder]
    for task in tasks:
        task.cancel()


def test_the_clock_counts_pauses() -> None:
    with open("/proc/uptime") as uptime:
        assert abs(float(uptime.read().split()[0]) - boot_seconds()) < 5


class Listener:
    """A server that answers each request with an empty object, and keeps what was sent to it."""

    def __init__(self) -> None:
        self.heard = b""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.heard += data
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()


async def test_nothing_is_sent_to_litellm_behind_a_shut_fence_even_on_a_connection_that_is_open() -> None:
    fence = Fence(lost=end)
    async with Listener() as server, LiteLLM(server.url, SecretStr("sk-master"), fence=fence.check) as client:
        with pytest.raises(Ended):
            await client.update_key("t", {})
        fence.open_until(float("inf"))
        await client.update_key("t", {})
        heard = server.heard
        assert b"POST /key/update" in heard
        fence.shut()
        with pytest.raises(Ended):
            await client.update_key("t", {"second": 1})
        assert server.heard == heard


async def test_the_fence_is_asked_when_the_connection_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was paused while it connected must not send on waking up."""
    fence = Fence(lost=end)
    fence.open_until(float("inf"))

    def connected_late(address: tuple[Any, ...]) -> socket.socket:
        fence.shut()  # what passes between the decision to call and the call
        return socket.socket(*address[:3])

    monkeypatch.setattr("litclaw.litellm.transport._socket", connected_late)
    async with Listener() as server, LiteLLM(server.url, SecretStr("sk-master"), fence=fence.check) as client:
        with pytest.raises(Ended):
            await client.update_key("t", {})
        assert server.heard == b""


async def test_kubernetes_is_read_behind_a_shut_fence_and_only_its_lease_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    fence, seen = Fence(lost=end), []
    async with Listener() as server:
        config = tmp_path / "config"
        config.write_text(
            f"{{apiVersion: v1, kind: Config, current-context: c, users: [{{name: u, user: {{token: t}}}}], "
            f"clusters: [{{name: k, cluster: {{server: '{server.url}'}}}}], "
            "contexts: [{name: c, context: {cluster: k, user: u}}]}"
        )
        monkeypatch.setenv("KUBECONFIG", str(config))
        monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(config))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        lease = {"kind": "Lease", "metadata": {"namespace": "n", "name": "x"}}
        secret = {"kind": "Secret", "metadata": {"namespace": "n", "name": "x"}}
        async with await Kube.connect(fence=fence.check, observer=lambda *call: seen.append(call[:3])) as kube:
            await kube.get(SECRET, "n", "x")
            await kube.replace(lease)
            heard = server.heard
            for write in (kube.apply(secret), kube.delete(SECRET, "n", "x", uid="u"), kube.create(secret)):
                with pytest.raises(Ended):
                    await write
            assert server.heard == heard
            fence.open_until(float("inf"))
            await kube.apply(secret)
            assert b"PATCH /api/v1/namespaces/n/secrets/x" in server.heard
    assert ("GET", "/api/v1/namespaces/n/secrets/x", 200) in seen
