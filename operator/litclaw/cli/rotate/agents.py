"""New keys for single agents: a new value of their annotation requests one, and their status reports it as done."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from litclaw.api import names
from litclaw.cli import output
from litclaw.cli.cluster import FIELD_MANAGER, LongConnection, Target, with_cluster, with_long_connection
from litclaw.cli.errors import CommandError, Exit
from litclaw.cli.options import OutputFormat
from litclaw.cli.output import plural
from litclaw.cli.rotate.patience import Patience
from litclaw.cli.view import Body, health, now, title
from litclaw.kube.client import Kube
from litclaw.kube.objects import condition_of
from litclaw.kube.resources import AGENT

_POLL_SECONDS = 1.0
_STALLED_SECONDS = 10.0
"""How long an agent's condition Stalled from before the request is ignored: its cause may just have been fixed."""

Keys = Sequence[tuple[str, str]]
"""Namespaces and names."""


def rotate_agents(
    target: Target, keys: Keys, patience: Patience | None, output_format: OutputFormat, *, dry_run: bool
) -> None:
    """Request new keys and, with patience, wait until they are in use.

    Raises:
        CommandError: an agent doesn't exist or can't get a key, or the wait is over.
    """
    bodies = with_cluster(target, lambda kube: _read(kube, keys))
    if dry_run:
        output.info(f"Nothing is changed: {', '.join(map(title, bodies))} would get a new key.")
        return
    value = now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    with_cluster(target, lambda kube: _annotate(kube, bodies, value))
    output.info(f"{plural(len(keys), 'agent')} asked for a new key: {names.ANNOTATION_ROTATE}={value}.")
    if patience:
        try:
            bodies = with_long_connection(target, lambda connection: wait(connection, keys, value, patience))
        except KeyboardInterrupt:
            output.info("\nNo longer watched; the operator still makes the new keys.")
            raise typer.Exit(int(Exit.INTERRUPTED)) from None
    if output_format is not OutputFormat.TABLE:
        output.data({"agents": [_result(body) for body in bodies]}, output_format)


def _result(agent: Body) -> Mapping[str, Any]:
    status = agent.get("status") or {}
    key = status.get("key") or {}
    return {
        "namespace": agent["metadata"]["namespace"],
        "name": agent["metadata"]["name"],
        "lastHandledRotation": status.get("lastHandledRotation") or "",
        "generation": key.get("generation") or 0,
        "retiringUntil": key.get("retiringUntil") or "",
    }


async def _read(kube: Kube, keys: Keys) -> list[dict[str, Any]]:
    found = []
    for namespace, name in keys:
        body = await kube.get(AGENT, namespace, name)
        if body is None:
            raise CommandError(
                f"there is no agent {namespace}/{name}", "`litclaw status -A --agents` lists all agents."
            )
        found.append(body)
    return found


async def _annotate(kube: Kube, agents: Sequence[Body], value: str) -> None:
    for body in agents:
        meta = body["metadata"]
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": AGENT.kind,
            "metadata": {
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],  # so that an agent that was deleted meanwhile isn't created
                "annotations": {names.ANNOTATION_ROTATE: value},
            },
        }
        await kube.apply(manifest, manager=FIELD_MANAGER)


async def wait(connection: LongConnection, keys: Keys, value: str, patience: Patience) -> list[dict[str, Any]]:
    """Wait until agents have the keys that a value of their annotation requests; returns the agents.

    Raises:
        CommandError: no agent without a new key can get one, or the wait is over.
        KubeError: the API server refuses a request or can't be reached.
    """
    clock = asyncio.get_running_loop().time
    started = clock()
    done: set[str] = set()
    while True:
        bodies = await connection.read(lambda kube: _read(kube, keys))
        for body in bodies:
            if title(body) not in done and (body.get("status") or {}).get("lastHandledRotation") == value:
                done.add(title(body))
                end = (body["status"].get("key") or {}).get("retiringUntil")
                output.info(f"{title(body)} has a new key{f'; the old one ends at {end}' if end else ''}.")
        left = [body for body in bodies if title(body) not in done]
        if not left:
            return bodies
        waited = clock() - started
        obstacles = [_obstacle(body, value, waited) for body in left]
        if all(obstacles):
            lines = [f"  {title(body)}: {why}" for body, why in zip(left, obstacles, strict=True)]
            raise CommandError(
                f"{plural(len(left), 'agent')} without a new key, and waiting won't help", "\n".join(lines)
            )
        if patience.seconds is not None and waited > patience.seconds:
            lines = [f"  {title(body)}: {_state(body)}" for body in left]
            raise CommandError(f"{plural(len(left), 'agent')} without a new key yet", "\n".join(lines))
        await asyncio.sleep(_POLL_SECONDS)


def _obstacle(agent: Body, value: str, waited: float) -> str:
    """Why the agent won't get the key; empty: it may."""
    meta = agent["metadata"]
    if (meta.get("annotations") or {}).get(names.ANNOTATION_ROTATE) != value:
        return f"somebody has changed its annotation {names.ANNOTATION_ROTATE} meanwhile, to request another key."
    stalled = condition_of(agent, "Stalled")
    is_current = stalled.get("observedGeneration", 0) >= meta.get("generation", 0)
    if stalled.get("status") == "True" and is_current and waited >= _STALLED_SECONDS:
        return f"{stalled.get('reason')}: {stalled.get('message')} Once that is fixed, the operator rotates the key."
    return ""


def _state(agent: Body) -> str:
    seen = health(agent)
    if seen.message:
        return f"{seen.reason}: {seen.message}"
    return "it is ready; does the operator run? `litclaw doctor` checks that."
