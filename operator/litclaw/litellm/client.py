"""The admin API of one LiteLLM proxy.

An answer's text reaches an error only after every key in it has been blanked, because LiteLLM may echo what was sent.
"""

import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

from pydantic import SecretStr

from litclaw.litellm.errors import (
    AliasTakenError,
    LicenceError,
    LiteLLMError,
    NoDatabaseError,
    NotLiteLLMError,
    RejectedError,
    UnauthorizedError,
    UnavailableError,
)
from litclaw.litellm.keys import KeyRow, Limits, Mark, row_from
from litclaw.litellm.transport import Http
from litclaw.net.hooks import Fence, Observer

PAGE_SIZE = 100  # the most that /key/list gives
_MOST_PAGES = 10_000
_KEY = re.compile(r"sk-[A-Za-z0-9_\-.]{4,}")
_MESSAGE_LIMIT = 300
_SAME_CLOCK = timedelta(minutes=1)  # the header Date is of whole seconds, and an answer takes some


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a proxy says of itself."""

    version: str
    database: bool


def blank(text: str, *secrets: SecretStr) -> str:
    """A text without the given secrets and without anything that looks like a key."""
    for secret in secrets:
        text = text.replace(secret.get_secret_value(), "***")
    return _KEY.sub("sk-***", text)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a proxy has answered; the body is None where it is no JSON object."""

    status: int
    body: dict[str, Any] | None


