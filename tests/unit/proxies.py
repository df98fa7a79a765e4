"""A LiteLLM in memory, for what takes minutes or can't be timed with the real one; the end-to-end tests have that."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from litclaw.litellm.client import LiteLLM
from pydantic import SecretStr

MASTER = SecretStr("sk-the-master-key-of-this-proxy")


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

    def client(self) -> LiteLLM:
        """A client for it."""
        return LiteLLM("http://litellm:4000", MASTER, transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as LiteLLM does; where the answer is to be lost, when it is done."""
        answer = self._answer(request)
        if request.url.path in self.lost:
            raise httpx.ReadTimeout("lost", request=request)
        return answer

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        body = json.loads(request.content or b"{}")
        self.calls.append(f"{request.method} {path}")
        if path == "/key/info" and request.headers["Authorization"] != f"Bearer {MASTER.get_secret_value()}":
            token = hashlib.sha256(request.headers["Authorization"].removeprefix("Bearer ").encode()).hexdigest()
            return httpx.Response(200 if token in self.rows else 401, json={"info": {}})
        if path == "/key/info":
            row = self.rows.get(request.url.params["key"])
            return httpx.Response(200, json={"info": row}) if row else self._missing()
        if path == "/key/delete":
            found = [self.rows.pop(token) for token in body["keys"] if token in self.rows]
            return httpx.Response(200, json={}) if found else self._missing()
        row = self.rows.get(body["key"])
        if row is None:
            return self._missing()
        if path == "/key/update":
            if duration := body.pop("duration", None):
                row["expires"] = (self.clock() + timedelta(seconds=int(duration[:-1]))).isoformat()
            row.update({name: value for name, value in body.items() if name != "key"})
        if path == "/key/block":
            row["blocked"] = True
        return httpx.Response(200, json=row)

    def _missing(self) -> httpx.Response:
        return httpx.Response(404, json={"error": {"message": "Key not found in database"}})
