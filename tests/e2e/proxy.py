"""The admin and chat API of a real LiteLLM."""

import contextlib
import time
from typing import Any

import httpx

from .api import Object
from .kube import Kube
from .waiting import PATIENCE_SECONDS

_CALL_SECONDS = 60.0


class Proxy:
    """A real LiteLLM behind its Service."""

    def __init__(
        self, kube: Kube, namespace: str, service: str, master_key: str, port: int = 4000, target: str = "service"
    ) -> None:
        self.kube = kube
        self.port = port
        self.namespace = namespace
        self.target = f"{target}/{service}"
        self.master_key = master_key
        self._forward = contextlib.ExitStack()
        self._url: str | None = None
        # Each request has a connection of its own, because the pods behind the Service come and go.
        self._client = httpx.Client(
            timeout=_CALL_SECONDS, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    def close(self) -> None:
        """End the port-forward."""
        self._forward.close()
        self._url = None

    def call(self, method: str, path: str, *, key: str | None = None, **given: Any) -> httpx.Response:
        """Make one request with a key, by default the master key. The port-forward is kept while its pod lives.

        Raises:
            AssertionError: the proxy doesn't answer.
        """
        headers = {"Authorization": f"Bearer {key or self.master_key}"}
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                if self._url is None:
                    forward = self.kube.forward(self.namespace, self.target, self.port)
                    self._url = self._forward.enter_context(forward)
                return self._client.request(method, f"{self._url}{path}", headers=headers, **given)
            except (httpx.HTTPError, AssertionError) as error:
                self.close()
                if time.monotonic() > end:
                    raise AssertionError(f"{method} {path}: {error!r}") from None
                time.sleep(1)

    def chat(self, key: str, model: str = "gpt-4o") -> httpx.Response:
        """Make a chat completion."""
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        return self.call("POST", "/v1/chat/completions", key=key, json=body)

    def sign_in(self, password: str) -> int:
        """The status of signing in to the dashboard as admin."""
        return self.call("POST", "/v2/login", json={"username": "admin", "password": password}).status_code

    def rows(self, agent_uid: str | None = None) -> list[Object]:
        """The virtual keys that Litclaw has made, of all agents or of one."""
        rows: list[Object] = []
        page = 1
        while True:
            params = {"size": 100, "page": page, "return_full_object": "true"}
            body = self.call("GET", "/key/list", params=params).json()
            rows += body["keys"]
            if page >= (body.get("total_pages") or 1):
                break
            page += 1
        marks = [((row.get("metadata") or {}).get("litclaw") or {}, row) for row in rows]
        return [row for mark, row in marks if isinstance(mark, dict) and mark and agent_uid in (None, mark["agent"])]
