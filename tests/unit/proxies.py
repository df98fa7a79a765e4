"""A LiteLLM in memory, for what takes minutes or can't be timed with the real one; the end-to-end tests have that."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from litclaw.litellm.client import LiteLLM
from litclaw.litellm.errors import UnreachableError
from litclaw.litellm.transport import Answer, Http
from pydantic import SecretStr

MASTER = SecretStr("sk-the-master-key-of-this-proxy")


@dataclass(frozen=True)
class Request:
    """What would be sent to a proxy."""

    method: str
    path: str
    bearer: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)


class Handled(Http):
    """Connections that lead to a function."""

    def __init__(self, handler: Callable[[Request], Answer]) -> None:
        self._handler = handler

    async def close(self) -> None:
        """There is nothing to close."""

    async def send(
        self,
        method: str,
        path: str,
        *,
        bearer: SecretStr | None,
        payload: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        """The function's answer."""
        value = bearer.get_secret_value() if bearer else ""
        return self._handler(Request(method, path, value, params or {}, payload or {}))


def handled(handler: Callable[[Request], Answer]) -> LiteLLM:
    """A client whose requests a function answers."""
    return LiteLLM("http://litellm:4000", MASTER, http=Handled(handler))


def answer(status: int, body: Any) -> Answer:
    """An answer in JSON."""
    return Answer(status, json.dumps(body).encode())


class Clock:
    """A time that is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 10, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


class FakeProxy:
    """The part of the admin API that keys need, with rows as LiteLLM lists them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rows: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.lost: set[str] = set()
        self.dated = False
        """Whether answers say when they were made."""

    def client(self) -> LiteLLM:
        """A client for it."""
        return handled(self.answer)

    def answer(self, request: Request) -> Answer:
        """Answer as LiteLLM does; where the answer is to be lost, when it is done."""
        done = self._answer(request)
        if request.path in self.lost:
            raise UnreachableError("lost")
        return replace(done, date=format_datetime(self.clock(), usegmt=True)) if self.dated else done

    def _answer(self, request: Request) -> Answer:
        path, body = request.path, dict(request.body)
        self.calls.append(f"{request.method} {path}")
        if path == "/key/info" and request.bearer != MASTER.get_secret_value():
            token = hashlib.sha256(request.bearer.encode()).hexdigest()
            return answer(200 if token in self.rows else 401, {"info": {}})
        if path == "/key/info":
            row = self.rows.get(request.params["key"])
            return answer(200, {"info": row}) if row else self._missing()
        if path == "/key/list":
            return answer(200, {"keys": list(self.rows.values()), "total_pages": 1})
        if path == "/key/delete":
            found = [self.rows.pop(token) for token in body["keys"] if token in self.rows]
            return answer(200, {}) if found else self._missing()
        if path == "/key/generate":
            token = hashlib.sha256(body.pop("key").encode()).hexdigest()
            self.rows[token] = {**body, "token": token}
            return answer(200, {**self.rows[token], "token_id": token})
        row = self.rows.get(body["key"])
        if row is None:
            return self._missing()
        if path == "/key/update":
            if duration := body.pop("duration", None):
                row["expires"] = (self.clock() + timedelta(seconds=int(duration[:-1]))).isoformat()
            row.update({name: value for name, value in body.items() if name != "key"})
        if path == "/key/block":
            row["blocked"] = True
        return answer(200, row)

    def _missing(self) -> Answer:
        return answer(404, {"error": {"message": "Key not found in database"}})
