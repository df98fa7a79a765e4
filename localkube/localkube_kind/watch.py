"""One kind of object as the API server has it now: a list that is kept up to date by a watch."""

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
    """The API server refused a request; the message is what it said."""


class Watch(Generic[Essence]):
    """Keeps what matters of every object of a kind.

    Args:
        address: host and port of the API server.
        credentials: verify the server and name the client.
        path: the kind's collection in the API.
        essence: what matters of an object; None: the object doesn't count. A change of anything else isn't told.
        changed: called after each change, and once the first list is there.
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
        """Follow the kind for ever; what breaks starts again with a new list."""
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
        """One watch until the server ends it; returns the version to go on from, None where only a new list helps."""
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
        # A new dict, because another thread may be reading the one before.
        kept = {name: value for name, value in self.objects.items() if name != key}
        self.objects = kept if essence is None else {**kept, key: essence}
        self._changed()

    @staticmethod
    def _key(item: dict[str, Any]) -> str:
        return f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"


def credentials(pki: Path, client: str) -> ssl.SSLContext:
    """The cluster's authority and a client's certificate and key, from the folder that they are in."""
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / f"{client}.crt", pki / f"{client}.key")
    return context
