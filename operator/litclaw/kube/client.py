"""A thin client of the Kubernetes API: the requests that Litclaw makes. Everything but Leases and Events is applied."""

import contextlib
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from litclaw.api import names
from litclaw.kube.apply_body import apply_body
from litclaw.kube.connection import Connection, Object
from litclaw.kube.errors import NotFoundError, TooLargeError, UnavailableError, from_response
from litclaw.kube.resources import BY_KIND, CONFIG_MAP, POD, SECRET, SERVICE, Resource

_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_WATCH_SECONDS = (300, 600)
_PAGE = 500
_PAGE_OF_LARGE = 50
"""For Secrets and ConfigMaps, which are larger than others."""
_LARGEST_PAGE = 4 * 2**20
"""Bytes. Anybody may create objects of 1.5 MiB with our label, and a page of them must fit into memory, where it takes up to
fifteen times as much. A larger page is read again in smaller ones; a page of one object may have any size."""
_SMALLER = 8
_MOST_SELECTED = 200
_JSON = "application/json"
_JSON_PATCH = "application/json-patch+json"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


def own_namespace() -> str | None:
    """The namespace of the operator's own pod; None outside a cluster."""
    return _OWN_NAMESPACE.read_text().strip() if _OWN_NAMESPACE.exists() else None


