"""An agent's gateway: its token, volume, Service and Deployment, and their end when it isn't wanted any more."""

import secrets as random
from typing import Any

from litclaw.api import names
from litclaw.api.agent import Gateway, OpenClawAgent
from litclaw.kube.resources import CONFIG_MAP, DEPLOYMENT, NETWORK_POLICY, SECRET, SERVICE
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.conditions import Conditions
from litclaw.reconcile.core.deployment_status import require_available
from litclaw.reconcile.core.owned_objects import check_ours, ensure, look, put, remove_others
from litclaw.render.agent.gateway import gateway_deployment, gateway_service, gateway_volume_claim
from litclaw.render.agent.gateway_network_policy import gateway_network_policy
from litclaw.render.agent.secret import gateway_token_secret
from litclaw.render.metadata import Manifest
from litclaw.render.proxy_peer import ProxyPeer

GATEWAY_READY = "GatewayReady"


async def deploy_gateway(
    context: Context, agent: OpenClawAgent, configmap: Manifest, proxy: ProxyPeer, conditions: Conditions
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
        await _token(context, agent)
        running = await _deploy(context, agent, gateway, configmap)
        name = running["metadata"]["name"]
        token = names.agent_gateway_token(agent.metadata.name)
        if gateway.network_policy.enabled:
            await ensure(context, gateway_network_policy(agent, gateway, proxy), GATEWAY_READY)
            wanted.append((NETWORK_POLICY.kind, namespace, name))
        wanted += [(DEPLOYMENT.kind, namespace, name), (SERVICE.kind, namespace, name), (SECRET.kind, namespace, token)]
    kinds = (CONFIG_MAP.kind, SECRET.kind, SERVICE.kind, DEPLOYMENT.kind, NETWORK_POLICY.kind)
    await remove_others(context, agent.metadata.uid, wanted, kinds)
    if running and agent.spec.suspend:
        conditions.true(GATEWAY_READY, "Suspended")
    elif running:
        require_available(running, GATEWAY_READY, f"Waits for the pod of Deployment {running['metadata']['name']}.")
        conditions.true(GATEWAY_READY, "Running")


async def stop_gateway(context: Context, agent: OpenClawAgent) -> None:
    """Have no pod run, where the gateway can't be rendered to be scaled to zero. The volume and the rest stay."""
    for body in context.cache.children(agent.metadata.uid):
        meta = body["metadata"]
        # One that is scaled to zero stays: this pass may have made it, and the next would make it again.
        runs = body["kind"] == DEPLOYMENT.kind and body["spec"].get("replicas") != 0
        if runs and "deletionTimestamp" not in meta:
            await context.kube.delete(DEPLOYMENT, meta["namespace"], meta["name"], uid=meta["uid"])


async def _token(context: Context, agent: OpenClawAgent) -> None:
    """The Secret with the gateway's token, made once."""
    manifest = gateway_token_secret(agent, random.token_urlsafe(32))
    meta = manifest["metadata"]
    live = await look(context, SECRET.kind, meta["namespace"], meta["name"])
    check_ours(live, manifest, GATEWAY_READY)
    if live is None or not live["data"].get(names.GATEWAY_TOKEN):
        await put(context, manifest, live, GATEWAY_READY)


async def _deploy(context: Context, agent: OpenClawAgent, gateway: Gateway, configmap: Manifest) -> dict[str, Any]:
    await ensure(context, gateway_volume_claim(agent, gateway), GATEWAY_READY)
    await ensure(context, gateway_service(agent, gateway), GATEWAY_READY)
    return await ensure(context, gateway_deployment(agent, gateway, configmap), GATEWAY_READY)
