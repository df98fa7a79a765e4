"""The real managed route, and an agent that has its key there: for what needs pods that run."""

import asyncio
import base64

from litclaw.api import names
from litclaw.kube.resources import AGENT, SECRET

from .process import OperatorProcess
from .stage import SPENT, Stage, token_of
from .world import World

ROUTE, NAMESPACE = "main", "ai"
SERVICE = f"{ROUTE}-litellm"
TENANT = f"{SERVICE}.{NAMESPACE}"
MEMBER, TEAM = "main-member", "team-a"
"""An agent of that route, and its namespace."""
_READY_SECONDS = 300.0


async def join(stage: Stage) -> None:
    """Make the agent, with a key that has spent something; nothing that is done to the route may affect it."""
    stage.world.cases[ROUTE].ending = False
    meta = {"name": MEMBER, "namespace": TEAM}
    spec = {"routeRef": {"name": ROUTE, "namespace": NAMESPACE}}
    await stage.apply({"apiVersion": names.API_VERSION, "kind": AGENT.kind, "metadata": meta, "spec": spec})
    async with asyncio.timeout(_READY_SECONDS):
        while not (key := await stage.key_of(MEMBER, TEAM)):
            await asyncio.sleep(1)
    master = (await master_key_secret(stage))[names.MASTER_KEY]
    body = {"key": token_of(key), "spend": SPENT}
    status, answer = await stage.litellm(TENANT, "POST", "/key/update", key=master, body=body)
    assert status == 200, answer


async def leave(stage: Stage) -> None:
    """Delete the agent, and wait until it is gone."""
    stage.world.cases[ROUTE].ending = True
    if member := await stage.kube.get(AGENT, TEAM, MEMBER):
        await stage.kube.delete(AGENT, TEAM, MEMBER, uid=member["metadata"]["uid"])
    async with asyncio.timeout(_READY_SECONDS):
        while await stage.kube.get(AGENT, TEAM, MEMBER):
            await asyncio.sleep(1)


async def changes(stage: Stage, key: str) -> list[str]:
    """What has changed for the agent.

    Args:
        key: that it had before.
    """
    if await stage.key_of(MEMBER, TEAM) != key:
        return ["the agent's key is another one"]
    master = (await master_key_secret(stage))[names.MASTER_KEY]
    path = "/key/list?size=100&return_full_object=true"
    _, body = await stage.litellm(TENANT, "GET", path, key=master)
    rows = [row for row in body.get("keys", []) if (row.get("key_alias") or "").startswith(f"{TEAM}/{MEMBER}")]
    wrong = [] if len(rows) == 1 else [f"the agent has {len(rows)} keys"]
    wrong += [f"{row['spend']} is spent" for row in rows if row["spend"] < SPENT]
    if not await stage.is_accepted(TENANT, key):
        wrong.append("the agent's key is refused")
    return wrong


async def master_key_secret(stage: Stage) -> dict[str, str]:
    """The Secret with the route's master key, decoded."""
    found = await stage.kube.get(SECRET, NAMESPACE, names.route_master_key(ROUTE))
    values = {key: base64.b64decode(value).decode() for key, value in ((found or {}).get("data") or {}).items()}
    stage.world.secrets.update(values.values())
    return values


async def kill_if_waiting(world: World, operator: OperatorProcess) -> None:
    """Kill the operator, and start another, if a call waits for that."""
    if world.waiting:
        await operator.end()
        world.release()
        await operator.start()


def calls_of(world: World) -> list[str]:
    """The route's calls since its fault was laid, for a report."""
    return [f"{call.door} {call.name.call} {call.fault}" for call in world.cases[ROUTE].calls]
