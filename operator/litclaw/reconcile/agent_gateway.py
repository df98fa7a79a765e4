"""An agent's gateway: its token, volume, Service and Deployment, and their end when it isn't wanted any more."""

import secrets as random
from typing import Any

from ..api import names
from ..api.agent import Gateway, OpenClawAgent
from ..kube.resources import CONFIG_MAP, DEPLOYMENT, NETWORK_POLICY, SECRET, SERVICE
from ..render.agent_secret import gateway_token_secret
from ..render.gateway import gateway_deployment, gateway_service, gateway_volume_claim
from ..render.gateway_network_policy import gateway_network_policy
from ..render.metadata import Manifest
from ..render.proxy_peer import ProxyPeer
from .children import check_ours, ensure, look, put, remove_others
from .conditions import Conditions
from .running import see_running
from .world import World

GATEWAY_READY = "GatewayReady"


async def deploy_gateway(
    world: World, agent: OpenClawAgent, configmap: Manifest, proxy: ProxyPeer, conditions: Conditions
) -> None:
    """Have what the resource asks for, and nothing of what it doesn't.

    The volume stays with the agent even where the gateway goes: it holds sessions and memory.

    Raises:
        Blocked: something is refused, or the pod isn't ready yet.
    """
    namespace = agent.metadata.namespace
    wanted = [(CONFIG_MAP.kind, namespace, agent.config_map_name), (SECRET.kind, namespace, agent.secret_name)]
    running = None
    if gateway := agent.spec.gateway:
        await _token(world, agent)
        running = await _deploy(world, agent, gateway, configmap)
        name = running["metadata"]["name"]
        token = names.agent_gateway_token(agent.metadata.name)
        if gateway.network_policy.enabled:
            await ensure(world, gateway_network_policy(agent, gateway, proxy), GATEWAY_READY)
            wanted.append((NETWORK_POLICY.kind, namespace, name))
        wanted += [(DEPLOYMENT.kind, namespace, name), (SERVICE.kind, namespace, name), (SECRET.kind, namespace, token)]
    kinds = (CONFIG_MAP.kind, SECRET.kind, SERVICE.kind, DEPLOYMENT.kind, NETWORK_POLICY.kind)
    await remove_others(world, agent.metadata.uid, wanted, kinds)
    if running and agent.spec.suspend:
        conditions.true(GATEWAY_READY, "Suspended")
    elif running:
        see_running(running, GATEWAY_READY, f"Waits for the pod of Deployment {running['metadata']['name']}.")
        conditions.true(GATEWAY_READY, "Running")


async def stop_gateway(world: World, agent: OpenClawAgent) -> None:
    """Have no pod run, where the gateway can't be rendered to be scaled to zero. The volume and the rest stay."""
    for body in world.cache.children(agent.metadata.uid):
        meta = body["metadata"]
        # One that is scaled to zero stays: this pass may have made it, and the next would make it again.
        runs = body["kind"] == DEPLOYMENT.kind and body["spec"].get("replicas") != 0
        if runs and "deletionTimestamp" not in meta:
            await world.kube.delete(DEPLOYMENT, meta["namespace"], meta["name"], uid=meta["uid"])


async def _token(world: World, agent: OpenClawAgent) -> None:
    """The Secret with the gateway's token, made once."""
    manifest = gateway_token_secret(agent, random.token_urlsafe(32))
    meta = manifest["metadata"]
    live = await look(world, SECRET.kind, meta["namespace"], meta["name"])
    check_ours(live, manifest, GATEWAY_READY)
    if live is None or not live["data"].get(names.GATEWAY_TOKEN):
        await put(world, manifest, live, GATEWAY_READY)


async def _deploy(world: World, agent: OpenClawAgent, gateway: Gateway, configmap: Manifest) -> dict[str, Any]:
    await ensure(world, gateway_volume_claim(agent, gateway), GATEWAY_READY)
    await ensure(world, gateway_service(agent, gateway), GATEWAY_READY)
    return await ensure(world, gateway_deployment(agent, gateway, configmap), GATEWAY_READY)
