"""An agent's gateway: its token, volume, Service and Deployment, and their removal when it is no longer wanted."""

import secrets as random
from collections.abc import Mapping
from typing import Any

from litclaw.api import names
from litclaw.api.agent import Gateway, OpenClawAgent
from litclaw.api.digest import digest
from litclaw.kube.cache import compact
from litclaw.kube.resources import CONFIG_MAP, DEPLOYMENT, NETWORK_POLICY, SECRET, SERVICE, VOLUME_CLAIM
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.conditions import Blocked, Conditions, ConditionType
from litclaw.reconcile.core.owned_objects import REFUSED, apply, check_ours, ensure, get_live, remove_others
from litclaw.reconcile.core.workload_status import require_available
from litclaw.render.agent.gateway import gateway_deployment, gateway_service, gateway_volume_claim
from litclaw.render.agent.gateway_network_policy import gateway_network_policy
from litclaw.render.agent.secret import gateway_token_secret
from litclaw.render.metadata import Manifest
from litclaw.render.proxy_peer import ProxyPeer


async def deploy_gateway(
    context: Context, agent: OpenClawAgent, configmap: Manifest, proxy: ProxyPeer, conditions: Conditions
) -> None:
    """Apply the gateway's objects, and remove those that the resource no longer asks for.

    The volume stays with the agent even if the gateway is removed: it has sessions and memory.

    Raises:
        Blocked: something is refused, or the pod isn't ready yet.
    """
    namespace = agent.metadata.namespace
    refused: Blocked | None = None
    wanted = [(CONFIG_MAP.kind, namespace, agent.config_map_name), (SECRET.kind, namespace, agent.secret_name)]
    running = None
    if gateway := agent.spec.gateway:
        token = await _token(context, agent)
        refused = await _keep_volume(context, agent, gateway)
        await ensure(context, gateway_service(agent, gateway), ConditionType.GATEWAY_READY)
        deployment = gateway_deployment(agent, gateway, configmap, token)
        running = await ensure(context, deployment, ConditionType.GATEWAY_READY)
        name = running["metadata"]["name"]
        if gateway.network_policy.enabled:
            await ensure(context, gateway_network_policy(agent, gateway, proxy), ConditionType.GATEWAY_READY)
            wanted.append((NETWORK_POLICY.kind, namespace, name))
        wanted += [(DEPLOYMENT.kind, namespace, name), (SERVICE.kind, namespace, name)]
        wanted.append((SECRET.kind, namespace, names.agent_gateway_token(agent.metadata.name)))
    kinds = (CONFIG_MAP.kind, SECRET.kind, SERVICE.kind, DEPLOYMENT.kind, NETWORK_POLICY.kind)
    await remove_others(context, agent.metadata, wanted, kinds)
    if running and agent.spec.suspend:
        conditions.set_true(ConditionType.GATEWAY_READY, "Suspended")
    elif running:
        waits = f"Waits for the pod of Deployment {namespace}/{running['metadata']['name']}."
        await require_available(context, running, ConditionType.GATEWAY_READY, waits)
        conditions.set_true(ConditionType.GATEWAY_READY, "Running")
    if refused:
        raise refused


async def stop_gateway(context: Context, agent: Mapping[str, Any]) -> None:
    """Delete the gateway's Deployment, if the gateway can't be rendered to be scaled to zero. The volume and the rest stay.

    Args:
        agent: the OpenClawAgent, of which only the metadata are read.
    """
    for body in context.cache.owned_by(agent["metadata"]["namespace"], agent["metadata"]["uid"]):
        meta = body["metadata"]
        # A Deployment that is scaled to zero stays: this pass may have created it, and the next would create it again.
        runs = body["kind"] == DEPLOYMENT.kind and body["spec"].get("replicas") != 0
        if runs and "deletionTimestamp" not in meta:
            await context.kube.delete(DEPLOYMENT, meta["namespace"], meta["name"], uid=meta["uid"])


async def _token(context: Context, agent: OpenClawAgent) -> str:
    """Generate the gateway's token once; returns its digest, which reveals nothing about 256 random bits."""
    manifest = gateway_token_secret(agent, random.token_urlsafe(32))
    meta = manifest["metadata"]
    live = await get_live(context, SECRET.kind, meta["namespace"], meta["name"])
    check_ours(live, manifest, ConditionType.GATEWAY_READY)
    if live is None or not live["data"].get(names.GATEWAY_TOKEN):
        live = compact(await apply(context, manifest, live, ConditionType.GATEWAY_READY))
    return digest(live["data"][names.GATEWAY_TOKEN])


async def _keep_volume(context: Context, agent: OpenClawAgent, gateway: Gateway) -> Blocked | None:
    """Create the volume claim, or let it grow.

    Returns:
        Why it can't grow; the gateway goes on with what it has. None: it is as large as it should be.

    Raises:
        Blocked: there is none, and it can't be created.
    """
    shape = gateway_volume_claim(agent, gateway)["metadata"]
    live = context.cache.get(VOLUME_CLAIM.kind, shape["namespace"], shape["name"])
    present = live["spec"]["resources"]["requests"]["storage"] if live else None
    try:
        await ensure(context, gateway_volume_claim(agent, gateway, present), ConditionType.GATEWAY_READY)
    except Blocked as why:
        if live is None or why.reason != REFUSED:
            raise
        message = (
            f"{why.message}. The gateway goes on with {present}: set spec.gateway.storage to that, or let the storage class "
            "allow volumes to grow."
        )
        return Blocked(why.condition, why.reason, message, stalled=True, retry=why.retry)
    return None
