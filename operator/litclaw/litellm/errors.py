"""What can go wrong with a proxy, by what the caller should do about it, and which response means which of it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import SecretStr

_KEY = re.compile(r"sk-[A-Za-z0-9_\-.]{4,}")
_MESSAGE_LIMIT = 300


class LiteLLMError(Exception):
    """A proxy didn't do what was asked. The message contains no key: `blank` replaces each in the proxy's text."""


class UnreachableError(LiteLLMError):
    """No response: unknown host, connection refused, timeout. Passes by itself or when the URL is fixed."""


class RefusedAddressError(LiteLLMError):
    """The proxy's name leads to an address that is refused (`AddressGuard`): nothing was sent there, and nothing will be."""


class UntrustedError(LiteLLMError):
    """The proxy's certificate isn't signed by an authority that is trusted, or isn't for its name."""


class UnavailableError(LiteLLMError):
    """The proxy answers that it can't right now: 429, 5xx. Passes by itself."""


class NoDatabaseError(LiteLLMError):
    """The proxy runs without a database, or can't reach it: no keys."""


class UnauthorizedError(LiteLLMError):
    """The proxy doesn't accept the master key."""


class AliasTakenError(LiteLLMError):
    """Another key has that alias."""


class RejectedError(LiteLLMError):
    """The proxy refuses the request, and will again: a bad value, or a policy of its own. The message is LiteLLM's."""


class LicenceError(RejectedError):
    """The request needs LiteLLM's enterprise edition, and the proxy has no licence."""


class NoSuchKeyError(LiteLLMError):
    """The proxy has none of the keys that the request names."""


class NotLiteLLMError(LiteLLMError):
    """Something answers, but it isn't a LiteLLM proxy."""


def blank(text: str, *secrets: SecretStr) -> str:
    """A text without the given secrets, anything that looks like a key, and what isn't printed but obeyed by a terminal."""
    for value in filter(None, (secret.get_secret_value() for secret in secrets)):
        text = text.replace(value, "***")
    text = _KEY.sub("sk-***", text)
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


def error_from_response(
    url: str, path: str, status: int, body: Mapping[str, Any] | None, secrets: Iterable[SecretStr]
) -> LiteLLMError:
    """The error that a response with a status of 300 or more stands for.

    Args:
        url: root of the proxy.
        body: the JSON object in the response; None: there is none.
        secrets: values that LiteLLM may repeat in its message.
    """
    kind, message = _type_and_message(body or {})
    message = blank(message, *secrets)[:_MESSAGE_LIMIT]
    text = message.lower()
    if status == 404 and "key" in path and "team" not in text and ("not found" in text or "no keys" in text):
        return NoSuchKeyError(message)
    if 300 <= status < 400:
        return NotLiteLLMError(f"{url}{path} redirects; a redirect isn't followed: set the URL it leads to")
    if "db not connected" in text or "no db connected" in text or kind == "no_db_connection":
        return NoDatabaseError(f"{url} has no database, so it can't keep keys")
    if status == 403 and "enterprise" in text:
        return LicenceError(message)
    if status == 403 and (kind == "internal_server_error" or "custom" in text):
        # LiteLLM 1.106.2: 403 of the endpoint itself, such as with disable_custom_api_keys, or of a custom hook for keys.
        # Where the master key is refused, the type is auth_error.
        return RejectedError(message)
    if status in (401, 403):
        return UnauthorizedError(f"{url} doesn't take the master key ({status})")
    if "already exists" in text and "alias" in text:
        return AliasTakenError(message)
    if status in (429, 502, 503, 504):
        return UnavailableError(f"{url}{path} answers {status}")
    if status in (400, 422) or (status == 500 and kind == "bad_request_error"):
        return RejectedError(message or f"{url}{path} answers {status}")
    if status == 404 and "team" in text:
        return RejectedError(message)
    if status == 404:
        return NotLiteLLMError(f"{url}{path} answers 404: check that the URL is a LiteLLM proxy's root")
    return UnavailableError(f"{url}{path} answers {status}: {message}")


def _type_and_message(body: Mapping[str, Any]) -> tuple[str, str]:
    detail = body.get("error") or body.get("detail") or {}
    if not isinstance(detail, Mapping):
        return "", str(detail)
    return str(detail.get("type") or ""), str(detail.get("message") or detail.get("error") or "")
