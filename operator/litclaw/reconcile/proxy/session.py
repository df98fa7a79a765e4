"""One session per LiteLLM proxy: its client, clock and key table, and the tasks that observe it and read its keys.

All routes with the same URL, master key and certificates share a session, so that thirty routes to one proxy cost what one
costs. The two tasks belong to the session, not to a worker: a proxy that hangs, drips or lists without end delays its own
agents and nobody else.
"""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from litclaw.litellm.breaker import Breaker
from litclaw.litellm.client import LiteLLM
from litclaw.litellm.errors import LiteLLMError, NoDatabaseError, NotLiteLLMError, UnreachableError
from litclaw.net.backoff import jittered
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.last_resort import log_unexpected
from litclaw.reconcile.proxy.key_table import KeyTable
from litclaw.reconcile.proxy.offer import known_models
from litclaw.reconcile.proxy.read_pace import ReadPace
from litclaw.reconcile.proxy.room import Room

log = logging.getLogger(__name__)

RouteKey = tuple[str, str]
"""A route: namespace, name."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What identifies a proxy and opens it.

    Attributes:
        url: root of the proxy.
        master_key: the proxy's master key.
        authorities: certificates, in PEM, that the proxy's own is checked against; empty: the usual ones.
        master_key_before: the master key that some of the proxy's pods may still know instead.
    """

    url: str
    master_key: SecretStr
    authorities: str = ""
    master_key_before: SecretStr | None = None

    @property
    def identity(self) -> tuple[str, str, str]:
        """Routes with the same identity share a session."""
        return (self.url, self.master_key.get_secret_value(), self.authorities)


