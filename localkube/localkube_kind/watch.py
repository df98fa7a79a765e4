"""The objects of one kind at the API server: a list, updated by a watch."""

import http.client
import json
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

Essence = TypeVar("Essence")
_WATCH_SECONDS = 300
_RETRY_SECONDS = 1.0


class WatchError(RuntimeError):
    """The API server refused a request; the message has its status and reason."""


class Watch(Generic[Essence]):
    """Caches the relevant part of every object of a kind.

    Args:
        address: host and port of the API server.
        credentials: verify the server and authenticate the client.
        path: the kind's collection in the API.
        essence: the relevant part of an object; None: the object is ignored. Other changes aren't reported.
        changed: called after each change, and after the first list.
    """

    def __init__(
        self,
        address: tuple[str, int],
        credentials: ssl.SSLContext,
        path: str,
        essence: Callable[[dict[str, Any]], Essence | None],
        changed: Callable[[], None],
    ) -> None:
        self._address = address
        self._credentials = credentials
        self._path = path
        self._essence = essence
        self._changed = changed
        self.objects: dict[str, Essence] = {}
        self.listed = False

    def run(self) -> None:
        """Follow the kind for ever; after an error, start again with a new list."""
        told = ""
        while True:
            try:
                self._follow()
                told = ""
            except (OSError, ValueError, http.client.HTTPException, WatchError) as error:
                if told != (told := f"{self._path}: {error}"):
                    print(f"{told}; trying again", file=sys.stderr, flush=True)
                time.sleep(_RETRY_SECONDS)

    def _get(self, query: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection(*self._address, context=self._credentials, timeout=_WATCH_SECONDS + 30)
        connection.request("GET", f"{self._path}{query}", headers={"Connection": "close"})
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise WatchError(f"{response.status} {response.reason}")
        return response

    def _follow(self) -> None:
        with self._get("") as response:
            found = json.load(response)
        kept = {self._key(item): self._essence(item) for item in found["items"]}
        self.objects = {key: essence for key, essence in kept.items() if essence is not None}
        self.listed = True
        self._changed()
        version = found["metadata"]["resourceVersion"]
        while version:
            version = self._watch(version)

    def _watch(self, version: str) -> str | None:
        """Run one watch until the server ends it. Returns the version to continue from; None: a new list is needed."""
        query = f"?watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={_WATCH_SECONDS}"
        with self._get(query) as response:
            for line in response:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return None
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self._take(event["object"], gone=event["type"] == "DELETED")
        return version

    def _take(self, item: dict[str, Any], *, gone: bool) -> None:
        key = self._key(item)
        essence = None if gone else self._essence(item)
        if essence == self.objects.get(key):
            return
        # A new dict, because another thread may be reading the old one.
        kept = {name: value for name, value in self.objects.items() if name != key}
        self.objects = kept if essence is None else {**kept, key: essence}
        self._changed()

    @staticmethod
    def _key(item: dict[str, Any]) -> str:
        return f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"


def credentials(pki: Path, client: str) -> ssl.SSLContext:
    """A TLS context with the cluster's authority and a client's certificate and key, from their folder."""
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / f"{client}.crt", pki / f"{client}.key")
    return context
