"""The real cluster as the campaign changes and reads it, without the faulty world in between."""

import asyncio
import base64
import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from litclaw.api import names
from litclaw.kube.client import Kube
from litclaw.kube.errors import KubeError
from litclaw.kube.resources import (
    AGENT,
    BY_KIND,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    JOB,
    NETWORK_POLICY,
    ROUTE,
    SECRET,
    SERVICE,
    VOLUME_CLAIM,
    Resource,
)

from .calls import case_of, case_of_alias, is_numbered
from .played import NOWHERE
from .upstream import Proxies
from .world import NOT_SECRET, World

NAMESPACE_NAME = "chaos"
MANAGER = "chaos"
BUDGET, SPENT = "50", 1.25
DATABASE_URL = "postgresql://nobody:nothing-at-all@127.0.0.1/none"
"""The database of a managed route whose pods never run."""
KINDS = (
    *(AGENT, ROUTE, SECRET, CONFIG_MAP, SERVICE, VOLUME_CLAIM, DEPLOYMENT, JOB, DISRUPTION_BUDGET, NETWORK_POLICY),
)
"""The kinds of objects that belong to cases."""
Object = dict[str, Any]


@dataclass
class Snapshot:
    """Everything that belongs to cases at one moment: objects by kind and name, keys by case."""

    objects: dict[str, dict[str, Object]] = field(default_factory=dict)
    keys: dict[str, list[Object]] = field(default_factory=dict)

    def get(self, kind: str, name: str) -> Object | None:
        """An object."""
        return self.objects.get(kind, {}).get(name)