Connect = Callable[[Credentials, Breaker], LiteLLM]
"""Creates a client.

Raises:
    ssl.SSLError: the certificates are invalid.
"""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a proxy answered when it was observed.

    Attributes:
        begun: when the observation began, by the event loop's clock.
        database: True if it has a database.
        release: its LiteLLM release; empty where it doesn't report one.
        models: what `known_models` keeps of the proxy's models.
        left_out: how many models it doesn't keep.
        error: why the proxy isn't usable; None if it is.
    """

    begun: float
    database: bool = False
    release: str = ""
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: int = 0
    error: LiteLLMError | None = None

    def shows_the_same(self, other: "Observation") -> bool:
        """True if nothing but the time differs."""
        mine, theirs = (replace(each, begun=0.0, error=None) for each in (self, other))
        return mine == theirs and _text(self.error) == _text(other.error)


def _text(error: Exception | None) -> str:
    return f"{type(error).__name__}: {error}" if error else ""


class ProxySession:
    """One proxy.

    Args:
        connect: creates the client.
        on_observed: called when an observation shows something else than the one before, or was asked for; and when the
            keys have been read for the first time or can't be read any more.
        on_keys_changed: called with the uids of the agents whose keys have changed.
        now: the operator's clock.
        monotonic: see `Cluster`.
        room: for the keys of the next read; None: any number.

    Attributes:
        table: this cluster's keys at the proxy.
        routes: the routes that share the session.
        blocks_spread: True if the proxy's replicas learn of a blocked key sooner than of a deleted one.
        observation: the last one; None: there is none yet.
        read_error: why the last read of the keys failed; None if it succeeded.
        left_out: how many keys had no room in memory at the last read.
        hurry_until: until when, by `monotonic`, keys are read more often, because an old key waits for the first use of its successor.
        ends_moved_up: of old keys whose end was moved up, by token, the seconds that were left to them then.
        gone: the uids with keys here of which the API server has said that no such agent exists. None comes back.
        undelivered: by agent uid, token and value of a key whose write into the Secret has an unknown outcome.
    """

    def __init__(
        self,
        credentials: Credentials,
        cluster: str,
        *,
        connect: Connect,
        on_observed: Callable[["ProxySession"], None],
        on_keys_changed: Callable[["ProxySession", set[str]], None],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        room: Callable[["ProxySession"], Room] | None = None,
    ) -> None:
        self.breaker = Breaker()
        self.client = connect(credentials, self.breaker)
        self.credentials = credentials
        self.table = KeyTable(cluster, monotonic)
        self.routes: set[RouteKey] = set()
        self.blocks_spread = True
        self.observation: Observation | None = None
        self.read_error: LiteLLMError | None = None
        self.hurry_until = 0.0
        self.ends_moved_up: dict[str, float] = {}
        self.gone: set[str] = set()
        self.undelivered: dict[str, tuple[str, SecretStr]] = {}
        self._connect = connect
        self._on_observed = on_observed
        self._on_keys_changed = on_keys_changed
        self._now = now
        self._monotonic = monotonic
        self._room = room
        self.left_out = 0
        self._task: asyncio.Task[None] | None = None
        self._observe_now = asyncio.Event()
        self._read_now = asyncio.Event()
        self._wanted_since = float("-inf")
        self._pace = ReadPace()

    @property
    def url(self) -> str:
        """Root of the proxy."""
        return self.credentials.url

    @property
    def keys_read(self) -> bool:
        """True if the proxy's keys have been read at least once."""
        return self.table.complete

    @property
    def up_to_date(self) -> bool:
        """True if the proxy answers and its keys are known."""
        observed = self.observation is None or self.observation.error is None
        return self.keys_read and self.read_error is None and observed

    @property
    def reads_first_keys(self) -> bool:
        """True while the keys are being read for the first time."""
        usable = self.observation is not None and self.observation.error is None
        return usable and not self.keys_read and self.read_error is None

    def now(self) -> datetime:
        """The time by the proxy's clock, which decides when its keys end and its budgets are reset."""
        return self.client.now(self._now())

    def start(self) -> None:
        """Observe the proxy and read its keys until closed."""
        if self._task is None:
            # With an empty context: its log lines aren't about the route whose pass happens to create it.
            self._task = asyncio.create_task(self._run(), name=f"session of {self.url}", context=contextvars.Context())

    def reconnect(self, credentials: Credentials) -> LiteLLM:
        """Use other credentials of the same proxy from now on.

        Returns:
            The former client, for the caller to close when running passes have ended.

        Raises:
            ssl.SSLError: the certificates are invalid; nothing has changed.
        """
        before, self.client = self.client, self._connect(credentials, self.breaker)
        self.client.continue_clock(before)
        self.credentials = credentials
        self.request_observation()
        return before

    def stop(self) -> None:
        """Observe and read no more. The client stays for the passes that use it."""
        if self._task:
            self._task.cancel()

    async def close(self) -> None:
        """Stop, and close the connections."""
        self.stop()
        if self._task:
            await asyncio.wait([self._task])
        await self.client.close()

    # Observing

    def observed_since(self, moment: float) -> Observation | None:
        """An observation that began at a moment of the event loop's clock or later; None if there is none yet.

        Where there is none, the proxy is observed now, and `on_observed` is called afterwards.
        """
        if self.observation and self.observation.begun >= moment:
            return self.observation
        self._wanted_since = max(self._wanted_since, moment)
        self.request_observation()
        return None

    def request_observation(self) -> None:
        """Observe the proxy as soon as possible."""
        self._observe_now.set()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_observing())
            group.create_task(self._keep_reading_keys())

    async def _keep_observing(self) -> None:
        while True:
            self._observe_now.clear()
            before, wanted = self.observation, self._wanted_since
            self.observation = found = await self._observe()
            if found.error is None and (before is None or before.error):
                self._read_now.set()
            if before is None or not found.shows_the_same(before) or before.begun < wanted <= found.begun:
                self._on_observed(self)
            await _wait(self._observe_now, jittered(intervals.OBSERVE))

    async def _observe(self) -> Observation:
        found = Observation(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(intervals.OBSERVE_LIMIT):
                readiness = await self.client.readiness()
                if not readiness.database:
                    raise NoDatabaseError(f"{self.url} runs without a database, so it can't keep keys")
                found = replace(found, database=True)
                found = replace(found, release=await self.client.release() or readiness.version)
                models = await self.client.model_info()
                kept = known_models(models)
                return replace(found, models=kept, left_out=len(models) - len(kept))
        except TimeoutError:
            error: LiteLLMError = UnreachableError(f"{self.url} doesn't answer within {intervals.OBSERVE_LIMIT:g} s")
        except LiteLLMError as failed:
            error = failed
        except Exception as failed:  # noqa: BLE001 - an answer that nobody expected must not end the session
            log_unexpected(failed, f"the observation of {self.url}")
            error = NotLiteLLMError(f"{self.url} answers what LiteLLM doesn't: {type(failed).__name__}")
        return replace(found, error=error)

    # Reading the keys

    def hurry(self, seconds: float) -> None:
        """Read the keys more often for some seconds."""
        self.hurry_until = self._monotonic() + seconds
        self._read_now.set()

    async def _keep_reading_keys(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._read_now.clear()
            began = clock()
            if self.observation and self.observation.error is None:
                await self._read_keys()
                ended = clock() if self.read_error is None else max(began, self.table.last_shown)
                self._pace.note(began, ended, complete=self.read_error is None)
            hurries = self._monotonic() < self.hurry_until or self.read_error is not None
            next_read = began + (intervals.HURRY if hurries else intervals.OBSERVE)
            await _wait(self._read_now, max(self._pace.earliest, next_read) - clock())
            # Whatever ended the wait. The first successful read comes as soon as the proxy is usable.
            least = max(self._pace.earliest, began + intervals.HURRY) if self.keys_read else self._pace.earliest
            await asyncio.sleep(least - clock())

    async def read_keys(self) -> set[str]:
        """Read all keys now.

        Returns:
            The uids of the agents whose keys have changed.

        Raises:
            LiteLLMError: the table stays as it was. UnreachableError if it takes too long.
        """
        room = self._room(self) if self._room else None
        try:
            async with asyncio.timeout(intervals.READ_KEYS_LIMIT):
                changed = await self.table.refresh(self.client, room)
        except TimeoutError:
            message = f"{self.url} doesn't list its keys within {intervals.READ_KEYS_LIMIT:g} s"
            raise UnreachableError(message) from None
        if room and room.left_out != self.left_out:
            self.left_out = room.left_out
            log.warning("%d keys at %s have no room in memory, and aren't looked after now", room.left_out, self.url)
        self.gone &= self.table.agents()
        # What belongs to keys that are gone: of deleted agents, and of those that have moved to another proxy.
        self.ends_moved_up = {token: left for token, left in self.ends_moved_up.items() if self.table.get(token)}
        self.undelivered = {uid: each for uid, each in self.undelivered.items() if self.table.get(each[0])}
        return changed

    async def _read_keys(self) -> None:
        first, changed = not self.keys_read, set[str]()
        error: LiteLLMError | None = None
        try:
            changed = await self.read_keys()
        except LiteLLMError as failed:
            error = failed
        except Exception as failed:  # noqa: BLE001 - an answer that nobody expected must not end the session
            log_unexpected(failed, f"the read of the keys of {self.url}")
            error = NotLiteLLMError(f"{self.url} lists what LiteLLM doesn't: {type(failed).__name__}")
        before, self.read_error = self.read_error, error
        if changed and not first:
            self._on_keys_changed(self, changed)
        if (first and self.keys_read) or _text(before) != _text(error):
            self._on_observed(self)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
