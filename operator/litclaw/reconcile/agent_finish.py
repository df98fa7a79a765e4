"""The end of an agent: its keys end before it does, and its deletion can't hang."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from ..api import names
from ..api.agent import OpenClawAgent
from ..kube.errors import ConflictError, NotFoundError
from ..kube.resources import ROUTE, SECRET
from ..litellm.errors import LiteLLMError
from . import report
from .world import RouteState, World

LET_GO_SECONDS = 120.0
"""For how long a deletion waits for a proxy that can't be reached; the sweep ends the key when it is back."""
_RETRY_SECONDS = 5.0


async def finish(world: World, body: Mapping[str, Any]) -> float | None:
    """End the agent's keys and let the resource go.

    Returns:
        After how many seconds to try again, or None when it is done.
    """
    if names.FINALIZER not in body["metadata"].get("finalizers", ()):
        return None
    try:
        agent = OpenClawAgent.model_validate(body)
    except ValidationError:
        await _let_go(world, body)
        return None
    state = world.routes.get(agent.route_key)
    if world.cache.get(ROUTE.kind, *agent.route_key) is not None and not await _keys_ended(world, agent, state):
        waited = (world.now() - _moment(body)).total_seconds()
        if waited < LET_GO_SECONDS:
            return min(_RETRY_SECONDS, LET_GO_SECONDS - waited)
        message = (
            f"LiteLLMRoute {'/'.join(agent.route_key)} can't be reached, so the key {agent.alias!r} is left there. "
            "It is deleted when the proxy is back."
        )
        await report.record(world, body, "Warning", "KeyLeftBehind", message)
    await _let_go(world, body)
    return None


def _moment(body: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(body["metadata"]["deletionTimestamp"])


async def _keys_ended(world: World, agent: OpenClawAgent, state: RouteState | None) -> bool:
    if not agent.status.key.hash and (state is None or not state.table.of(agent.metadata.uid)):
        return True  # it never got a key
    if state is None or not state.usable:
        return False
    tokens = {row.token for row in state.table.of(agent.metadata.uid)}
    try:
        secret = world.cache.get(SECRET.kind, agent.metadata.namespace, agent.secret_name) or {}
        if (token := (secret.get("data") or {}).get(names.API_KEY)) and token not in tokens:
            row = await state.client.key(token)
            if row and row.mark and row.mark.agent == agent.metadata.uid:
                tokens.add(token)
        if tokens:
            await state.client.delete_keys(sorted(tokens))
            state.table.drop(tokens)
    except LiteLLMError:
        return False
    return True


async def _let_go(world: World, body: Mapping[str, Any]) -> None:
    """Apply the resource without our finalizer, which takes it away."""
    meta = body["metadata"]
    manifest = {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
    }
    try:
        await world.kube.apply(manifest)
    except (NotFoundError, ConflictError):
        return