class Stage:
    """Changes to the cluster that people make, with an administrator's rights.

    Args:
        kube: the real API server.
        proxies: the real LiteLLMs.

    Attributes:
        applied: the agents and routes that people have applied and not deleted again: kind and name.
    """

    def __init__(self, kube: Kube, proxies: Proxies, world: World) -> None:
        self.kube = kube
        self.proxies = proxies
        self.world = world
        self.applied: set[tuple[str, str]] = set()

    async def open(self) -> None:
        """Make the namespace."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        meta = {"name": NAMESPACE_NAME, "labels": labels}
        await self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}, manager=MANAGER)

    # Cases

    def route(self, name: str, tenant: str, **spec: Any) -> Object:
        """An external route to a case's LiteLLM."""
        ref = {"name": f"{case_of(name)}-master", "key": f"{names.MASTER_KEY}{self.proxies.end(tenant)}"}
        url = self.world.litellm_url(tenant)
        return _resource("LiteLLMRoute", name, {"external": {"url": url, "masterKeySecretRef": ref}, **spec})

    def managed_route(self, name: str) -> Object:
        """A managed route whose pods never run (`played`); a real LiteLLM answers in their place."""
        database = {"secretRef": {"name": f"{case_of(name)}-master", "key": names.DATABASE_URL}}
        managed = {"database": database, "nodeSelector": NOWHERE, "replicas": 2}
        model = {"name": "gpt-4o", "litellmParams": {"model": "openai/gpt-4o"}}
        return _resource("LiteLLMRoute", name, {"managed": managed, "models": [model]})

    def agent(self, name: str, route: str = "", **spec: Any) -> Object:
        """An agent of a case. Its route is the case's first one unless another is named."""
        key = {"maxBudget": BUDGET, "budgetDuration": "30d", "rotation": {"gracePeriod": "1s"}, **spec.pop("key", {})}
        return _resource("OpenClawAgent", name, {"routeRef": {"name": route or case_of(name)}, "key": key, **spec})

    async def master(self, case: str) -> None:
        """Make the Secret with the master keys for a case's routes, and the URL of a database."""
        values = {f"{names.MASTER_KEY}{end}": self.proxies.master_of(f"{case}{end}") for end in self.proxies.ends}
        values[names.DATABASE_URL] = DATABASE_URL
        self.world.secrets.update(values.values())
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        meta = {"name": f"{case}-master", "namespace": NAMESPACE_NAME}
        await self.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}, manager=MANAGER)

    async def apply(self, manifest: Object) -> Object:
        """Apply as a user does."""
        self.applied.add((manifest["kind"], manifest["metadata"]["name"]))
        for wait in (0.2, 1.0, 3.0, None):
            try:
                return await self.kube.apply(manifest, manager=MANAGER)
            except KubeError:
                if wait is None:
                    raise
                await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    async def change(self, manifest: Object, spec: Mapping[str, Any]) -> None:
        """Apply a manifest with changes merged into its spec."""
        await self.apply(_merged(manifest, {"spec": spec}))

    async def annotate(self, manifest: Object, **annotations: str) -> None:
        """Apply a manifest with annotations of Litclaw."""
        given = {f"litclaw.dev/{name}": value for name, value in annotations.items()}
        await self.apply(_merged(manifest, {"metadata": {"annotations": given}}))

    async def delete(self, resource: Resource, name: str) -> None:
        """Delete without waiting. An object that isn't there is no error."""
        self.applied.discard((resource.kind, name))
        if found := await self.kube.get(resource, NAMESPACE_NAME, name):
            await self.kube.delete(resource, NAMESPACE_NAME, name, uid=found["metadata"]["uid"])

    # LiteLLM

    async def litellm(
        self, tenant: str, method: str, path: str, *, key: str = "", body: Object | None = None
    ) -> tuple[int, Object]:
        """Call a tenant's LiteLLM, with the master key unless another is given."""
        headers = {
            "Authorization": f"Bearer {key or self.proxies.master_of(tenant)}",
            "Content-Type": "application/json",
        }
        given = json.dumps(body).encode() if body is not None else b""
        for wait in (0.2, 1.0, 3.0, 0.0):
            try:
                status, _, content = await self.proxies.call(tenant, method, path, headers, given)
            except aiohttp.ClientError:
                if not wait:
                    raise
                await asyncio.sleep(wait)
            else:
                return status, json.loads(content) if content.startswith(b"{") else {}
        raise AssertionError("unreachable")

    async def spend(self, case: str, token: str) -> None:
        """Set what a key has spent to `SPENT`."""
        status, answer = await self.litellm(case, "POST", "/key/update", body={"key": token, "spend": SPENT})
        assert status == 200, answer

    async def key_of(self, agent: str, namespace: str = NAMESPACE_NAME) -> str:
        """The virtual key in an agent's Secret; empty: none yet."""
        found = await self.kube.get(SECRET, namespace, f"{agent}-litellm")
        return base64.b64decode((found or {}).get("data", {}).get("LITELLM_API_KEY", "")).decode()

    async def is_accepted(self, tenant: str, key: str) -> bool:
        """Whether a LiteLLM accepts a virtual key for a call to a model."""
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
        status, _ = await self.litellm(tenant, "POST", "/v1/chat/completions", key=key, body=body)
        return status == 200

    # Reads

    async def collect_secrets(self) -> None:
        """Collect every secret value of the cluster, to search logs for it."""
        for secret in await self.kube.objects(SECRET):
            for key, value in (secret.get("data") or {}).items():
                if key not in NOT_SECRET:
                    self.world.secrets.add(base64.b64decode(value).decode(errors="replace"))

    async def snapshot(self) -> Snapshot:
        """Everything that belongs to cases."""
        lists = await asyncio.gather(*(self.kube.objects(kind, NAMESPACE_NAME) for kind in KINDS))
        found = Snapshot(
            {
                kind.kind: {body["metadata"]["name"]: body for body in bodies}
                for kind, bodies in zip(KINDS, lists, strict=True)
            }
        )
        for end in sorted(self.proxies.ends):
            for row in await self.rows(end):
                if case := case_of_alias(row.get("key_alias") or "", NAMESPACE_NAME):
                    found.keys.setdefault(case, []).append({**row, "at": end})
        return found

    async def rows(self, tenant: str) -> list[Object]:
        """Every key of a LiteLLM."""
        found: list[Object] = []
        page = 1
        while True:
            path = f"/key/list?size=100&page={page}&return_full_object=true"
            status, body = await self.litellm(tenant, "GET", path)
            assert status == 200, body
            found += body.get("keys") or []
            if page >= (body.get("total_pages") or 1):
                return found
            page += 1

    async def clear(self, cases: Iterable[str] | None = None) -> None:
        """Delete the objects of cases, without waiting.

        Args:
            cases: their names; None: all.
        """
        names = None if cases is None else set(cases)
        snapshot = await self.snapshot()
        for kind in (AGENT.kind, ROUTE.kind, SECRET.kind, CONFIG_MAP.kind):
            for name in snapshot.objects[kind]:
                if is_numbered(name) if names is None else case_of(name) in names:
                    await self.delete(BY_KIND[kind], name)

    async def wait_empty(self) -> None:
        """Wait until no agent or route of an earlier campaign is left; an operator must run."""
        while True:
            found = (await self.snapshot()).objects
            if not any(map(is_numbered, [*found[AGENT.kind], *found[ROUTE.kind]])):
                return
            await asyncio.sleep(1.0)

    async def forget_keys(self, case: str | None = None) -> None:
        """Delete the keys of a case, or of an earlier campaign.

        Args:
            case: its name; None: all.
        """
        for end in self.proxies.ends:
            owners = {
                row["token"]: case_of_alias(row.get("key_alias") or "", NAMESPACE_NAME) for row in await self.rows(end)
            }
            tokens = [token for token, owner in owners.items() if owner and case in (None, owner)]
            for at in range(0, len(tokens), 100):
                await self.litellm(end, "POST", "/key/delete", body={"keys": tokens[at : at + 100]})


def _resource(kind: str, name: str, spec: Object) -> Object:
    meta = {"name": name, "namespace": NAMESPACE_NAME}
    return {"apiVersion": "litclaw.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


def _merged(into: Mapping[str, Any], given: Mapping[str, Any]) -> Object:
    out = copy.deepcopy(dict(into))
    for key, value in given.items():
        if isinstance(value, Mapping) and isinstance(out.get(key), Mapping):
            out[key] = _merged(out[key], value)
        else:
            out[key] = value
    return out


def token_of(key: str) -> str:
    """The token of a key, which LiteLLM knows it by."""
    return hashlib.sha256(key.encode()).hexdigest()
