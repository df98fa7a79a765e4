"""One agent with a budget, its real reconcile, and a ledger that knows independently what the agent has spent.

Time is set, nothing waits, and the names of the keys are counted, so that a run depends on its steps only.
"""

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, auto
from typing import Any, TypeVar
from unittest.mock import patch

from litclaw.kube.cache import Cache, fingerprint
from litclaw.kube.errors import ConflictError, UnavailableError
from litclaw.kube.objects import condition_of
from litclaw.kube.resources import AGENT, SECRET, Resource
from litclaw.litellm.errors import UnreachableError
from litclaw.litellm.transport import Response
from litclaw.reconcile.agent.reconcile import reconcile_agent
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.last_resort import TRANSIENT
from litclaw.reconcile.keys.retire import MOST_RETIRING
from litclaw.reconcile.proxy.connection import Connection
from pydantic import SecretStr

from .durations import next_reset
from .handled import Request
from .proxies import Clock, FakeProxy, Row
from .scenes import Body, FakeKube, agent_body, context_of, offer_of, route_body, session_of

T = TypeVar("T")
_AGENT = (AGENT.kind, "n", "a")
_SECRET = (SECRET.kind, "n", "a-litellm")
_UID = "u"
_BY_THE_CALENDAR = ("monthly", "24h", "12h")
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_MICRO = Decimal("0.000001")
_WORTH = Decimal("0.01")
"""The share of the budget that old keys may have spent before the live key takes it over (see `retire`)."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, in an event loop of its own."""
    with asyncio.Runner() as runner:
        return runner.run(coroutine)


class Killed(BaseException):
    """The process ends here."""


class Fate(Enum):
    """What becomes of one request of the operator's."""

    KILLED_BEFORE = auto()
    KILLED_AFTER = auto()
    LOST = auto()
    """It is carried out, and its response never arrives."""


@dataclass
class Fault:
    """Strikes one request to the proxy or the API server, counted from 1."""

    at: int = 0
    fate: Fate = Fate.LOST

    async def through(self, call: Awaitable[T], lost: Exception) -> T:
        """Make a request, unless it is the one."""
        self.at -= 1
        if self.at == 0 and self.fate is Fate.KILLED_BEFORE:
            call.close()  # type: ignore[attr-defined]
            raise Killed
        result = await call
        if self.at == 0:
            raise Killed if self.fate is Fate.KILLED_AFTER else lost
        return result


@dataclass(frozen=True)
class Cost:
    """Of one accepted call."""

    booked_at: datetime
    token: str
    amount: Decimal


@dataclass
class Ledger:
    """What was spent in this budget period, from the calls and LiteLLM's rules alone.

    A period is over at a known time, and the budget is reset a little later: by LiteLLM's job or, where LiteLLM would count
    from the key's creation, by the operator's next pass; a key that is created in between starts at zero. LiteLLM drops
    what is booked between the two with the old period, so such a cost may count or not.

    Attributes:
        duration: the period; None: the budget is never reset.
        ends: when the period ends.
        possible_from: a cost that is booked before counts in an earlier period.
        certain_from: a cost that is booked later counts in this one.
        excused: what may be missing because a valid key was deleted at the proxy; and until when that counts.
    """

    duration: str | None
    reset_delay: timedelta
    ends: datetime | None = None
    possible_from: datetime = _FIRST
    certain_from: datetime = _FIRST
    costs: list[Cost] = field(default_factory=list)
    excused: list[tuple[datetime, Decimal]] = field(default_factory=list)

    def pass_time(self, now: datetime) -> None:
        """Where LiteLLM counts by the calendar, its job resets every key at one time."""
        while self.duration in _BY_THE_CALENDAR and self.ends and self.ends + self.reset_delay <= now:
            self.reset(self.ends + self.reset_delay)

    def reset(self, at: datetime) -> None:
        """A key's spend was reset, or begins: where the period is over by then, the next one begins."""
        if self.duration is None or (self.ends is not None and at < self.ends):
            return
        if self.ends is not None:
            self.possible_from, self.certain_from = self.ends, max(at, self.ends + self.reset_delay)
        self.ends = next_reset(self.duration, at)

    def excuse_unbooked(self, token: str, now: datetime) -> None:
        """A key is deleted while it is valid: what is booked later finds no key (docs/rotation.md)."""
        late = [each for each in self.costs if each.token == token and each.booked_at > now]
        if late:
            amount = sum((each.amount for each in late), Decimal(0))
            self.excused.append((max(each.booked_at for each in late), amount))

    def begin_again(self, at: datetime) -> None:
        """A period is counted from now on: it ends later than it would, and what was spent in it stays."""
        if self.duration and self.ends:
            self.ends = max(self.ends, next_reset(self.duration, at))

    def is_between(self, now: datetime) -> bool:
        """True while a period is over and its spend may still be shown.

        Raises:
            AssertionError: the budget should have been reset by now.
        """
        if self.ends is None or now < self.ends:
            return now <= self.certain_from and self.possible_from != _FIRST
        assert now <= self.ends + self.reset_delay, "a period is over, and the budget wasn't reset"
        return True

    def most(self, until: datetime) -> Decimal:
        """What may have been spent in this period and booked by then."""
        return sum((each.amount for each in self.costs if self.possible_from <= each.booked_at <= until), Decimal(0))

    def least(self, until: datetime) -> Decimal:
        """What has been spent in this period, was booked by then, and can't be missing."""
        sure = sum((each.amount for each in self.costs if self.certain_from < each.booked_at <= until), Decimal(0))
        return max(Decimal(0), sure - sum(amount for at, amount in self.excused if at >= self.possible_from))


