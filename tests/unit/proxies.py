"""A LiteLLM in memory, with the rules of 1.106.2, for what takes minutes, fails on purpose or must happen at one moment.

The end-to-end tests run against the real one.
"""

import asyncio
import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from litclaw.litellm.client import LiteLLM
from litclaw.litellm.errors import UnreachableError
from litclaw.litellm.transport import Response
from pydantic import SecretStr

from .durations import in_seconds, next_reset
from .handled import MASTER, Request, answer, handled

Row = dict[str, Any]
_ALIAS = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_\-/.@]{0,253}[a-zA-Z0-9]")
_TIMES = ("expires", "budget_reset_at", "last_active")


class Clock:
    """A time that is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 10, 0, 0, tzinfo=UTC)
        self._passed = 0.0

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        self._passed += seconds

    def monotonic(self) -> float:
        """Seconds that have passed. Setting ``now`` doesn't change them."""
        return self._passed


class Refused(Exception):
    """An error response of LiteLLM's."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.response = answer(status, {"error": {"message": message, "type": kind, "code": str(status)}})


class FakeProxy:
    """One LiteLLM with one database.

    Attributes:
        clock: the proxy's.
        rows: the keys by token, as LiteLLM stores them.
        archive: deleted keys, which /key/info still shows.
        models: LiteLLM's model_info by model name.
        calls: method and path of each request.
        counts: requests by path.
        lost: paths whose requests are carried out, and whose responses never arrive.
        hanging: paths that are never answered.
        failing: paths that answer 500.
        dated: responses have the header Date.
        database: the proxy has a database.
        validates_aliases: ``enable_key_alias_format_validation``.
        custom_keys: False: ``disable_custom_api_keys``.
        booking_delay: seconds from a call to the moment when its cost is in the database.
        reset_delay: seconds from the end of a budget period to the reset.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rows: dict[str, Row] = {}
        self.archive: dict[str, Row] = {}
        self.models: dict[str, Row] = {}
        self.calls: list[str] = []
        self.counts: Counter[str] = Counter()
        self.lost: set[str] = set()
        self.hanging: set[str] = set()
        self.failing: set[str] = set()
        self.dated = False
        self.database = True
        self.validates_aliases = False
        self.custom_keys = True
        self.booking_delay = 15.0
        self.reset_delay = 0.0
        self._unbooked: list[tuple[datetime, str, float]] = []
        self._handlers: dict[str, Callable[[Request], Any]] = {
            "/health/readiness/details": lambda request: {"status": "healthy", "litellm_version": "1.106.2"},
            "/model/info": lambda request: {
                "data": [{"model_name": name, "model_info": info} for name, info in self.models.items()]
            },
            "/key/generate": self._generate,
            "/key/info": self._info,
            "/key/list": self._list,
            "/key/update": self._update,
            "/key/delete": self._delete,
            "/key/block": lambda request: self._set_blocked(request, True),
            "/key/unblock": lambda request: self._set_blocked(request, False),
        }

    def client(self) -> LiteLLM:
        """A client for it."""
        return handled(self.answer)

    async def answer(self, request: Request) -> Response:
        """Answer as LiteLLM does, or as the switches say."""
        self.calls.append(f"{request.method} {request.path}")
        self.counts[request.path] += 1
        if request.path in self.hanging:
            await asyncio.Event().wait()
        try:
            response = self._answer(request)
        except Refused as refused:
            response = refused.response
        if request.path in self.lost:
            raise UnreachableError("lost")
        return replace(response, date=format_datetime(self.clock(), usegmt=True)) if self.dated else response

    def call(self, key: SecretStr, cost: float, model: str = "") -> int:
        """Call a model with a virtual key.

        Args:
            cost: of the call, in US dollars. It counts against the budget at once, and is booked later.

        Returns:
            The HTTP status: 200, and the cost was incurred; 401, 403 or 422, and it wasn't.
        """
        self._pass_time()
        token = _hash(key.get_secret_value())
        try:
            row = self._authenticated(token)
        except Refused as refused:
            return refused.response.status
        if row.get("models") and model not in row["models"]:
            return 403
        unbooked = sum(amount for _, each, amount in self._unbooked if each == token)
        budget = row.get("max_budget")
        if budget is not None and row["spend"] + unbooked >= budget:
            return 422
        self._unbooked.append((self.clock() + timedelta(seconds=self.booking_delay), token, cost))
        return 200

    def _answer(self, request: Request) -> Response:
        self._pass_time()
        if request.path in self.failing:
            raise Refused(500, "internal_server_error", "Internal Server Error")
        if request.path == "/health/readiness":
            status, db = ("healthy", "connected") if self.database else ("unhealthy", "disconnected")
            return answer(200 if self.database else 503, {"status": status, "db": db})
        if request.path not in self._handlers:
            return answer(404, {"detail": "Not Found"})
        if request.bearer != MASTER.get_secret_value():
            row = self._authenticated(_hash(request.bearer))
            if row.get("allowed_routes"):
                raise Refused(403, "auth_error", "Virtual key is not allowed to call this route.")
            return answer(200, {"info": self._shown(row)})
        if not self.database and request.path.startswith("/key/"):
            raise Refused(500, "no_db_connection", "DB not connected")
        return answer(200, self._handlers[request.path](request))

    def _pass_time(self) -> None:
        """Book the costs that are due, and reset the budgets whose period has ended, in the order of time."""
        now = self.clock()
        while True:
            resets = [(at, row) for row in self.rows.values() if (at := self._resets_at(row)) and at <= now]
            reset = min(resets, key=lambda each: each[0], default=None)
            cost = min(self._unbooked, key=lambda each: each[0], default=None)
            if cost and cost[0] <= (reset[0] if reset else now):
                self._unbooked.remove(cost)
                at, token, amount = cost
                if row := self.rows.get(token):
                    row.update(spend=row["spend"] + amount, last_active=at.isoformat())
            elif reset:
                self._reset(*reset)
            else:
                return

    def _resets_at(self, row: Row) -> datetime | None:
        """When LiteLLM's job resets a budget. It passes over keys that have expired by then."""
        if not (ends := row.get("budget_reset_at")):
            return None
        at = datetime.fromisoformat(ends) + timedelta(seconds=self.reset_delay)
        expires = row.get("expires")
        return None if expires and datetime.fromisoformat(expires) <= at else at

    def _reset(self, at: datetime, row: Row) -> None:
        row.update(spend=0.0, budget_reset_at=next_reset(row["budget_duration"], at).isoformat())

    def _authenticated(self, token: str) -> Row:
        row = self.rows.get(token)
        if row is None:
            raise Refused(401, "token_not_found_in_db", "Authentication Error, Invalid proxy server token passed.")
        if row.get("expires") and datetime.fromisoformat(row["expires"]) < self.clock():
            raise Refused(401, "expired_key", "Authentication Error - Expired Key.")
        if row.get("blocked"):
            raise Refused(401, "auth_error", "Authentication Error, Key is blocked. Update via `/key/unblock`")
        return row

    def _generate(self, request: Request) -> Row:
        body = dict(request.body)
        self._check(body)
        key = body.pop("key")
        if not self.custom_keys:
            message = "Custom API key values are disabled by your administrator. Keys must be auto-generated."
            raise Refused(403, "internal_server_error", str({"error": message}))
        if not key.startswith("sk-") or len(key) < 16:
            raise Refused(400, "internal_server_error", "Invalid key format. LiteLLM Virtual Key must be …")
        token = _hash(key)
        new = {"spend": 0.0, "metadata": {}, "allowed_routes": [], **self._with_times(body), "token": token}
        # The row of a key that exists already is left as it is, and LiteLLM answers as if it weren't.
        self.rows.setdefault(token, new)
        return {**new, "token_id": token}

    def _update(self, request: Request) -> Row:
        row, body = self._row(request), dict(request.body)
        del body["key"]
        self._check(body, row)
        row.update(self._with_times(body))
        return row

    def _info(self, request: Request) -> Row:
        token = request.params["key"]
        if row := self.rows.get(token):
            return {"key": token, "info": self._shown(row)}
        if token in self.archive:
            return {"key": token, "info": self.archive[token] | {"status": "deleted"}}
        raise Refused(404, "not_found_error", "Key not found in database")

    def _list(self, request: Request) -> Row:
        """The newest first, so that rows move to later pages while somebody reads them."""
        page, size = int(request.params.get("page", 1)), int(request.params.get("size", 10))
        if not (1 <= size <= 100 and page >= 1):
            raise Refused(422, "", "Input should be less than or equal to 100")
        alias = request.params.get("key_alias")
        rows = [row for row in reversed(self.rows.values()) if alias in (None, row.get("key_alias"))]
        keys = [
            {name: value.replace("+00:00", "Z") if name in _TIMES and value else value for name, value in row.items()}
            for row in rows[(page - 1) * size : page * size]
        ]
        return {
            "keys": keys,
            "total_count": len(rows),
            "current_page": page,
            "total_pages": math.ceil(len(rows) / size),
        }

    def _delete(self, request: Request) -> Row:
        found = [token for token in request.body["keys"] if token in self.rows]
        if not found:
            raise Refused(404, "internal_server_error", "No keys found")
        for token in found:
            row = self.rows.pop(token)
            del row["token"]
            self.archive[token] = {**row, "deleted_at": self.clock().isoformat()}
        return {"deleted_keys": found}

    def _set_blocked(self, request: Request, blocked: bool) -> Row:
        row = self._row(request)
        row["blocked"] = blocked
        return row

    def _row(self, request: Request) -> Row:
        if row := self.rows.get(request.body["key"]):
            return row
        raise Refused(404, "not_found_error", "Key not found.")

    def _shown(self, row: Row) -> Row:
        """A row as /key/info shows it."""
        expired = row.get("expires") and datetime.fromisoformat(row["expires"]) < self.clock()
        status = "revoked" if row.get("blocked") else "expired" if expired else "active"
        return {name: value for name, value in row.items() if name != "token"} | {"status": status}

    def _check(self, body: Row, row: Row | None = None) -> None:
        """Refuse what LiteLLM refuses to create or to change."""
        budget, alias = body.get("max_budget"), body.get("key_alias")
        if budget is not None and not 0 <= budget < math.inf:
            raise Refused(400, "internal_server_error", f"max_budget must be a non-negative finite number: {budget}")
        if body.get("tags"):
            raise Refused(403, "internal_server_error", "This is only available for LiteLLM Enterprise users: tags")
        if alias is None or (row and row.get("key_alias") == alias):
            return
        if self.validates_aliases and not _ALIAS.fullmatch(alias):
            raise Refused(400, "bad_request_error", "Invalid key_alias format.")
        if any(each.get("key_alias") == alias for each in self.rows.values()):
            raise Refused(400, "bad_request_error", f"Key with alias '{alias}' already exists.")

    def _with_times(self, body: Row) -> Row:
        """What is written of a request: durations become times by the proxy's clock; null takes them off."""
        written, now = {name: value for name, value in body.items() if name not in ("duration", "tags")}, self.clock()
        try:
            if "duration" in body:
                duration = body["duration"]
                ends = now + timedelta(seconds=in_seconds(duration)) if duration else None
                written["expires"] = ends.isoformat() if ends else None
            if "budget_duration" in body:
                duration = body["budget_duration"]
                written["budget_reset_at"] = next_reset(duration, now).isoformat() if duration else None
        except ValueError:
            message = f"Invalid duration '{duration}'. Use a format like '1h', '24h', '7d', or '30d'."
            raise Refused(400, "bad_request_error", message) from None
        return written


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
