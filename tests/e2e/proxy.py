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
        self._pod = ""
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
                if self._url is None or self._leaves():
                    self.close()
                    forward = self.kube.forward(self.namespace, *self._found())
                    self._url = self._forward.enter_context(forward)
                return self._client.request(method, f"{self._url}{path}", headers=headers, **given)
            except (httpx.HTTPError, AssertionError) as error:
                self.close()
                if time.monotonic() > end:
                    raise AssertionError(f"{method} {path}: {error!r}") from None
                time.sleep(1)

    def _found(self) -> tuple[str, int | str]:
        """What to forward to, and its port: a ready pod of the Service. kubectl would choose any, also one that leaves the
        Service and answers as before for a minute more."""
        kind, _, name = self.target.partition("/")
        spec = self.kube.must("service", self.namespace, name)["spec"] if kind == "service" else {}
        labels = ",".join(f"{label}={value}" for label, value in (spec.get("selector") or {}).items())
        pods = self.kube.list("pods", "-l", labels) if labels else []
        ready = [
            body["metadata"]["name"]
            for body in pods
            if body["metadata"]["namespace"] == self.namespace and _stays(body)
        ]
        if not ready:
            self._pod = ""
            return self.target, self.port
        self._pod = ready[0]
        return f"pod/{self._pod}", next(each["targetPort"] for each in spec["ports"] if each["port"] == self.port)

    def _leaves(self) -> bool:
        """True if the pod that is forwarded to is about to end."""
        return bool(self._pod) and not _stays(self.kube.get("pod", self.namespace, self._pod))

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


def _stays(pod: Object | None) -> bool:
    """True for a pod that is ready and isn't about to end."""
    conditions = ((pod or {}).get("status") or {}).get("conditions") or []
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and pod is not None and "deletionTimestamp" not in pod["metadata"]