class LedgerProxy(FakeProxy):
    """A LiteLLM whose resets the ledger notes, and whose requests may fail.

    Attributes:
        live: the token of the key that was delivered last.
    """

    def __init__(self, clock: Clock, ledger: Ledger, fault: Fault) -> None:
        super().__init__(clock)
        self.reset_delay = ledger.reset_delay.total_seconds()
        self.live: Callable[[], str] = str
        self._ledger = ledger
        self._fault = fault

    async def answer(self, request: Request) -> Response:
        """Answer, unless the fault strikes."""
        return await self._fault.through(super().answer(request), UnreachableError("lost"))

    def _pass_time(self) -> None:
        self._ledger.pass_time(self.clock())
        super()._pass_time()

    def _reset(self, at: datetime, row: Row) -> None:
        super()._reset(at, row)
        self._note_reset(row, at)

    def _generate(self, request: Request) -> Row:
        row = super()._generate(request)
        self._ledger.reset(self.clock())
        return row

    def _update(self, request: Request) -> Row:
        row = super()._update(request)
        if {"spend", "budget_duration"} <= request.body.keys():  # the operator begins a period
            self._note_reset(row, self.clock())
            self._ledger.begin_again(self.clock())
        return row

    def _delete(self, request: Request) -> Row:
        for token in request.body["keys"]:
            ends = self.rows.get(token, {}).get("expires")
            if ends is None or datetime.fromisoformat(ends) > self.clock():
                self._ledger.excuse_unbooked(token, self.clock())
        return super()._delete(request)

    def _note_reset(self, row: Row, at: datetime) -> None:
        """The key that was delivered last, or the newest, stands for the agent."""
        without_end = [each for each in self.rows.values() if not each.get("expires")]
        newest = max(without_end, key=lambda each: int(each["metadata"]["litclaw"]["generation"]), default=row)
        if row["token"] in (self.live(), newest["token"]):
            self._ledger.reset(at)


class LedgerKube(FakeKube):
    """An API server whose requests may fail, and which remembers each key that a Secret has held."""

    def __init__(self, fault: Fault, *objects: Body) -> None:
        super().__init__(*objects)
        self.delivered: list[SecretStr] = []
        self._fault = fault

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body | None:
        """One object, unless the fault strikes."""
        return await self._through(super().get(resource, namespace, name))

    async def apply(self, manifest: Mapping[str, Any], *, subresource: str | None = None, **more: object) -> Body:
        """Apply a manifest, unless the fault strikes."""
        return await self._through(self._apply(manifest, subresource=subresource, **more))

    def change(self, key: tuple[str, str, str], **parts: Mapping[str, Any]) -> None:
        """Change an object as somebody else does."""
        self._version += 1
        body, meta = self.objects[key], self.objects[key]["metadata"]
        of_meta = {**parts.get("metadata", {}), "resourceVersion": str(self._version)}
        if "spec" in parts:
            of_meta["generation"] = meta["generation"] + 1
        self.objects[key] = {**body, **parts, "metadata": {**meta, **of_meta}}

    async def carry_out(self) -> None:
        """Carry out the first write that was given up, unless the object has changed meanwhile."""
        given_up, self.gives_up = self.gives_up, set()
        try:
            await self._apply(self.given_up.pop(0))
        except ConflictError:
            pass
        finally:
            self.gives_up = given_up

    async def _apply(self, manifest: Mapping[str, Any], **more: Any) -> Body:
        body = await super().apply(manifest, **more)
        if manifest["kind"] == SECRET.kind and "LITELLM_API_KEY" in manifest["data"]:
            self.delivered.append(_value(manifest))
        return body

    async def _through(self, call: Awaitable[T]) -> T:
        return await self._fault.through(call, UnavailableError(0, "Timeout", "lost"))


def _token(key: SecretStr) -> str:
    return fingerprint(key.get_secret_value())


def _value(secret: Mapping[str, Any]) -> SecretStr:
    return SecretStr(b64decode(secret["data"]["LITELLM_API_KEY"]).decode())