class Kube(Connection):
    """The requests to the Kubernetes API that Litclaw needs.

    Example:
        >>> async def show() -> None:
        ...     async with await Kube.connect() as kube:
        ...         print(await kube.get(SECRET, "default", "x"))
    """

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """One object; None if it doesn't exist.

        Raises:
            KubeError: the API server refuses it or can't be reached.
        """
        try:
            return await self._request("GET", resource.path(namespace, name))
        except NotFoundError:
            return None

    async def serves(self, resource: Resource) -> bool:
        """True if the cluster knows a kind."""
        try:
            listed = await self._request("GET", f"/apis/{resource.api_version}")
        except NotFoundError:
            return False
        return any(each["name"] == resource.plural for each in listed.get("resources", []))

    async def ping(self) -> None:
        """Check that the API server responds.

        Raises:
            KubeError: it doesn't.
        """
        await self._request("GET", "/version")

    async def uids(self, resource: Resource, *, labels: str = "", namespace: str | None = None) -> tuple[set[str], int]:
        """The uids of all objects of a kind, and the resource version of that list.

        Args:
            labels: a label selector; empty: all.
            namespace: None: the whole cluster.
        """
        found: set[str] = set()
        version = 0
        async for page, version in self._pages(resource, namespace, labels, _METADATA_LIST):
            found.update(item["metadata"]["uid"] for item in page)
        return found, version

    async def pages(
        self, resource: Resource, namespace: str | None = None, *, labels: str = ""
    ) -> AsyncIterator[tuple[list[Object], int]]:
        """All objects of a kind, a page at a time, each with the resource version of the whole list.

        Args:
            namespace: None: the whole cluster.
            labels: a label selector; empty: all.

        Raises:
            GoneError: the list expired before the last page was read.
        """
        type_ = {"apiVersion": resource.api_version, "kind": resource.kind}  # a list's items don't have them
        async for page, version in self._pages(resource, namespace, labels, _JSON):
            yield [{**type_, **item} for item in page], version

    async def objects(self, resource: Resource, namespace: str | None = None, *, labels: str = "") -> list[Object]:
        """All objects of a kind, see `pages`."""
        return [body async for page, _ in self.pages(resource, namespace, labels=labels) for body in page]

    async def select(
        self,
        resource: Resource,
        namespace: str,
        *,
        labels: str = "",
        fields: str = "",
        wanted: Callable[[Object], bool] = lambda body: True,
    ) -> list[Object]:
        """The objects of a kind in a namespace that match a label selector and a field selector, up to a few hundred.

        Args:
            labels: empty: all.
            fields: empty: all.
            wanted: what the selectors can't say. Anybody may create objects that they match.

        Raises:
            KubeError: the API server refuses it or can't be reached.
        """
        found: list[Object] = []
        async with contextlib.aclosing(self._pages(resource, namespace, labels, _JSON, fields)) as pages:
            async for page, _ in pages:
                found += filter(wanted, page)
                if len(found) >= _MOST_SELECTED:
                    break
        return found[:_MOST_SELECTED]

    async def metadata(self, resource: Resource, namespace: str | None = None, *, labels: str = "") -> list[Object]:
        """The metadata of all objects of a kind: the API server sends no value of a Secret."""
        type_ = {"apiVersion": resource.api_version, "kind": resource.kind}
        pages = self._pages(resource, namespace, labels, _METADATA_LIST)
        return [{**item, **type_} async for page, _ in pages for item in page]

    async def _pages(
        self, resource: Resource, namespace: str | None, labels: str, accept: str, fields: str = ""
    ) -> AsyncGenerator[tuple[list[Object], int], None]:
        limit = longest = _PAGE_OF_LARGE if resource in (SECRET, CONFIG_MAP) else _PAGE
        query = ({"labelSelector": labels} if labels else {}) | ({"fieldSelector": fields} if fields else {})
        while True:
            asked, most = {"limit": str(limit), **query}, _LARGEST_PAGE if limit > 1 else None
            try:
                page = await self._request("GET", resource.path(namespace), asked, accept=accept, most=most)
            except TooLargeError:
                limit = max(1, limit // _SMALLER)
                continue
            limit, meta = min(longest, 2 * limit), page.get("metadata", {})
            yield page.pop("items", None) or [], int(meta.get("resourceVersion") or 0)  # null where there are none
            if not meta.get("continue"):
                return
            query["continue"] = meta["continue"]

    async def watch(
        self, resource: Resource, namespace: str | None, version: int, *, labels: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        """The events of a kind after a resource version, until the API server ends the watch.

        Yields:
            ``ADDED``, ``MODIFIED`` or ``DELETED`` and the object; ``BOOKMARK`` and an object with a version only.

        Raises:
            GoneError: the version has expired.
            KubeError: the API server refuses the watch or reports an error in it, or the connection is lost.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(version),
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),
        } | ({"labelSelector": labels} if labels else {})
        async with contextlib.aclosing(self._lines(resource.path(namespace), query)) as lines:
            async for line in lines:
                yield _event(line)

    async def version(self) -> str:
        """The API server's release, such as ``v1.36.3``."""
        return str((await self._request("GET", "/version")).get("gitVersion", ""))

    async def service_proxy_get(
        self, namespace: str, service: str, port: int, path: str, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """GET a path of a Service through the API server's proxy, over plain HTTP.

        Args:
            path: with its query.
            headers: passed on, except Authorization, which the API server takes for itself.

        Returns:
            Status and body of the Service's response.

        Raises:
            KubeError: the API server refuses it, or can't reach the Service.
        """
        target = SERVICE.path(namespace, f"{service}:{port}", "proxy")
        return await self._proxied(f"{target}{path}", headers)

    async def log(self, namespace: str, pod: str, container: str, *, previous: bool, lines: int, most: int) -> bytes:
        """The last lines of a container's log.

        Args:
            previous: True for the log from before the container was started again.
            lines: the number of lines.
            most: bytes after which the log is cut off.

        Raises:
            KubeError: the API server refuses it or can't be reached.
        """
        query = {"container": container, "tailLines": str(lines), "limitBytes": str(most)}
        query |= {"previous": "true"} if previous else {}
        status, content = await self._proxied(f"{POD.path(namespace, pod, 'log')}?{urlencode(query)}", {})
        if status >= 400:
            raise from_response(status, content)
        return content

    async def create(self, manifest: Mapping[str, Any], *, manager: str = names.FIELD_MANAGER) -> Object:
        """Create an object.

        Raises:
            ConflictError: an object of that name exists.
            KubeError: the API server refuses it or can't be reached.
        """
        resource, namespace = BY_KIND[manifest["kind"]], manifest["metadata"].get("namespace")
        return await self._request("POST", resource.path(namespace), {"fieldManager": manager}, manifest)

    async def apply(
        self,
        manifest: Mapping[str, Any],
        *,
        subresource: str | None = None,
        manager: str = names.FIELD_MANAGER,
        dry_run: bool = False,
    ) -> Object:
        """Server-side apply, with force; creates the object if it doesn't exist.

        With ``metadata.uid`` in the manifest, only that very object is written; with ``metadata.resourceVersion``, only that
        version or a new object.

        Args:
            dry_run: True if the API server only checks the write: validation, quotas, policies, webhooks.

        Raises:
            ConflictError: the uid or the version isn't the object's.
            KubeError: the API server refuses it or can't be reached.
        """
        resource, meta = BY_KIND[manifest["kind"]], manifest["metadata"]
        query = {"fieldManager": manager, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        path = resource.path(meta.get("namespace"), meta["name"], subresource)
        return await self._request("PATCH", path, query, apply_body(manifest))

    async def replace(self, manifest: Mapping[str, Any]) -> Object:
        """Replace an object if it still has the manifest's resource version. Used for the Lease only.

        Raises:
            ConflictError: the object has changed.
            KubeError: the API server refuses it or can't be reached.
        """
        meta = manifest["metadata"]
        path = BY_KIND[manifest["kind"]].path(meta["namespace"], meta["name"])
        return await self._request("PUT", path, {"fieldManager": names.FIELD_MANAGER}, manifest)

    async def drop_finalizer(self, resource: Resource, body: Mapping[str, Any], finalizer: str) -> None:
        """Remove a finalizer that another field manager owns, which server-side apply can't.

        Raises:
            ConflictError: the object has changed since ``body`` was read.
            KubeError: the API server refuses it or can't be reached.
        """
        meta = body["metadata"]
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
            {
                "op": "replace",
                "path": "/metadata/finalizers",
                "value": [f for f in meta["finalizers"] if f != finalizer],
            },
        ]
        await self._request("PATCH", resource.path(meta.get("namespace"), meta["name"]), body=patch, patch=_JSON_PATCH)

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str) -> None:
        """Delete the object with that uid. It is no error if it is gone.

        Raises:
            ConflictError: another object has the name now.
            KubeError: the API server refuses it or can't be reached.
        """
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._request("DELETE", resource.path(namespace, name), body=body)
        except NotFoundError:
            return


def _event(line: bytes) -> tuple[str, Object]:
    """Type and object of one line of a watch.

    Raises:
        KubeError: the line reports an error, or isn't an event.
    """
    try:
        event = json.loads(line)
        type_, body = event["type"], event["object"]
        if type_ != "ERROR":
            int(body["metadata"]["resourceVersion"])
            return type_, body
        status = int(body.get("code") or 500)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnavailableError(200, "Unreadable", f"{type(error).__name__} in a watch of the API server") from error
    raise from_response(status, json.dumps(body).encode())