class LiteLLM:
    """A client for one proxy.

    Args:
        url: root of the proxy, without ``/v1``.
        master_key: the proxy's master key.
        authorities: certificates, in PEM, that the proxy's own is checked against; empty: the usual ones.
        master_key_before: what some of the proxy's pods may still take in the master key's place.
        observer: is told of each request.
        fence: is asked before each request.
        http: the connections, where they are made already.

    Raises:
        ssl.SSLError: ``authorities`` are no certificates.
    """

    def __init__(
        self,
        url: str,
        master_key: SecretStr,
        authorities: str = "",
        master_key_before: SecretStr | None = None,
        *,
        observer: Observer | None = None,
        fence: Fence | None = None,
        http: Http | None = None,
    ) -> None:
        self.url = url
        self._master_key = master_key
        self._before = master_key_before
        self._http = http or Http(url, authorities, observer=observer, fence=fence)
        self._dated: tuple[datetime, float] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def now(self, ours: datetime) -> datetime:
        """The time by the proxy's own clock, by which keys end and budgets start anew; ours where they hardly differ.

        Args:
            ours: the time by our clock.
        """
        if self._dated is None:
            return ours
        date, at = self._dated
        theirs = date + timedelta(seconds=time.monotonic() - at)
        return ours if abs(theirs - ours) < _SAME_CLOCK else theirs

    async def readiness(self) -> Readiness:
        """Whether the proxy answers and has a database.

        Raises:
            UnreachableError, UnavailableError, NotLiteLLMError
        """
        answer = await self._send("GET", "/health/readiness", bearer=None)
        body = answer.body or {}
        if answer.status not in (200, 503) or "status" not in body:
            if answer.status == 429 or answer.status >= 500:  # what stands before it, or it can't just now
                raise UnavailableError(f"{self.url}/health/readiness answers {answer.status}")
            raise NotLiteLLMError(
                f"{self.url}/health/readiness answers {answer.status}, but not as LiteLLM does: check the URL"
            )
        database = str(body.get("db", "")).lower() == "connected"
        return Readiness(version=str(body.get("litellm_version") or ""), database=database)

    async def release(self) -> str:
        """The proxy's LiteLLM release, such as 1.106.2; empty where an older one doesn't say.

        Raises:
            LiteLLMError: UnauthorizedError where the master key isn't taken.
        """
        try:
            return str((await self._admin("GET", "/health/readiness/details")).get("litellm_version") or "")
        except NotLiteLLMError:
            return ""

    async def model_info(self) -> dict[str, Mapping[str, Any]]:
        """What the proxy knows of its models: LiteLLM's ``model_info`` by model name."""
        body = await self._admin("GET", "/model/info")
        entries = [entry for entry in body.get("data") or [] if isinstance(entry, Mapping) and entry.get("model_name")]
        return {str(entry["model_name"]): entry.get("model_info") or {} for entry in entries}

    async def generate_key(
        self,
        value: SecretStr,
        *,
        alias: str,
        limits: Limits,
        mark: Mark,
        metadata: Mapping[str, Any],
        spend: float = 0.0,
    ) -> KeyRow:
        """Register a virtual key whose value we have made.

        Args:
            spend: what it starts with, in US dollars.

        Raises:
            AliasTakenError: another key has the alias.
            RejectedError: the proxy refuses a limit.
            LiteLLMError: any other failure; the key may or may not be there.
        """
        payload = {
            **{name: given for name, given in limits.payload().items() if given is not None},
            "key": value.get_secret_value(),
            "key_alias": alias,
            "metadata": mark.metadata(metadata),
            "spend": spend,
            "blocked": bool(mark.held),
        }
        if not limits.tags:
            del payload["tags"]
        raw = await self._admin("POST", "/key/generate", payload, secret=value)
        token = raw.get("token_id") or raw.get("token")
        known = {"token": token, "spend": spend, "blocked": bool(mark.held)}
        return row_from({**raw, **known, "metadata": {**payload["metadata"], "tags": list(limits.tags)}})

    async def accepts(self, value: SecretStr) -> bool:
        """Whether the proxy takes a virtual key. A key that it knows and refuses for its budget counts as taken.

        Raises:
            LiteLLMError: it can't be told now.
        """
        answer = await self._send("GET", "/key/info", bearer=value)
        if answer.status < 500 and answer.status != 429:
            return answer.status != 401
        raise self._error("/key/info", answer, value)

    async def key(self, token: str) -> KeyRow | None:
        """One key by its token, or None where the proxy has none.

        LiteLLM 1.106.2 remembers deleted keys and still shows them here, as ``"status": "deleted"`` (measured).
        """
        try:
            info = (await self._admin("GET", "/key/info", params={"key": token})).get("info") or {}
        except _NoSuchKey:
            return None
        return None if info.get("deleted_at") else row_from({**info, "token": token})

    async def list_keys(self, *, alias: str | None = None) -> AsyncIterator[KeyRow]:
        """Every key of the proxy, a hundred a call; with an alias, the one that has it."""
        page, pages = 1, 1
        while page <= pages:
            params = {"size": str(PAGE_SIZE), "page": str(page), "return_full_object": "true"}
            if alias is not None:
                params["key_alias"] = alias
            body = await self._admin("GET", "/key/list", params=params)
            for raw in body.get("keys") or []:
                row = row_from(raw)
                if alias is None or row.alias == alias:
                    yield row
            pages = min(int(body.get("total_pages") or 1), _MOST_PAGES)
            page += 1

    async def update_key(self, token: str, changes: Mapping[str, Any]) -> None:
        """Change a key in place. Done where the key is gone: the next look will find that."""
        try:
            await self._admin("POST", "/key/update", {"key": token, **changes})
        except _NoSuchKey:
            return

    async def block_key(self, token: str) -> None:
        """Have the proxy refuse a key; what it has spent stays. Done where the key is gone."""
        await self._switch("/key/block", token)

    async def unblock_key(self, token: str) -> None:
        """Have the proxy take a key again. Done where the key is gone."""
        await self._switch("/key/unblock", token)

    async def _switch(self, path: str, token: str) -> None:
        try:
            await self._admin("POST", path, {"key": token})
        except _NoSuchKey:
            return

    async def delete_keys(self, tokens: Sequence[str]) -> None:
        """Delete keys by their tokens, a hundred a call; those that are gone already are no error."""
        for batch in (tokens[at : at + PAGE_SIZE] for at in range(0, len(tokens), PAGE_SIZE)):
            try:
                await self._admin("POST", "/key/delete", {"keys": list(batch)})
            except _NoSuchKey:
                if len(batch) > 1:
                    for token in batch:
                        await self.delete_keys([token])

    async def _admin(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        secret: SecretStr | None = None,
    ) -> dict[str, Any]:
        answer = await self._send(method, path, payload=payload, params=params, bearer=self._master_key)
        if answer.status == 401 and self._before:
            # Which pod answers isn't ours to choose, so the next one may be of the other kind again.
            for bearer in (self._before, self._master_key) * 2:
                answer = await self._send(method, path, payload=payload, params=params, bearer=bearer)
                if answer.status != 401:
                    break
        if answer.status < 300 and answer.body is not None:
            return answer.body
        if answer.status < 300:
            raise NotLiteLLMError(f"{self.url}{path} answers {answer.status} with what isn't a JSON object")
        raise self._error(path, answer, *([secret] if secret else []))

    async def _send(
        self,
        method: str,
        path: str,
        *,
        payload: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        bearer: SecretStr | None,
    ) -> _Answer:
        answer = await self._http.send(method, path, bearer=bearer, payload=payload, params=params)
        if (date := _date(answer.date)) is not None:
            self._dated = (date, time.monotonic())
        return _Answer(answer.status, _object(answer.content))

    def _error(self, path: str, answer: _Answer, *secrets: SecretStr) -> LiteLLMError:
        status = answer.status
        body = answer.body or {}
        detail = body.get("error") or body.get("detail") or {}
        if isinstance(detail, Mapping):
            nested = detail.get("error")
            kind, message = str(detail.get("type") or ""), str(detail.get("message") or nested or "")
        else:
            kind, message = "", str(detail)
        known = [self._master_key, *([self._before] if self._before else []), *secrets]
        message = blank(message, *known)[:_MESSAGE_LIMIT]
        text = message.lower()
        if status == 404 and "key" in path and "team" not in text and ("not found" in text or "no keys" in text):
            return _NoSuchKey(message)
        if 300 <= status < 400:
            return NotLiteLLMError(f"{self.url}{path} redirects; a redirect isn't followed: set the URL it leads to")
        if "db not connected" in text or "no db connected" in text or kind == "no_db_connection":
            return NoDatabaseError(f"{self.url} has no database, so it can't keep keys")
        if status == 403 and "enterprise" in text:
            return LicenceError(message)
        if status in (401, 403):
            return UnauthorizedError(f"{self.url} doesn't take the master key ({status})")
        if "already exists" in text and "alias" in text:
            return AliasTakenError(message)
        if status in (429, 502, 503, 504):
            return UnavailableError(f"{self.url}{path} answers {status}")
        if status in (400, 422) or (status == 500 and kind == "bad_request_error"):
            return RejectedError(message or f"{self.url}{path} answers {status}")
        if status == 404 and "team" in text:
            return RejectedError(message)
        if status == 404:
            return NotLiteLLMError(f"{self.url}{path} answers 404: check that the URL is a LiteLLM proxy's root")
        return UnavailableError(f"{self.url}{path} answers {status}: {message}")


class _NoSuchKey(LiteLLMError):
    """The proxy has none of the keys that were named."""


def _date(header: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(header) if header else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
