"""The admin API of one LiteLLM proxy."""

import asyncio
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

from litclaw.litellm.breaker import Breaker
from litclaw.litellm.errors import (
    LiteLLMError,
    NoSuchKeyError,
    NotLiteLLMError,
    UnavailableError,
    UnreachableError,
    error_from_response,
)
from litclaw.litellm.keys import KeyRow, Limits, Mark, row_from
from litclaw.litellm.model_info import models_of
from litclaw.litellm.transport import Transport
from litclaw.net.address import OUTSIDE, AddressGuard
from litclaw.net.hooks import Fence, Observer

PAGE_SIZE = 100  # the largest that /key/list accepts
MOST_PAGES = 2_500
_MOST_TRIES = 5  # with two master keys in turn: during a roll-out some pods accept the one and some the other
_SAME_CLOCK = timedelta(minutes=1)  # the header Date has whole seconds, and a response takes some
_RELEASE = re.compile(r"[0-9A-Za-z.+_-]{1,64}")
_YEARS = range(1970, 9000)  # a time of the proxy's that periods can be added to


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a proxy reports of itself."""

    version: str
    database: bool


@dataclass(frozen=True, slots=True)
class _Reply:
    """A response; the body is None if it isn't a JSON object."""

    status: int
    body: dict[str, Any] | None


