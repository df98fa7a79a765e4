"""New keys for single agents: each is asked for by an annotation with a new value, and says when it has been done."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from litclaw.api import names
from litclaw.cli import output
from litclaw.cli.cluster import Line, Target, ask, hold
from litclaw.cli.output import Exit, Fault, Form, condition, plural
from litclaw.cli.rotate_wait import Patience
from litclaw.cli.view import Body, health, now, title
from litclaw.kube.client import Kube
from litclaw.kube.resources import AGENT

_LOOK_SECONDS = 1.0
_STALLED_SECONDS = 10.0
"""So long may an agent still be as it was before it was asked: what stalled it may just have been mended."""

Keys = Sequence[tuple[str, str]]
"""Namespaces and names."""


def rotate_agents(
    target: Target, keys: Keys, patience: Patience | None, form: Form, manager: str, *, dry_run: bool
) -> None:
    """Ask for new keys and, with patience, wait until they are in use.

    Args:
        manager: field manager of the annotation.

    Raises:
        Fault: there is no such agent, it can't get a key as things are, or it took too long.
    """
    bodies = ask(target, lambda kube: _read(kube, keys))
    if dry_run:
        output.tell(f"Nothing is changed: {', '.join(map(title, bodies))} would get a new key.")
        return
    value = now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    ask(target, lambda kube: _annotate(kube, bodies, value, manager))
    output.tell(f"{plural(len(keys), 'agent')} asked for a new key: {names.ANNOTATION_ROTATE}={value}.")
    if patience:
        try:
            bodies = hold(target, lambda line: _wait(line, keys, value, patience))
        except KeyboardInterrupt:
            output.tell("\nNo longer watched; the new keys are made all the same.")
            raise typer.Exit(int(Exit.INTERRUPTED)) from None
    if form is not Form.TABLE:
        output.data({"agents": [_result(body) for body in bodies]}, form)


def _result(body: Body) -> Mapping[str, Any]:
    status = body.get("status") or {}
    key = status.get("key") or {}
    return {
        "namespace": body["metadata"]["namespace"],
        "name": body["metadata"]["name"],
        "lastHandledRotation": status.get("lastHandledRotation") or "",
        "generation": key.get("generation") or 0,
        "retiringUntil": key.get("retiringUntil") or "",
    }


async def _read(kube: Kube, keys: Keys) -> list[dict[str, Any]]:
    found = []
    for namespace, name in keys:
        body = await kube.get(AGENT, namespace, name)
        if body is None:
            raise Fault(
                f"there is no agent {namespace}/{name}", "`litclaw status -A --agents` lists those that there are."
            )
        found.append(body)
    return found


async def _annotate(kube: Kube, bodies: Sequence[Body], value: str, manager: str) -> None:
    for body in bodies:
        meta = body["metadata"]
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": AGENT.kind,
            "metadata": {
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],  # never makes one that is gone meanwhile
                "annotations": {names.ANNOTATION_ROTATE: value},
            },
        }
        await kube.apply(manifest, manager=manager)


async def _wait(line: Line, keys: Keys, value: str, patience: Patience) -> list[dict[str, Any]]:
    clock = asyncio.get_running_loop().time
    started = clock()
    told: set[str] = set()
    while True:
        bodies = await line.read(lambda kube: _read(kube, keys))
        for body in bodies:
            if title(body) not in told and (body.get("status") or {}).get("lastHandledRotation") == value:
                told.add(title(body))
                ends = ((body["status"].get("key")) or {}).get("retiringUntil")
                output.tell(f"{title(body)} has a new key{f'; the old one ends at {ends}' if ends else ''}.")
        left = [body for body in bodies if title(body) not in told]
        if not left:
            return bodies
        waited = clock() - started
        stuck = [_stuck(body, value, waited) for body in left]
        if all(stuck):
            lines = [f"  {title(body)}: {why}" for body, why in zip(left, stuck, strict=True)]
            raise Fault(
                f"{plural(len(left), 'agent')} without a new key, for which waiting is no use", "\n".join(lines)
            )
        if patience.seconds is not None and waited > patience.seconds:
            lines = [f"  {title(body)}: {_why(body)}" for body in left]
            raise Fault(f"{plural(len(left), 'agent')} without a new key yet", "\n".join(lines))
        await asyncio.sleep(_LOOK_SECONDS)


def _stuck(body: Body, value: str, waited: float) -> str:
    """Why no key is to be waited for; empty: one is."""
    meta = body["metadata"]
    if (meta.get("annotations") or {}).get(names.ANNOTATION_ROTATE) != value:
        return f"somebody has changed its annotation {names.ANNOTATION_ROTATE} meanwhile, and waits for a key in turn."
    stalled = condition(body, "Stalled")
    current = stalled.get("observedGeneration", 0) >= meta.get("generation", 0)
    if stalled.get("status") == "True" and current and waited >= _STALLED_SECONDS:
        return f"{stalled.get('reason')}: {stalled.get('message')} Once that is mended, the key is rotated by itself."
    return ""


def _why(body: Body) -> str:
    seen = health(body)
    return (
        f"{seen.reason}: {seen.message}"
        if seen.message
        else "it is ready; does the operator run? `litclaw doctor` tells."
    )
