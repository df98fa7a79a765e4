"""LiteLLM clients whose requests a function answers."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from litclaw.litellm.client import LiteLLM
from litclaw.litellm.transport import Response, Transport
from pydantic import SecretStr

MASTER = SecretStr("sk-the-master-key-of-this-proxy")


@dataclass(frozen=True)
class Request:
    """A request to a proxy."""

    method: str
    path: str
    bearer: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)


Handler = Callable[[Request], Response | Awaitable[Response]]


class Handled(Transport):
    """Connections that lead to a function."""

    def __init__(self, handler: Handler) -> None:
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
        alone: bool = False,
    ) -> Response:
        """The function's response. The payload goes through JSON, as on the wire."""
        body = json.loads(json.dumps(payload or {}))
        request = Request(method, path, bearer.get_secret_value() if bearer else "", params or {}, body)
        response = self._handler(request)
        return response if isinstance(response, Response) else await response


def handled(handler: Handler) -> LiteLLM:
    """A client whose requests a function answers."""
    return LiteLLM("http://litellm:4000", MASTER, transport=Handled(handler))


def answer(status: int, body: Any) -> Response:
    """A response in JSON."""
    return Response(status, json.dumps(body).encode())
