"""Objects read straight from the API server, without a kubectl process for each read."""

import base64
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml

Object = dict[str, Any]

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
# A CRD that was just applied, and an API server that restarts, are available after a moment.
_ATTEMPTS = 5
_PAUSE_SECONDS = 1.0


class _Kind(NamedTuple):
    """A kind, as the API server's discovery describes it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None, name: str = "") -> str:
        """URL path of an object or, without a name, of a collection; by default in all namespaces."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        where = f"/namespaces/{namespace or 'default'}" if self.namespaced and namespace is not None else ""
        return f"{root}{where}/{self.plural}" + (f"/{name}" if name else "")


class Api:
    """The API server of a cluster, by a kubeconfig with a client certificate (as kind and localkube write it)."""

    def __init__(self, kubeconfig: Path) -> None:
        host, context = _credentials(kubeconfig)
        self._client = httpx.Client(base_url=host, verify=context, timeout=60, trust_env=False)
        self._kinds: dict[str, _Kind] = {}

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """An object as ``kubectl get -o json`` shows it, or None.

        Args:
            kind: as kubectl takes it: kind, plural, singular or short name, in upper or lower case.

        Raises:
            RuntimeError: the API server doesn't answer, refuses, or has no such kind.
        """
        found = self._read(self._kind(kind).path(namespace, name))
        return None if found is None else _shown(found)

    def every(self, kinds: str, **selectors: str) -> list[Object]:
        """All objects of some kinds, of all namespaces.

        Args:
            kinds: as kubectl takes them, separated by commas.
            selectors: ``labelSelector`` and ``fieldSelector``.

        Raises:
            RuntimeError: as `get`.
        """
        return [_shown(item) for kind in kinds.split(",") for item in self._items(self._kind(kind), selectors)]

    def _items(self, kind: _Kind, selectors: dict[str, str]) -> list[Object]:
        found = self._read(kind.path(None), **selectors) or {}
        return [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in found.get("items", [])]

    def _kind(self, name: str) -> _Kind:
        name = name.lower()
        for attempt in range(_ATTEMPTS):
            if name not in self._kinds:
                if attempt:
                    time.sleep(_PAUSE_SECONDS)
                self._kinds = self._discover()
        if name not in self._kinds:
            raise RuntimeError(f"the API server has no {name}")
        return self._kinds[name]

    def _discover(self) -> dict[str, _Kind]:
        """The kinds by each of their names. A name in several groups is the first group's, as with kubectl."""
        found: dict[str, _Kind] = {}
        for root in ("/api", "/apis"):
            for group in (self._read(root, accept=_DISCOVERY) or {}).get("items", []):
                prefix = group["metadata"].get("name") or ""
                for version in group["versions"]:
                    for each in version["resources"]:
                        kind = _Kind(
                            f"{prefix}/{version['version']}".lstrip("/"),
                            each["responseKind"]["kind"],
                            each["resource"],
                            each["scope"] == "Namespaced",
                        )
                        plural = kind.plural
                        aliases = (plural, f"{plural}.{prefix}", each["singularResource"], kind.kind.lower())
                        for alias in (*aliases, *each.get("shortNames", [])):
                            found.setdefault(alias, kind)
        return found

    def _read(self, path: str, accept: str = "application/json", **query: str) -> Object | None:
        """The JSON at a path; None: 404."""
        for attempt in range(_ATTEMPTS):
            try:
                answer = self._client.get(path, params=query, headers={"Accept": accept})
                break
            except httpx.TransportError as error:
                if attempt == _ATTEMPTS - 1:
                    raise RuntimeError(f"GET {path}: {error!r}") from None
                time.sleep(_PAUSE_SECONDS * attempt)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.status_code != httpx.codes.OK:
            raise RuntimeError(f"GET {path}: {answer.status_code} {answer.text}")
        found: Object = answer.json()
        return found


def _shown(body: Object) -> Object:
    """Without the fields that kubectl hides."""
    body["metadata"].pop("managedFields", None)
    return body


def _credentials(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    """The API server's URL and the TLS context with the client's certificate, by the current context."""
    config = yaml.safe_load(kubeconfig.read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    found = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile() as file:  # ssl takes a key only from a file
        for part in ("client-certificate-data", "client-key-data"):
            file.write(base64.b64decode(user[part]) + b"\n")
        file.flush()
        found.load_cert_chain(file.name)
    return str(cluster["server"]), found


def _named(entries: list[Object], name: str) -> Object:
    return next(entry for entry in entries if entry["name"] == name)