class BudgetScene:
    """An agent, its proxy, and the operator, which may end at any request and start again with empty memory.

    Args:
        duration: the budget's period; None: none.
        budget: in US dollars; None: no limit.
        reset_delay: seconds until LiteLLM's job resets a budget whose period is over.
    """

    def __init__(self, duration: str | None, budget: int | None, reset_delay: float = 0.0) -> None:
        self.clock = Clock()
        self.budget = budget
        self.fault = Fault()
        self.ledger = Ledger(duration, timedelta(seconds=reset_delay))
        self.proxy = LedgerProxy(self.clock, self.ledger, self.fault)
        key = {"maxBudget": None if budget is None else str(budget), "budgetDuration": duration}
        body = agent_body(uid=_UID, key={name: value for name, value in key.items() if value is not None})
        self.kube = LedgerKube(self.fault, route_body(), body)
        self.proxy.live = lambda: _token(self.kube.delivered[-1]) if self.kube.delivered else ""
        self.read_at = self.seen_until = self.clock()
        self._keys = self._requests = 0
        self._date_lost = False
        self._patch = patch("litclaw.reconcile.keys.mint.new_key", self._new_key)
        self._patch.start()
        self.start()

    def close(self) -> None:
        """Undo what was patched."""
        self._patch.stop()

    def _new_key(self) -> SecretStr:
        self._keys += 1
        return SecretStr(f"sk-key-number-{self._keys:06}")

    # The operator

    def start(self) -> None:
        """Start a process, which knows nothing yet."""
        self.fault.at = 0
        self.cache = Cache()
        self.context = context_of(self.kube, self.cache, self.clock)
        self.session = session_of(self.proxy.answer, self.clock)
        self.context.routes["n", "r"] = Connection(self.session, offer_of())
        self.watch()
        self.read_keys()

    def watch(self) -> None:
        """The watches show what has changed."""
        for body in self.kube.objects.values():
            self.cache.store(body)
        for name in (_AGENT, _SECRET):
            if (cached := self.cache.get(*name)) and name not in self.kube.objects:
                self.cache.remove(cached)

    def read_keys(self) -> None:
        """Read all keys of the proxy."""
        run(self.session.table.refresh(self.session.client))
        self.read_at = self.clock()

    def reconcile(self, at: int = 0, fate: Fate = Fate.LOST) -> bool:
        """One pass, after which the process may have been killed and started again.

        Args:
            at: number of the request that fails, from 1; 0: none does.
            fate: what becomes of it.

        Returns:
            True if the agent is ready.
        """
        self.fault.at, self.fault.fate = at, fate
        try:
            run(reconcile_agent(self.context, "n", "a"))
        except TRANSIENT:
            return False  # the queue retries
        except Killed:
            self.start()
            return False
        finally:
            self.fault.at = 0
        if condition_of(self.kube.objects[_AGENT], "Ready")["status"] != "True":
            return False
        self.seen_until = self.read_at
        self._check_old_keys()
        return True

    # What happens to it

    def request_rotation(self, grace: str) -> None:
        """Request a rotation by the annotation, with a grace period."""
        self._requests += 1
        self.change_agent(annotation=str(self._requests), rotation={"gracePeriod": grace})

    def change_agent(self, *, annotation: str | None = None, suspend: bool | None = None, **key: Any) -> None:
        """Change the resource: the annotation that requests a rotation, ``suspend``, or fields of ``spec.key``."""
        body = self.kube.objects[_AGENT]
        spec = {**body["spec"], "key": {**body["spec"]["key"], **key}}
        if suspend is not None:
            spec["suspend"] = suspend
        annotations = {"litclaw.dev/rotate": annotation} if annotation else body["metadata"].get("annotations", {})
        self.kube.change(_AGENT, spec=spec, metadata={"annotations": annotations})

    def raise_budget(self, amount: int) -> None:
        """Raise the budget, if there is one."""
        if self.budget is not None:
            self.budget += amount
            self.change_agent(maxBudget=str(self.budget))

    def pass_to_the_end_of_the_period(self, seconds: int) -> None:
        """Let time pass until some seconds after the budget's period ends."""
        if self.ledger.ends:
            self.clock.now = max(self.clock(), self.ledger.ends + timedelta(seconds=seconds))

    def pass_to_the_end_of_a_key(self, seconds: int) -> None:
        """Let time pass until some seconds after the next old key expires."""
        ends = [datetime.fromisoformat(row["expires"]) for row in self.proxy.rows.values() if row.get("expires")]
        if ends:
            self.clock.now = max(self.clock(), min(ends) + timedelta(seconds=seconds))

    def delete_secret(self) -> None:
        """Delete the Secret."""
        self.kube.objects.pop(_SECRET, None)

    def delete_key(self, which: int) -> None:
        """Delete a key at the proxy, as its administrator does.

        What no status has shown by then may be lost, since only the deleted key's row had it. Of a key that isn't in the
        Secret that is its own calls at the most. If no status has shown its date either, its successor's period may end later.
        """
        if not self.proxy.rows:
            return
        self.ledger.pass_time(self.clock())
        token = sorted(self.proxy.rows)[which % len(self.proxy.rows)]
        last = max([self.clock(), *(each.booked_at for each in self.ledger.costs)])
        lost = max(Decimal(0), self.ledger.most(last) - self._shown_before())
        if token != self.delivered_token:
            own = (each for each in self.ledger.costs if each.token == token)
            lost = min(lost, sum((each.amount for each in own), Decimal(0)))
        self.ledger.excused.append((last, lost))
        self._date_lost |= self._shown_end() != self.ledger.ends
        del self.proxy.rows[token]

    def call(self, back: int, cost: Decimal) -> None:
        """The consumer calls a model with the key that it has: the newest one that was delivered, or an older one."""
        if not self.kube.delivered:
            return
        key = self.kube.delivered[-1 - back % len(self.kube.delivered)]
        if self.proxy.call(key, float(cost)) != 200:
            return
        if self.budget is not None:
            seen = self.ledger.least(self.seen_until)
            beside = self.budget * _WORTH if len(self.proxy.rows) > 1 else 0
            assert seen - beside < self.budget, (
                f"{seen} of {self.budget} USD were read as spent, and a call is accepted"
            )
        booked_at = self.clock() + timedelta(seconds=self.proxy.booking_delay)
        self.ledger.costs.append(Cost(booked_at, _token(key), cost))

    # What must be true

    @property
    def status(self) -> Body:
        """The agent's."""
        status: Body = self.kube.objects[_AGENT].get("status") or {}
        return status

    @property
    def delivered_token(self) -> str:
        """The token of the key in the Secret."""
        secret = self.kube.objects.get(_SECRET)
        return _token(_value(secret)) if secret else ""

    def _shown_end(self) -> datetime | None:
        ends = self.status.get("budgetResetsAt")
        return datetime.fromisoformat(ends) if ends else None

    def _shown_before(self) -> Decimal:
        ends = self._shown_end()
        return Decimal(0) if ends and ends <= self.clock() else Decimal(self.status.get("spend") or 0)

    def settle(self) -> None:
        """Let LiteLLM book everything, and reconcile until nothing is left to do now. Then check everything."""
        self.clock.pass_(self.proxy.booking_delay + 1)
        self.watch()
        for _ in range(10):
            before = self._state()
            self.read_keys()
            if self.reconcile() and self._state() == before:
                break
        else:
            raise AssertionError(f"no rest: {self.status.get('conditions')}")
        self._check_keys()
        if self._date_lost and self.ledger.ends:
            self.ledger.ends = max(self.ledger.ends, self._shown_end() or self.ledger.ends)
        self._date_lost = False
        if not self.ledger.is_between(self.clock()):
            self._check_spend()

    def finish(self) -> None:
        """Settle until no old key is left."""
        self.settle()
        for _ in range(20):
            if len(self.proxy.rows) == 1:
                return
            self.pass_to_the_end_of_a_key(intervals.SETTLE)
            self.settle()
        raise AssertionError("old keys are left")

    def _state(self) -> object:
        return [sorted(map(repr, self.proxy.rows.values())), dict(self.kube.objects)]

    def _check_old_keys(self) -> None:
        soon = self.clock() + timedelta(seconds=5)
        valid = [
            row
            for row in self.proxy.rows.values()
            if row.get("expires") and datetime.fromisoformat(row["expires"]) > soon and not row.get("blocked")
        ]
        assert len(valid) <= MOST_RETIRING, "too many old keys are valid"

    def _check_keys(self) -> None:
        live = [row["token"] for row in self.proxy.rows.values() if not row.get("expires")]
        assert live == [self.delivered_token], "one key has no end, and it is in the Secret"
        blocked = bool(self.proxy.rows[live[0]].get("blocked"))
        suspended = bool(self.kube.objects[_AGENT]["spec"].get("suspend"))
        assert blocked == suspended, "it is blocked while the agent is suspended"

    def _check_spend(self) -> None:
        now = self.clock()
        least, most = self.ledger.least(now), self.ledger.most(now)
        total = Decimal(str(self.session.table.spend([_UID])))
        assert least - _MICRO <= total <= most + _MICRO, f"the keys count {total}, and {least} to {most} was spent"
        shown = Decimal(self.status["spend"])
        if len(self.proxy.rows) == 1:
            assert abs(shown - total) <= _MICRO, f"the status shows {shown} instead of {total}"
        elif self.budget is not None:
            assert abs(shown - total) <= self.budget * _WORTH + _MICRO, f"the status shows {shown} instead of {total}"