class LiteLLM:
    """A client for one proxy.

    Args:
        url: root of the proxy, without ``/v1``.
        master_key: the proxy's master key.
        authorities: certificates, in PEM, that the proxy's own is checked against; empty: the usual ones.
        master_key_before: a master key that some of the proxy's pods may still accept instead.
        observer: called after each request.
        fence: called before each request.
        transport: the connections, if they exist already.
        breaker: fails calls at once while the proxy hangs; shared by the clients of one proxy.
        guard: refuses addresses.

    Raises:
        ssl.SSLError: ``authorities`` aren't certificates.
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
        transport: Transport | None = None,
        breaker: Breaker | None = None,
        guard: AddressGuard = OUTSIDE,
    ) -> None:
        self.url = url
        self._master_key = master_key
        self._before = master_key_before
        self._breaker = breaker or Breaker()
        self._transport = transport or Transport(url, authorities, observer=observer, fence=fence, guard=guard)
        self._dated: tuple[datetime, float] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def now(self, ours: datetime) -> datetime:
        """The time by the proxy's own clock, which decides when keys expire and budgets are reset; ours if they hardly differ.

        Args:
            ours: the time by our clock.
        """
        if self._dated is None:
            return ours
        date, at = self._dated
        theirs = date + timedelta(seconds=time.monotonic() - at)
        return ours if abs(theirs - ours) < _SAME_CLOCK else theirs

    def continue_clock(self, former: Self) -> None:
        """Know the proxy's time as a former client of the same proxy did, until the first response."""
        self._dated = former._dated

    async def readiness(self) -> Readiness:
        """The proxy's LiteLLM release, if it reports one, and whether it has a database.

        Raises:
            UnreachableError, UnavailableError, NotLiteLLMError
        """
        reply = await self._send("GET", "/health/readiness", bearer=None, alone=True)
        body = reply.body or {}
        if reply.status not in (200, 503) or "status" not in body:
            if reply.status == 429 or reply.status >= 500:  # a load balancer before it answers, or it is overloaded
                raise UnavailableError(f"{self.url}/health/readiness answers {reply.status}")
            raise NotLiteLLMError(
                f"{self.url}/health/readiness answers {reply.status}, but not as LiteLLM does: check the URL"
            )
        database = str(body.get("db", "")).lower() == "connected"
        return Readiness(version=_release(body), database=database)

    async def release(self) -> str:
        """The proxy's LiteLLM release, such as 1.106.2; empty if an older one doesn't report it.

        Raises:
            LiteLLMError: UnauthorizedError if the master key isn't accepted.
        """
        try:
            return _release(await self._admin("GET", "/health/readiness/details", alone=True))
        except NotLiteLLMError:
            return ""

    async def model_info(self) -> dict[str, Mapping[str, Any]]:
        """LiteLLM's ``model_info`` of each of the proxy's models, by model name."""
        body = await self._admin("GET", "/model/info", alone=True)
        if not isinstance(body.get("data") or [], list):
            raise NotLiteLLMError(f"{self.url}/model/info answers without a list of models")
        return models_of(body)

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
        """Register a virtual key with a value of our own.

        Args:
            metadata: what to store beside the mark.
            spend: the spend that it starts with, in US dollars.

        Raises:
            AliasTakenError: another key has the alias.
            RejectedError: the proxy refuses a limit.
            LiteLLMError: any other failure; the key may or may not exist.
        """
        payload = {
            **{name: given for name, given in limits.payload().items() if given is not None},
            "key": value.get_secret_value(),
            "key_alias": alias,
            "metadata": mark.metadata(metadata),
            "spend": spend,
            "blocked": bool(mark.block_reason),
        }
        if not limits.tags:
            del payload["tags"]
        raw = await self._admin("POST", "/key/generate", payload, secret=value)
        token = raw.get("token_id") or raw.get("token")
        known = {"token": token, "spend": spend, "blocked": bool(mark.block_reason)}
        return _row({**raw, **known, "metadata": {**payload["metadata"], "tags": list(limits.tags)}})

    async def accepts(self, value: SecretStr) -> bool:
        """Whether the proxy accepts a virtual key. A key that it knows and refuses, for its budget or because this isn't a
        route that calls models, counts as accepted.

        Raises:
            LiteLLMError: the proxy is unavailable, so that it isn't known.
        """
        reply = await self._send("GET", "/key/info", bearer=value)
        if reply.status < 500 and reply.status != 429:
            return reply.status != 401
        raise self._error("/key/info", reply, value)

    async def key(self, token: str) -> KeyRow | None:
        """One key by its token, or None if the proxy doesn't have it.

        LiteLLM 1.106.2 remembers deleted keys and still shows them here, as ``"status": "deleted"`` (measured).
        """
        try:
            info = (await self._admin("GET", "/key/info", params={"key": token})).get("info")
        except NoSuchKeyError:
            return None
        if not isinstance(info, Mapping):
            raise NotLiteLLMError(f"{self.url}/key/info answers without a key")
        return None if info.get("deleted_at") else _row({**info, "token": token})

    async def list_keys(self, *, alias: str | None = None) -> AsyncIterator[KeyRow]:
        """Every key of the proxy, a hundred a call; with an alias, the one that has it.

        Raises:
            NotLiteLLMError: the proxy claims to have more than `MOST_PAGES` pages, or lists more keys than were asked for.
        """
        page = pages = 1
        while page <= pages:
            rows, pages = await self._page(page, {"key_alias": alias} if alias is not None else {})
            if not rows:
                return
            for row in rows:
                if alias is None or row.alias == alias:
                    yield row
            page += 1

    async def _page(self, page: int, params: Mapping[str, str]) -> tuple[list[KeyRow], int]:
        """One page of keys, and the number of pages. Nothing is left of the response, which may be large."""
        asked = {"size": str(PAGE_SIZE), "page": str(page), "return_full_object": "true", **params}
        body = await self._admin("GET", "/key/list", params=asked)
        keys, pages = body.get("keys") or [], body.get("total_pages") or 1
        if not isinstance(keys, list) or not isinstance(pages, int) or len(keys) > PAGE_SIZE:
            raise NotLiteLLMError(f"{self.url}/key/list answers without pages of {PAGE_SIZE} keys")
        if pages > MOST_PAGES:
            raise NotLiteLLMError(
                f"{self.url} claims to have more than {MOST_PAGES} pages of keys; at most {MOST_PAGES} are read, "
                f"which are {MOST_PAGES * PAGE_SIZE} keys"
            )
        return list(map(_row, keys)), pages

    async def update_key(self, token: str, changes: Mapping[str, Any]) -> None:
        """Change a key in place. Succeeds if the key doesn't exist: the next reading of the keys shows that."""
        try:
            await self._admin("POST", "/key/update", {"key": token, **changes})
        except NoSuchKeyError:
            return

    async def block_key(self, token: str) -> None:
        """Block a key: the proxy refuses it, and its spend stays. Succeeds if the key doesn't exist."""
        await self._switch("/key/block", token)

    async def unblock_key(self, token: str) -> None:
        """Unblock a key: the proxy accepts it again. Succeeds if the key doesn't exist."""
        await self._switch("/key/unblock", token)

    async def _switch(self, path: str, token: str) -> None:
        try:
            await self._admin("POST", path, {"key": token})
        except NoSuchKeyError:
            return

    async def delete_keys(self, tokens: Sequence[str]) -> None:
        """Delete keys by their tokens, a hundred a call. Succeeds for keys that don't exist."""
        for batch in (tokens[at : at + PAGE_SIZE] for at in range(0, len(tokens), PAGE_SIZE)):
            try:
                await self._admin("POST", "/key/delete", {"keys": list(batch)})
            except NoSuchKeyError:
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
        alone: bool = False,
    ) -> dict[str, Any]:
        for attempt in range(_MOST_TRIES if self._before else 1):
            bearer = self._before if self._before and attempt % 2 else self._master_key
            reply = await self._send(method, path, payload=payload, params=params, bearer=bearer, alone=alone)
            if reply.status != 401:
                break
        if reply.status >= 300:
            raise self._error(path, reply, *([secret] if secret else []))
        if reply.body is None:
            raise NotLiteLLMError(f"{self.url}{path} answers {reply.status} with what isn't a JSON object")
        return reply.body

    async def _send(
        self,
        method: str,
        path: str,
        *,
        payload: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        bearer: SecretStr | None,
        alone: bool = False,
    ) -> _Reply:
        self._breaker.check(self.url)
        started = time.monotonic()
        try:
            response = await self._transport.send(
                method, path, bearer=bearer, payload=payload, params=params, alone=alone
            )
        except (UnreachableError, asyncio.CancelledError):  # cancelled by the time limit of a read or an observation
            self._breaker.unanswered(time.monotonic() - started)
            raise
        self._breaker.answered(path, time.monotonic() - started)
        if (date := _date(response.date)) is not None:
            self._dated = (date, time.monotonic())
        return _Reply(response.status, _object(response.content))

    def _error(self, path: str, reply: _Reply, *secrets: SecretStr) -> LiteLLMError:
        known = [self._master_key, *([self._before] if self._before else []), *secrets]
        return error_from_response(self.url, path, reply.status, reply.body, known)


def _release(body: Mapping[str, Any]) -> str:
    """The LiteLLM release in a response; empty: none, or a text that is none. The route's status shows it."""
    given = body.get("litellm_version")
    return given if isinstance(given, str) and _RELEASE.fullmatch(given) else ""


def _date(header: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(header) if header else None
    except (ValueError, OverflowError, TypeError, IndexError):  # all that the parser is known to raise
        return None
    if found is None or found.year not in _YEARS:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(content.decode())  # UTF-8, whatever the first bytes look like
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _row(raw: Any) -> KeyRow:
    try:
        return row_from(raw)
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise NotLiteLLMError(f"a key in a form that isn't LiteLLM's ({type(error).__name__})") from None
